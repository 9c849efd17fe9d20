"""`torch.compile` for a training that asks for it: programs for whole networks instead of operation after operation."""

import time
from collections.abc import Iterator

from torch import nn

from app.ml.objectives.base import Objective
from app.ml.tensors.batch import Batch
from worker.progress import Reporter
from worker.step.gradients import Gradients
from worker.training_run import Run


def compile_network(reporter: Reporter, run: Run, gradients: Gradients, batch: Batch) -> None:
    """Compiles the parts of the run's network and tries them on a batch; where that fails, says why and undoes it.

    The objective around them stays as it is: its seeds change with every step, and so would the program.
    """
    for part in _parts(run.network):
        part.compile(dynamic=True)  # one program for the last and shorter batch, too
    begun = time.monotonic()
    try:
        gradients.add(run.augment(batch), run.spec.training.accumulation)
    except Exception as error:  # a compiler fails in many ways; if it was not the compiler, the first step tells
        release(run.network)
        reason = str(error).strip().partition("\n")[0]
        reporter.event(
            "warning",
            f"training.compile: the network cannot be compiled here and is trained without: {reason}",
            level="warn",
        )
    else:
        reporter.event("message", f"compiled in {time.monotonic() - begun:.3g} s")


def release(network: Objective) -> None:
    """Has every part computed operation after operation again."""
    for part in _parts(network):
        part._compiled_call_impl = None


def _parts(network: Objective) -> Iterator[nn.Module]:
    yield from network.encoders.values()
    for name, part in network.named_children():
        if name != "encoders" and type(part).forward is not nn.Module.forward and type(part) is not nn.Identity:
            yield part
