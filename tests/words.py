"""Texts as they reach a network: token ids and a mask, and the least of a fitted modality that declares them."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from app.ml.encoders.base import EncoderSettings
from app.ml.modalities.base import Fitted
from app.ml.objectives.base import Objective, Role
from app.ml.tensors.batch import Batch
from app.ml.tensors.shapes import Shape, Tensors
from app.ml.text.tokenization import SPECIALS

VOCABULARY, MOST = 12, 8
SHAPE = Shape("tokens", (MOST,), vocabulary=VOCABULARY)


@dataclass(frozen=True)
class Declared:
    """All that an objective knows of a modality: the shape of its items."""

    shape: Shape = SHAPE


def role(encoder: EncoderSettings, dimensions: int | None = None) -> Role:
    torch.manual_seed(0)
    return Role(cast(Fitted, Declared()), encoder.build(SHAPE), dimensions)


def batch(rows: int = 6, seed: int = 0) -> Batch:
    """Texts of different lengths, one word and all `MOST` among them."""
    random = torch.Generator().manual_seed(0)
    lengths = torch.arange(rows) % MOST + 1
    lengths[-1] = MOST
    mask = torch.arange(MOST) < lengths[:, None]
    values = torch.randint(len(SPECIALS), VOCABULARY, (rows, MOST), generator=random).masked_fill(~mask, 0)
    return Batch({"input": {"values": values, "mask": mask}}, torch.arange(rows), seed)


def taught(network: Objective, given: Batch, steps: int) -> float:
    """The loss per item after some steps on one batch."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    network.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = network.loss(given)
        (loss.sum / loss.count).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.inference_mode():
        loss = network.eval().loss(given)
    return float(loss.sum) / loss.count


def shortened(inputs: Tensors, length: int) -> dict[str, Tensor]:
    return {name: tensor[:, :length] for name, tensor in inputs.items()}
