"""The contract of an augmentation: random changes of training rows, on whole batches of tensors. Knows no network.

What happens to a row is keyed by the job's seed, the epoch and the row: the same in whatever batch, on whatever device
and after a resume. Only where rows are mixed with others does it depend on which rows share the batch.
Legend: `B` batch.
"""

import zlib
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from app.ml.modalities.base import Fitted
from app.ml.plugins import Settings
from app.ml.tensors.batch import Batch, Roles
from app.ml.tensors.device import sent
from app.ml.tensors.random_numbers import uniform
from app.ml.tensors.shapes import Layout, Shape


@dataclass(frozen=True)
class Draw:
    """Random numbers of a batch's rows. Numbers of different names have nothing to do with each other."""

    rows: Tensor
    """[B] int64, on the CPU"""
    seed: int
    """Of the job."""
    epoch: int
    view: int = 0
    """Counts the independent versions of one batch."""
    part: str = ""
    device: torch.device | None = None

    def of(self, part: str) -> "Draw":
        """Numbers for a part of the batch of their own."""
        return replace(self, part=part)

    @property
    def here(self) -> "Draw":
        """The same numbers on the CPU: what is computed of a few of them costs less there than a GPU's being asked."""
        return replace(self, device=None)

    def uniform(self, name: str, *size: int) -> Tensor:
        """[B, *size] in [0, 1)"""
        word = zlib.crc32(f"{self.part}/{name}".encode())
        key = np.random.SeedSequence([self.seed, self.epoch, self.view, word]).generate_state(1, np.uint64)[0]
        drawn = uniform(self.rows, int(key), int(np.prod(size)))
        return sent(drawn.reshape(len(self.rows), *size), self.device)

    def between(self, name: str, low: float, high: float, *size: int) -> Tensor:
        """[B, *size] in [low, high)"""
        return sent(low + (high - low) * self.here.uniform(name, *size), self.device)

    def normal(self, name: str, *size: int) -> Tensor:
        """[B, *size] of mean 0 and deviation 1 (Box & Muller 1958)."""
        radius = (-2 * (1 - self.uniform(name, *size)).log()).sqrt()
        return radius * (2 * torch.pi * self.uniform(f"{name} angle", *size)).cos()

    def happens(self, name: str, share: float) -> Tensor:
        """[B] bool, True for that share of the rows."""
        return sent(self.here.uniform(name) < share, self.device)

    def partners(self, name: str) -> Tensor:
        """[B] int64: for every row the place of another one of the batch, each once; its own if it is alone."""
        order = self.here.uniform(name).argsort(stable=True)
        partners = torch.empty_like(order)
        partners[order] = order.roll(1)
        return sent(partners, self.device)

    def others(self, name: str, *size: int) -> Tensor:
        """[B, *size] int64: places of any rows of the batch."""
        order = self.rows.argsort(stable=True)  # so that the order of the batch does not matter
        return sent(order[(self.here.uniform(name, *size) * len(self.rows)).long()], self.device)


class Augmentation(Settings):
    """What a client may set. `name` is that of the modality whose inputs are changed; what is 0 does not happen."""

    name: str
    """Chooses the augmentation."""
    doubtful: ClassVar[tuple[str, ...]] = ()
    """Keys of changes that rows of some data do not survive, however seldom they happen."""

    def without(self, key: str) -> Self:
        """These settings without that change."""
        return self.model_copy(update={key: type(self).model_fields[key].default})

    def milder(self) -> Self:
        """Half as strong; what is `doubtful` is either right or wrong, and stays."""
        update: dict[str, Any] = {}
        for key, field in type(self).model_fields.items():
            value, nothing = getattr(self, key), field.default
            if key not in ("name", *self.doubtful):
                update[key] = (value + nothing) // 2 if isinstance(nothing, int) else (value + nothing) / 2
        return self.model_copy(update=update)

    def check(self, layouts: Mapping[str, Layout]) -> None:
        """Raises DoesNotFit where these settings cannot work with the layout of a role."""

    @classmethod
    def usual(cls, shape: Shape, views: int) -> tuple[Self | None, str]:
        """What `auto` takes for inputs of `shape` and an objective that compares so many views, and why.

        None stands for no augmentation.
        """
        return None, "rows are learned as they are"

    @abstractmethod
    def apply(self, roles: Roles, draw: Draw, fitted: Mapping[str, Fitted]) -> Roles:
        """A changed copy of a batch's roles; `fitted` are their modalities. Tensors given are left as they are."""

    def inputs(self, roles: Roles, fitted: Mapping[str, Fitted]) -> list[str]:
        """The roles of this modality that are not what is to be said."""
        return [role for role in roles if role != "target" and fitted[role].settings.name == self.name]


def augment(
    augmentation: Augmentation, batch: Batch, fitted: Mapping[str, Fitted], *, seed: int, views: int = 1
) -> Batch:
    """The batch as a step of training sees it; where it takes several views, they stand beside the rows as they are."""
    if augmentation.name == "none":
        return batch
    device = batch.roles["input"]["values"].device if "input" in batch.roles else None
    draws = [Draw(batch.rows, seed, batch.epoch, view, device=device) for view in range(views)]
    changed = tuple(augmentation.apply(batch.roles, draw, fitted) for draw in draws)
    return replace(batch, views=changed) if views > 1 else replace(batch, roles=changed[0])
