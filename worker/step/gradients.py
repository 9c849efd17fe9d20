"""The gradient of a batch: computed whole or in parts, on one device or on several. Knows no optimizer and no schedule.

Parts are numbered through all devices, and every part has random numbers of its own: one process that computes a batch
in two parts and two that take one each get the same gradient.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from app.ml.networks.descent import Descent
from app.ml.objectives.base import Comparison, Objective
from app.ml.tensors.batch import Batch, Loss, Positions, restored
from worker.step.devices import Devices
from worker.step.graphs import Graphs

Autocast = Callable[[], contextlib.AbstractContextManager[None]]


@dataclass(frozen=True)
class Gradients:
    """Adds the gradients of batches to those of a network's weights."""

    network: Objective
    device: torch.device
    devices: Devices
    autocast: Autocast
    descent: Descent | None = None
    """Of a network that divides its rows among threads."""
    graphs: Graphs | None = None
    """Of a network on a GPU, which is asked for the same operations at every step."""

    def add(self, batch: Batch, parts: int) -> Loss:
        """Adds the gradient of this device's share of `sum / rows`, which it computes in so many `parts` at least.

        A processor computes long rows in more of them. Returns what this device has summed, detached.
        """
        comparison = self.network if isinstance(self.network, Comparison) else None
        count = parts * self.devices.count
        positions = batch.cut(count, None if comparison and count == 1 else self.network.places_at_once)
        shares = batch.taken(positions)
        if len(shares) == 1:  # fewer rows than parts: the first device computes them
            mine = shares if self.devices.first else []
        elif comparison:
            return self._compare(comparison, batch, positions, shares)
        else:
            mine = shares[self._own(len(shares), self.devices.rank)]
        total: Loss | None = None
        share = 1 / len(batch.rows)
        for part in mine:
            self.seed(part.seed)
            if self.descent is not None:
                loss = self.network.learn(part, share, self.descent)
            elif self.graphs is not None and len(shares) == 1:
                loss = self.graphs.add(self._drawn(part), partial(self._learn, share=share), self.seed)
            else:
                loss = self._learn(self._drawn(part), share)
            total = _added(total, loss)
        return total or Loss(torch.zeros((), device=self.device), 0)

    def _drawn(self, part: Batch) -> Batch:
        """On the device, with the random numbers of its loss."""
        return replace(part, chances=self.network.chances(part)).to(self.device)

    def _learn(self, part: Batch, share: float) -> Loss:
        with self.autocast():
            loss = self.network.loss(part)
        # not backward(share): given a gradient, torch imports sympy, and looks at symbols at every step
        (loss.sum * share).backward()  # type: ignore[no-untyped-call]
        return loss

    def _own(self, shares: int, rank: int) -> slice:
        """Which of so many shares a device computes."""
        return slice(shares * rank // self.devices.count, shares * (rank + 1) // self.devices.count)

    def _compare(self, network: Comparison, batch: Batch, positions: Positions, shares: Sequence[Batch]) -> Loss:
        """Gradient caching (Gao 2021): the loss of all rows, with the memory of one part.

        Representations first, without a graph; the loss of all of them gives each its gradient; then every part is
        represented again, with the same random numbers, and passes its gradients on.
        """
        owns = [shares[self._own(len(shares), rank)] for rank in range(self.devices.count)]
        mine = owns[self.devices.rank]
        with torch.no_grad():
            own = torch.cat([self._represent(network, part) for part in mine])
        ends = [sum(len(share.rows) for share in each) for each in owns]
        everything = self.devices.gather(own, ends).requires_grad_()
        self.seed(batch.seed)
        loss = network.loss_from(restored([everything], positions), batch)
        if self.devices.first:
            (loss.sum / len(batch.rows)).backward()  # type: ignore[no-untyped-call]
            cached = everything.grad
        else:  # what the loss itself learns is counted once
            (cached,) = torch.autograd.grad(loss.sum / len(batch.rows), everything)
        assert cached is not None, "a comparison depends on what it compares: this is a bug"
        begin = sum(ends[: self.devices.rank])
        for part in mine:
            represented = self._represent(network, part)
            represented.backward(cached[begin : begin + len(part.rows)])  # type: ignore[no-untyped-call]
            begin += len(part.rows)
        told = self.devices.first  # all have the loss of all rows
        parts_told = {name: value.detach() * told for name, value in loss.parts.items()}
        return Loss(loss.sum.detach() * told, loss.count * told, parts_told)

    def _represent(self, network: Comparison, part: Batch) -> Tensor:
        self.seed(part.seed)
        with self.autocast():
            return network.represent(part.to(self.device))

    def seed(self, seed: int) -> None:
        """Seeds what dropout draws from. `torch.manual_seed` does the same a hundred times slower."""
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)


def _added(total: Loss | None, loss: Loss) -> Loss:
    """The loss detached, and added to what there is already."""
    parts = {name: value.detach() for name, value in loss.parts.items()}
    if total is None:
        return Loss(loss.sum.detach(), loss.count, parts)
    parts = {name: total.parts[name] + value for name, value in parts.items()}
    return Loss(total.sum + loss.sum.detach(), total.count + loss.count, parts)
