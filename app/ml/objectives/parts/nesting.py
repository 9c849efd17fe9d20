"""Embeddings whose first numbers say most: the loss of every prefix counts alike (Matryoshka, Kusupati 2022).

Weights behind the embedding are shared by all prefixes, the rest of which is zero there.
Legend: `B` batch, `E` width of the embedding, `N` prefixes, the whole among them.
"""

from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from app.errors import OutOfRange
from app.ml.objectives.base import ObjectiveSettings
from app.ml.tensors.batch import Loss
from app.ml.tensors.device import sent


class NestedSettings(ObjectiveSettings):
    """Root of the settings of objectives that can learn such embeddings."""

    matryoshka: list[Annotated[int, Field(strict=True, ge=1, le=65_536)]] = Field(default_factory=list, max_length=16)
    """Widths below that of the embedding, such as 8, 16 and 32, at which its first numbers shall be an embedding too:
    `dimensions` of a request may then cut it to the smallest of them and anything above."""

    @property
    def shortest(self) -> int | None:
        return min(self.matryoshka, default=None)


def check_widths(widths: Sequence[int], width: int) -> None:
    """Raises OutOfRange for a prefix that is none of an embedding of `width`."""
    if max(widths, default=0) >= width:
        raise OutOfRange(
            f"objective.matryoshka: {max(widths)} asked, and the embedding has {width} numbers; give smaller widths",
            param="objective.matryoshka",
        )


def prefixes(embeddings: Tensor, widths: Sequence[int]) -> Tensor:
    """The embeddings [B, E] and, for every width, their first numbers with zeros behind them: [N, B, E]."""
    if not widths:
        return embeddings[None]
    places = torch.arange(embeddings.shape[1], device=embeddings.device)
    bounds = sent(torch.tensor([embeddings.shape[1], *widths]), embeddings.device)
    return embeddings * (places < bounds[:, None, None])


def over_prefixes(representations: Tensor, loss: Callable[[Tensor], Loss]) -> Loss:
    """The mean of the losses of `representations` [N, …]."""
    found = [loss(each) for each in representations]
    if len(found) == 1:
        return found[0]
    parts = {name: torch.stack([each.parts[name] for each in found]).mean(0) for name in found[0].parts}
    return Loss(torch.stack([each.sum for each in found]).mean(), found[0].count, parts)
