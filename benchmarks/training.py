"""Rows per second of training: Rootstock beside a plain PyTorch loop, Lightning and Keras on torch, in one run.

All train the reference autoencoder (784-128-64-32-16-8) on as many rows with AdamW and the same batch, `bare` or
with clipping and a moving average (`full`). Rootstock runs as a service and reports its own rate, validations,
checkpoints and reports included; the others only train, and their first epoch is not counted. They give way to other
programs as a job's process does. Rounds alternate; what is printed are medians. `tensor` is the plain loop over rows in
memory, `limit` the matrix products alone. The peers are installed into a cache of this script's own (XDG_CACHE_HOME);
if they cannot be, they are left out, with a message.

    .venv/bin/python benchmarks/training.py [--rows 40000] [--epochs 12] [--rounds 3]
"""

import argparse
import io
import json
import statistics
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import environment

from app.demo.service import Client, started
from worker.processes.process import NICENESS

HELD_OUT = 200
PEERS = ("lightning", "keras")
CASES = [
    ("bare", 256, ("rootstock", "plain", "tensor", *PEERS, "limit")),
    ("full", 256, ("rootstock", "plain", *PEERS)),
    ("bare", 1024, ("rootstock", "plain", "tensor", "limit")),
]
BARS = [
    ("at 256, bare, over the plain loop", ("rootstock", "bare", 256), ("plain", "bare", 256), 1.4),
    ("at 256, full, over the plain loop", ("rootstock", "full", 256), ("plain", "full", 256), 1.3),
    ("at 256, bare, over Lightning", ("rootstock", "bare", 256), ("lightning", "bare", 256), 1.4),
    ("at 256, bare, over Keras", ("rootstock", "bare", 256), ("keras", "bare", 256), 2.2),
    ("at 1,024, over the plain loop at 256", ("rootstock", "bare", 1024), ("plain", "bare", 256), 2.0),
    ("at 1,024, over rows in a tensor", ("rootstock", "bare", 1024), ("tensor", "bare", 1024), 0.9),
]


def ours(client: Client, dataset: str, batch: int, epochs: int, duties: str) -> float:
    training: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch,
        "learning_rate": 1e-3,
        "early_stopping": None,
        "precision": "fp32",
        "clip_norm": 1.0 if duties == "full" else None,
        "ema": 0.999 if duties == "full" else None,
    }
    request = {
        "kind": "pretrain",
        "dataset": dataset,
        "name": "reference",
        "encoder": {"name": "mlp", "preset": "reference", "dimensions": 8},
        "objective": {"name": "autoencoding"},
        "training": training,
    }
    return float(client.train(f"{batch} {duties}", request)["progress"]["samples_per_second"])


def theirs(python: Path, name: str, batch: int, rows: int, epochs: int, duties: str) -> float:
    program = ["nice", f"-n{NICENESS}", str(python), str(Path(__file__).parent / "peers" / "training_peers.py"), name]
    asked = [str(batch), str(rows), str(epochs), duties]
    done = subprocess.run([*program, *asked], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr[-2000:]}")
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    python = environment("training-peers", PEERS, beside=Path(sysconfig.get_paths()["purelib"]))  # for its torch
    archive = io.BytesIO()
    images = np.random.default_rng(0).integers(0, 256, (asked.rows, 28, 28), dtype=np.uint8)
    split = np.array(["train"] * (asked.rows - HELD_OUT) + ["validation"] * HELD_OUT)
    np.savez(archive, images=images, split=split)
    rates: dict[tuple[str, str, int], list[float]] = {}
    with started() as client:
        body = {"name": "rows", "modality": "image", "columns": {"image": "images", "split": "split"}}
        dataset = client.dataset("rows.npz", archive.getvalue(), body)
        for _ in range(asked.rounds):
            for duties, batch, names in CASES:
                for name in names:
                    if name == "rootstock":
                        rate = ours(client, dataset, batch, asked.epochs, duties)
                    elif name in PEERS and python is None:
                        continue
                    else:
                        chosen = python if name in PEERS and python is not None else Path(sys.executable)
                        rate = theirs(chosen, name, batch, asked.rows, asked.epochs, duties)
                    rates.setdefault((name, duties, batch), []).append(rate)
                    print(f"batch {batch:,}, {duties}, {name}: {rate:,.0f} rows/s", flush=True)
    show({key: statistics.median(measured) for key, measured in rates.items()})


def show(rates: dict[tuple[str, str, int], float]) -> None:
    for duties, batch, _ in CASES:
        print(f"\nbatch {batch:,}, {duties}: rows per second")
        most = rates.get(("limit", "bare", batch))
        for (name, case, size), rate in rates.items():
            if (case, size) == (duties, batch):
                share = f"{rate / most:7.0%} of the matrix products" if most else ""
                print(f"  {name:<10} {rate:12,.0f} {share}")
    print()
    for what, one, other, bar in BARS:
        if one in rates and other in rates:
            print(f"{what:<40} {rates[one] / rates[other]:5.2f}   (aim: {bar})")


if __name__ == "__main__":
    main()
