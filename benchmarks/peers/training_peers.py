"""The reference autoencoder trained by others; `training_peers.py NAME BATCH ROWS EPOCHS DUTIES` prints rows a second.

`plain` is a PyTorch loop over a `DataLoader`, `tensor` the same loop over rows that lie in one tensor, `limit` the
matrix products of a step and nothing else. `DUTIES` is `bare`, or `full`: clipping and a moving average of the weights.
The first epoch warms up and is not counted.
"""

import copy
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

WIDTHS = (784, 128, 64, 32, 16, 8, 16, 32, 64, 128, 784)
RATE, NORM, KEPT = 1e-3, 1.0, 0.999


def network() -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(WIDTHS):
        layers += [nn.Linear(before, after), nn.Identity() if after in (8, 784) else nn.ReLU()]
    return nn.Sequential(*layers, nn.Sigmoid())


def plain(rows: torch.Tensor, batch: int, epochs: int, full: bool, *, loader: bool) -> float:
    net = network()
    average = copy.deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, fused=True)
    loaded = DataLoader(TensorDataset(rows), batch, shuffle=True)

    def batches() -> Iterator[torch.Tensor]:
        if loader:
            for (chosen,) in loaded:
                yield chosen
        else:
            for positions in torch.randperm(len(rows)).split(batch):
                yield rows[positions]

    begun = 0.0
    for epoch in range(epochs + 1):
        if epoch == 1:
            begun = time.perf_counter()
        for chosen in batches():
            optimizer.zero_grad(set_to_none=True)
            nn.functional.mse_loss(net(chosen), chosen).backward()
            if full:
                nn.utils.clip_grad_norm_(net.parameters(), NORM)
            optimizer.step()
            if full:
                with torch.no_grad():
                    torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - KEPT)
    return epochs * len(rows) / (time.perf_counter() - begun)


def lightning(rows: torch.Tensor, batch: int, epochs: int, full: bool) -> float:
    import lightning as pl
    from lightning.pytorch.callbacks import WeightAveraging
    from torch.optim.swa_utils import get_ema_avg_fn

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.begun = network(), 0.0

        def training_step(self, chosen: list[torch.Tensor]) -> torch.Tensor:
            return nn.functional.mse_loss(self.net(chosen[0]), chosen[0])

        def on_train_epoch_start(self) -> None:
            self.begun = time.perf_counter() if self.current_epoch == 1 else self.begun

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=RATE, fused=True)

    module = Module()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs + 1,
        gradient_clip_val=NORM if full else None,
        callbacks=[WeightAveraging(avg_fn=get_ema_avg_fn(KEPT))] if full else [],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(TensorDataset(rows), batch, shuffle=True))
    return epochs * len(rows) / (time.perf_counter() - module.begun)


def keras(rows: torch.Tensor, batch: int, epochs: int, full: bool) -> float:
    os.environ["KERAS_BACKEND"] = "torch"
    import keras as k

    layers = [k.layers.Dense(w, None if w in (8, 784) else "relu") for w in WIDTHS[1:]]
    model = k.Sequential([k.Input((WIDTHS[0],)), *layers, k.layers.Activation("sigmoid")])
    duties = {"global_clipnorm": NORM, "use_ema": True, "ema_momentum": KEPT} if full else {}
    model.compile(optimizer=k.optimizers.AdamW(RATE, **duties), loss="mse")
    values = rows.numpy()
    model.fit(values, values, batch_size=batch, epochs=1, verbose=0)
    begun = time.perf_counter()
    model.fit(values, values, batch_size=batch, epochs=epochs, verbose=0)
    return epochs * len(rows) / (time.perf_counter() - begun)


@torch.inference_mode()
def limit(batch: int) -> float:
    """Forward, and backward to weights and inputs, but not to the rows themselves."""
    weights = [torch.rand(after, before) for before, after in itertools.pairwise(WIDTHS)]
    values = [torch.rand(batch, width) for width in WIDTHS]

    def products() -> None:
        for number, weight in enumerate(weights):
            torch.mm(values[number], weight.T)
            torch.mm(values[number + 1].T, values[number])
            if number:
                torch.mm(values[number + 1], weight)

    best = float("inf")
    for _ in range(50):
        begun = time.perf_counter()
        for _ in range(20):
            products()
        best = min(best, (time.perf_counter() - begun) / 20)
    return batch / best


def main(name: str, batch: int, count: int, epochs: int, duties: str) -> float:
    torch.manual_seed(0)
    rows = torch.rand(count, WIDTHS[0])
    if name == "limit":
        return limit(batch)
    if name in ("plain", "tensor"):
        return plain(rows, batch, epochs, duties == "full", loader=name == "plain")
    return {"lightning": lightning, "keras": keras}[name](rows, batch, epochs, duties == "full")


if __name__ == "__main__":
    name, batch, rows, epochs, duties = sys.argv[1:]
    print(json.dumps(main(name, int(batch), int(rows), int(epochs), duties)))
