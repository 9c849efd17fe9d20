"""A network as an ONNX graph, and ONNX Runtime, which computes it: few rows take it half the time that they take torch.

A graph is derived from weights, by whoever publishes them, and is proved against their golden answers by all who load
it; one that a client brings is never read. What is traced are rows without padding, and such alone it answers.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.ml.artifact import Artifact, agrees
from app.ml.objectives.base import Objective
from app.ml.tensors.padding import runs, shortened
from app.ml.tensors.shapes import Arrays, Tensors

FILE = "embed.onnx"
"""Beside the files of the artifact in storage; no part of it."""
MOST_BYTES = 512 << 20
"""Of weights: those of larger models are not held twice, and their rows take longer than a step's start."""
LARGE = 16 << 20
"""Bytes of a weight from which on the exporter, which copies and checks all that it is given a dozen times, is not
given it."""
ANSWER = "answer"


def worthwhile(artifact: Artifact) -> bool:
    """False for what gains nothing by a graph beside its weights, or is too large for one."""
    return artifact.size_bytes <= MOST_BYTES and not artifact.looks_up


def export(artifact: Artifact, ability: str, path: Path) -> None:
    """Writes the graph of an ability: from rows [B, …], as long as they are, to answers [B, …] in float32.

    Raises whatever torch's exporter does when it has no counterpart of an operation.
    """
    inputs = row(artifact.golden_inputs, 0)
    trace(_Asked(artifact.network, ability, list(inputs)), inputs, [ANSWER], path)


def trace(asked: nn.Module, inputs: Tensors, outputs: Sequence[str], path: Path) -> None:
    """Writes the graph of a function of tensors side by side, [B, …] each, to its `outputs`.

    Raises whatever torch's exporter does when it has no counterpart of an operation.
    """
    axes = {name: {0: "rows", 1: "length"} if runs(inputs, name) else {0: "rows"} for name in inputs}
    weights = [*asked.named_parameters(), *asked.named_buffers()]
    large = {name: weight.detach() for name, weight in weights if weight.nbytes >= LARGE}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of what tracing keeps as constants: the proof tells whether it matters
        torch.onnx.export(  # by tracing: the newer exporter takes 2 to 7 s for what this one does in 0.1 to 1.4
            _Given(asked, list(large)).eval(),
            (*inputs.values(), *large.values()),
            path,
            dynamo=False,
            input_names=[*inputs, *large],
            output_names=list(outputs),
            dynamic_axes={**axes, **{name: {0: "rows"} for name in outputs}},
        )
    if large:
        _hold(large, path)


def _hold(weights: Tensors, path: Path) -> None:
    """Makes inputs of a graph its weights."""
    import onnx  # here, since most processes never need it

    model = onnx.load(path)
    taken = [each for each in model.graph.input if each.name in weights]
    for each in taken:
        model.graph.input.remove(each)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weights[each.name].numpy(), each.name))
    onnx.save(model, path)


class Session:
    """A graph that ONNX Runtime has loaded; safe to share between threads."""

    def __init__(self, path: Path, threads: int) -> None:
        """Computes with so many threads. Raises what ONNX Runtime does for a graph that it cannot read."""
        import onnxruntime  # here, since most processes never need it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others need the processor, too
        options.enable_mem_pattern = False  # it would keep one for every number of rows
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._names = [each.name for each in self._session.get_inputs()]

    def __call__(self, inputs: Tensors) -> Tensor:
        """The answers [B, …] to rows that `whole` is true of."""
        return torch.from_numpy(self.run({name: inputs[name].numpy() for name in self._names}))

    def run(self, inputs: Arrays) -> NDArray[np.float32]:
        """The same in NumPy."""
        (answer,) = self._session.run([ANSWER], inputs)
        return cast("NDArray[np.float32]", answer)


def whole(inputs: Tensors) -> bool:
    """True for rows without padding."""
    return "mask" not in inputs or bool(inputs["mask"].all())


def row(inputs: Tensors, place: int) -> Tensors:
    """One of the rows, without padding."""
    return shortened({name: tensor[place : place + 1] for name, tensor in inputs.items()})


def faithful(session: Session, artifact: Artifact, ability: str) -> bool:
    """True when the session gives the golden answers at all batch sizes; rows that are padded are asked one by one."""
    inputs, wanted = artifact.golden_inputs, artifact.golden_outputs[ability]
    count = len(wanted)
    if not whole(inputs):
        return all(agrees(session(row(inputs, place)), wanted[place : place + 1]) for place in range(count))
    choices = [torch.arange(size) % count for size in artifact.batch_sizes]
    return all(
        agrees(session({name: tensor[which] for name, tensor in inputs.items()}), wanted[which]) for which in choices
    )


class _Given(nn.Module):
    """A module as a function of some of its weights, too."""

    def __init__(self, asked: nn.Module, weights: Sequence[str]) -> None:
        super().__init__()
        self.asked = [asked.eval()]  # in a list: the exporter shall not find its weights
        self.places = [_place(asked, name) for name in weights]

    def forward(self, *tensors: Tensor) -> Any:
        count = len(tensors) - len(self.places)
        own = [held[name] for held, name in self.places]
        try:
            for (held, name), weight in zip(self.places, tensors[count:], strict=True):
                held[name] = weight
            return self.asked[0](*tensors[:count])
        finally:
            for (held, name), weight in zip(self.places, own, strict=True):
                held[name] = weight


def _place(module: nn.Module, weight: str) -> tuple[dict[str, Any], str]:
    """Where a weight of that name is held, and how it is called there."""
    path, _, name = weight.rpartition(".")
    owner = module.get_submodule(path)
    return (owner._parameters if name in owner._parameters else owner._buffers), name


class _Asked(nn.Module):
    """One ability, as a function of tensors side by side: what can be traced."""

    def __init__(self, network: Objective, ability: str, names: list[str]) -> None:
        super().__init__()
        self.network, self.ability, self.names = network, ability, names

    def forward(self, *tensors: Tensor) -> Tensor:
        answer: Tensor = getattr(self.network, self.ability)(dict(zip(self.names, tensors, strict=True)))
        return answer.float()
