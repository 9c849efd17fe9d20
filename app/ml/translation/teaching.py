"""What a decoder is to say of pairs of texts: counted before the first step, and of each batch token by token.

Knows no network. Legend: `B` batch, `T` tokens of the target, `V` vocabulary.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from app.errors import DoesNotFit
from app.ml.tensors.batch import Batch, Stream
from app.ml.tensors.shapes import Tensors
from app.ml.text.tokenization import BEGIN, END


@dataclass(frozen=True)
class Lesson:
    """Each token of a batch's targets and what came before it."""

    begun: Tensor
    """[B, T]: a beginning, then the target's tokens, some of them hidden"""
    wanted: Tensor
    """[B, T]: what comes next, an end at last"""
    counts: Tensor
    """[B, T] bool, False for padding"""


def lesson(batch: Batch, shown: Tensor, most: int) -> Lesson:
    """`shown` [B, T] are the target's tokens as they are shown, `most` are the places there are."""
    target = batch.roles["target"]
    length = min(target["values"].shape[1] + 1, most)
    lengths = target["mask"].sum(1, keepdim=True)
    wanted = pad(target["values"], (0, 1))[:, :length]
    wanted = wanted.where(torch.arange(length, device=wanted.device) != lengths, END)
    begun = pad(shown, (1, 0), value=BEGIN)[:, :length]
    return Lesson(begun, wanted, pad(target["mask"], (1, 0), value=True)[:, :length])


def counted(stream: Stream, vocabulary: int) -> tuple[float, Tensor]:
    """Tokens of a target for each of its source, in the mean, and how often each [V] is in targets, ends among them.

    Raises DoesNotFit where all targets are the same.
    """
    sources, ends, texts = 0, 0, set[tuple[int, ...]]()
    counts = torch.zeros(vocabulary, dtype=torch.int64)
    for batch in stream():
        source, target = batch.roles["source"], batch.roles["target"]
        sources, ends = sources + int(source["mask"].sum()), ends + len(target["mask"])
        counts += torch.bincount(target["values"][target["mask"]], minlength=vocabulary)
        texts.update(_texts(target))
    if len(texts) == 1:
        raise DoesNotFit(
            "all targets of the training rows are the same text: there is nothing to learn; which column is the "
            "target?",
            param="dataset",
        )
    pace = int(counts.sum()) / max(1, sources)
    counts[END] += ends
    return pace, counts


def _texts(target: Tensors) -> list[tuple[int, ...]]:
    return [tuple(ids[there].tolist()) for ids, there in zip(target["values"], target["mask"], strict=True)]
