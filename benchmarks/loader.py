"""Rows per second of the reference autoencoder at batch 1,024, fed from a memory-mapped dataset and from one tensor.

    .venv/bin/python benchmarks/loader.py [--rows 40000] [--epochs 10] [--rounds 5]

Both loops take the same steps on the same network; only where the batches come from differs. Rounds alternate.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from app.dataset import Split
from app.dataset_options import DatasetOptions
from app.ml.encoders.mlp import Mlp
from app.ml.modalities.vectors import Vectors
from app.ml.objectives.autoencoding import Autoencoding
from app.ml.objectives.base import Role
from app.ml.tensors.batch import Batch
from worker.data.loader import Loader
from worker.ingest.assembly import assemble
from worker.ingest.faults import Faults
from worker.ingest.source import Context, Input

WIDTH, BATCH = 784, 1024


def dataset(folder: Path, rows: int, opened: ExitStack) -> Split:
    path = folder / "rows.npy"
    np.save(path, np.random.default_rng(0).random((rows, WIDTH), dtype=np.float32))
    context = Context(Faults(), opened, folder, 2**40, lambda done: None)
    file = Input("file", path.name, opened.enter_context(path.open("rb")), path.stat().st_size)
    made = assemble([file], DatasetOptions(files=["file"], profile="basic"), context)
    return Split(made.files["train.arrow"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        split = dataset(Path(folder), asked.rows, opened)
        fitted = Vectors().fit(split.read("input", number) for number in range(split.batches))
        torch.manual_seed(0)
        encoder = Mlp(preset="reference").build(fitted.shape)
        network = Autoencoding().build({"input": Role(fitted, encoder, 8)})
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
        loader = Loader(split, {"input": fitted}, batch_size=BATCH, seed=0, window_bytes=256 << 20)
        values: Tensor = torch.cat([fitted.encode(split.read("input", n))["values"] for n in range(split.batches)])

        def from_tensor(epoch: int) -> Iterator[Batch]:
            order = torch.randperm(len(values), generator=torch.Generator().manual_seed(epoch))
            for rows in order.split(BATCH):
                yield Batch({"input": {"values": values.index_select(0, rows)}}, rows)

        def rate(batches: Callable[[int], Iterator[Batch]]) -> float:
            began, seen = time.perf_counter(), 0
            for epoch in range(asked.epochs):
                for batch in batches(epoch):
                    loss = network.loss(batch)
                    optimizer.zero_grad(set_to_none=True)
                    (loss.sum / loss.count).backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    seen += loss.count
            return seen / (time.perf_counter() - began)

        rates: dict[str, list[float]] = {"dataset": [], "tensor": []}
        rate(from_tensor)
        for _ in range(asked.rounds):
            rates["dataset"].append(rate(loader.epoch))
            rates["tensor"].append(rate(from_tensor))
    dataset_rate, tensor_rate = (statistics.median(found) for found in rates.values())
    print(f"from the dataset {dataset_rate:,.0f} rows/s, from one tensor {tensor_rate:,.0f} rows/s: ", end="")
    print(f"{dataset_rate / tensor_rate:.2f} (aim: at least 0.9)")


if __name__ == "__main__":
    main()
