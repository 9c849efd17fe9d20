"""Random changes of texts, on their tokens.

Legend: `B` batch, `L` tokens.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from app.ml.augmentations.base import Augmentation, Draw
from app.ml.modalities.base import Fitted
from app.ml.tensors.batch import Roles
from app.ml.tensors.padding import shortened
from app.ml.tensors.shapes import Tensors
from app.ml.text.tokenization import MASK, PAD


class TextAugmentation(Augmentation):
    """Hidden words, words left out and neighbours exchanged; of the tokens that a tokenizer makes of words."""

    name: Literal["text"] = "text"
    """Changes texts."""

    masking: float = Field(0.0, ge=0, lt=1)
    """Share of the tokens that are hidden: the network sees that there is one, and not which."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the tokens that are left out, so that the text is shorter; one is left in any case (Iyyer 2015)."""
    exchange: float = Field(0.0, ge=0, lt=1)
    """Share of the tokens that change places with the next one."""

    def apply(self, roles: Roles, draw: Draw, fitted: Mapping[str, Fitted]) -> Roles:
        inputs = self.inputs(roles, fitted)
        return roles | {role: self._changed(roles[role], draw.of(role)) for role in inputs}

    def _changed(self, inputs: Tensors, draw: Draw) -> Tensors:
        values, mask = inputs["values"], inputs["mask"]  # [B, L]
        if self.exchange:
            values = values.gather(1, _exchanged(mask, draw.uniform("exchange", mask.shape[1]) < self.exchange))
        if self.masking:
            values = values.masked_fill((draw.uniform("masking", mask.shape[1]) < self.masking) & mask, MASK)
        changed = {**inputs, "values": values}
        return _without(changed, draw.uniform("dropout", mask.shape[1]), self.dropout) if self.dropout else changed


def _exchanged(mask: Tensor, starts: Tensor) -> Tensor:
    """Where each token [B, L] comes from when those that start a pair change places with the next one.

    No token is in two pairs: of every two places that could begin one, the first or the second half takes its chance.
    """
    places = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    begins = starts & (places % 2 == 0) & mask & mask.roll(-1, 1)
    begins[:, -1] = False
    ends = begins.roll(1, 1)
    return places + begins.long() - ends.long()


def _without(rows: Tensors, chance: Tensor, share: float) -> Tensors:
    """Rows without the tokens whose `chance` [B, L] is below `share`; the one with the best chance always stays."""
    values, mask = rows["values"], rows["mask"]
    best = chance.masked_fill(~mask, -1).argmax(1, keepdim=True)
    kept = (mask & (chance >= share)).scatter(1, best, True)
    order = (~kept).long().argsort(dim=1, stable=True)  # real places come first
    kept = kept.gather(1, order)
    return shortened({**rows, "values": values.gather(1, order).masked_fill(~kept, PAD), "mask": kept})
