"""The gradient of a whole batch as one program of a GPU (a CUDA graph), replayed with other numbers.

A small network's step is some hundred operations that the GPU does faster than a processor can ask for them; a program
is asked for once. What is computed, and in which order, is the same. Knows no optimizer.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from app.ml.objectives.base import Objective
from app.ml.tensors.batch import Batch, Loss
from worker.data.loader import LAYOUTS_OF_ANY_LENGTH
from worker.training_run import Run

log = logging.getLogger(__name__)

WAITING = frozenset({torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default})
WARM_UPS = 2
"""Passes before a program is recorded, in which libraries choose their kernels and take their memory."""
ALIKE = 1e-3
"""Difference of a program's gradient from the one computed operation after operation, as a share of its length: beyond
it the program is not used. Equal but for kernels that add up in any order."""

Compute = Callable[[Batch], Loss]
"""Adds the gradient of the batch's loss to those there are, operation after operation; gives the loss."""
Seed = Callable[[int], None]
"""Seeds what dropout draws from."""


@dataclass(frozen=True)
class Program:
    """A recorded step: its inputs are copied into `batch`, its results lie in `loss`."""

    graph: torch.cuda.CUDAGraph
    batch: Batch
    loss: Loss

    def fits(self, batch: Batch) -> bool:
        """Whether a batch has the recorded one's shapes."""
        return _shapes(batch) == _shapes(self.batch)

    def run(self, batch: Batch) -> Loss:
        for own, given in zip(self.batch.tensors(), batch.tensors(), strict=True):
            own.copy_(given, non_blocking=True)
        self.graph.replay()
        parts = {name: part.clone() for name, part in self.loss.parts.items()}
        return Loss(self.loss.sum.clone(), self.loss.count, parts)


class Graphs:
    """The programs of one training. Everything is computed as before where none can be recorded."""

    def __init__(self, network: Objective, rows: int, kind: Callable[[], object]) -> None:
        """`rows` are those of a whole batch; `kind` tells what decides the operations of a step beside them."""
        self.network, self.rows, self.kind = network, rows, kind
        self.programs: dict[object, Program | None] = {}

    def add(self, batch: Batch, compute: Compute, seed: Seed) -> Loss:
        """Adds the gradient of a batch on the GPU to gradients that are zero, and gives its loss.

        The program is recorded when the first whole batch comes, wherever a training begins or goes on: bits may differ
        from those of operation after operation.
        """
        kind = self.kind()
        if kind not in self.programs and len(batch.rows) == self.rows:
            self.programs[kind] = self._record(batch, compute, seed)
            seed(batch.seed)
        program = self.programs.get(kind)
        return program.run(batch) if program is not None and program.fits(batch) else compute(batch)

    def _record(self, batch: Batch, compute: Compute, seed: Seed) -> Program | None:
        """A program that was seen to give the gradient of this batch; None where there is none. Leaves no trace."""
        buffers = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        state = generator.clone_state()
        try:
            return self._proved(batch, compute, seed)
        except RuntimeError as error:  # a part of the processor's, or a lack of memory
            log.info("a step is computed operation after operation: %s", error)
            generator.graphsafe_set_state(state)  # a recording that broke off would keep it for itself
            torch.cuda.empty_cache()
            return None
        finally:
            with torch.no_grad():
                for name, buffer in self.network.named_buffers():
                    buffer.copy_(buffers[name])
            self.network.zero_grad(set_to_none=False)

    def _proved(self, batch: Batch, compute: Compute, seed: Seed) -> Program | None:
        held = batch.mapped(Tensor.clone)  # in memory of its own
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            with Recordable():  # type: ignore[no-untyped-call]
                compute(held)
            for _ in range(WARM_UPS):
                compute(held)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        seed(held.seed ^ 1)  # random numbers that it kept, instead of drawing them, would be seen
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # a checkpoint may be written meanwhile
            loss = compute(held)
        parts = {name: part.detach() for name, part in loss.parts.items()}
        program = Program(graph, held, Loss(loss.sum.detach(), loss.count, parts))
        seed(batch.seed)
        expected = self._gradient(partial(compute, batch))
        seed(batch.seed)
        given = self._gradient(partial(program.run, batch))
        return program if bool((given - expected).norm() <= ALIKE * expected.norm()) else None

    def _gradient(self, step: Callable[[], Loss]) -> Tensor:
        """What `step` adds, as one vector."""
        self.network.zero_grad(set_to_none=False)
        step()
        return torch.cat([weight.grad.flatten() for weight in self.network.parameters() if weight.grad is not None])


class Recordable(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises RuntimeError where the processor takes part in what is computed, or waits for it."""

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        used = tree_leaves((args, kwargs, out))
        if func in WAITING or any(isinstance(each, Tensor) and each.is_cpu and each.ndim for each in used):
            raise RuntimeError(f"{func} is not computed by the GPU alone")
        return out


def _shapes(batch: Batch) -> list[tuple[torch.Size, torch.dtype]]:
    return [(each.shape, each.dtype) for each in batch.tensors()]


def graphs_for(run: Run) -> Graphs | None:
    """None for a training that is not on one GPU, that is compiled, or whose batches differ in their shapes."""
    if run.device.type != "cuda" or run.devices.count > 1 or run.spec.training.compile:
        return None
    if any(fitted.shape.layout in LAYOUTS_OF_ANY_LENGTH for fitted in run.fitted.values()):
        return None
    return Graphs(run.network, run.spec.training.batch_size, lambda: run.position.bf16)
