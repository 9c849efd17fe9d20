"""A model as one ONNX graph for other programs: what goes in is what a client has, scaling is a part of the graph.

Unlike the graph that an engine computes with it reads raw numbers, and texts with padding. Written and proved by
whoever publishes the model; nothing here reads it.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from app.ml.artifact import Artifact, agrees, ask
from app.ml.runtime import onnx
from app.ml.runtime.settling import settle
from app.ml.tensors.padding import runs
from app.ml.tensors.shapes import Arrays, Tensors, as_arrays

log = logging.getLogger(__name__)

FILE = "model.onnx"
"""Beside the files of the artifact in storage; no part of it."""
ABILITIES = ("reconstruct", "embed", "predict")
"""What is a function of items alone; its answers [B, …] are the outputs of that name. Boxes would need sorting out."""


class NoGraph(Exception):
    """Why a model has none, for those who ask for it."""


def write(artifact: Artifact, path: Path) -> None:
    """Writes the graph; raises NoGraph, and leaves no file, where the model has none that answers as its network."""
    able = [ability for ability in ABILITIES if _has(artifact, ability)]
    if not able:
        raise NoGraph(
            f"nothing that it answers ({', '.join(artifact.abilities)}) is what graphs give: embeddings, predictions "
            "of numbers, classes and tags, reconstructions of numbers and pictures"
        )
    if artifact.size_bytes > onnx.MOST_BYTES:
        raise NoGraph(f"its weights take {artifact.size_bytes >> 20:,} MiB, and graphs end at {onnx.MOST_BYTES >> 20}")
    raw, faults = _raw(artifact), []
    for abilities in (able, *([ability] for ability in reversed(able) if len(able) > 1)):
        try:
            onnx.trace(_Whole(artifact, abilities, list(raw)), raw, abilities, path)
            settle(path, _batches(raw))
            if _faithful(path, artifact, abilities, raw):
                return
            faults.append("its answers in ONNX Runtime were not those of the network")
        except OSError:
            raise
        except Exception as error:  # the exporter raises anything at all
            faults.append(f"it has no counterpart in ONNX ({type(error).__name__}: {str(error).strip():.200})")
        log.info("there is no graph to %s: %s", " and ".join(abilities), faults[-1])
    path.unlink(missing_ok=True)
    raise NoGraph(faults[-1])


def _has(artifact: Artifact, ability: str) -> bool:
    if ability == "reconstruct":
        return ability in artifact.abilities and artifact.roles[artifact.request_role].scales
    return ability in artifact.abilities and artifact.golden_outputs[ability].ndim == 2


def _raw(artifact: Artifact) -> Tensors:
    """The golden rows, or others like them, as the graph takes them."""
    fitted, inputs = artifact.roles[artifact.request_role], artifact.golden_inputs
    if not fitted.scales:
        return _padded(inputs)
    return {"values": torch.from_numpy(fitted.read(fitted.render(inputs["values"])))}


def _padded(inputs: Tensors) -> Tensors:
    """Rows of several lengths: a network may go another way where none is padded, and the trace would know no other."""
    if not onnx.whole(inputs) or not runs(inputs, "values") or inputs["values"].ndim != 2:
        return inputs
    rows, length = inputs["mask"].shape
    kept = torch.arange(length) < (length - torch.arange(rows) % length)[:, None]
    return {name: tensor * kept if runs(inputs, name) else tensor for name, tensor in inputs.items()}


def _batches(raw: Tensors) -> list[Arrays]:
    """Rows that have nothing in common but what all have; none of texts of one token."""
    shorter = _shorter(raw)
    if shorter is None:
        return []
    some = (raw, 2), (shorter, 3), (raw, 5)
    return [
        as_arrays({name: rows[torch.arange(count) % len(rows)] for name, rows in inputs.items()})
        for inputs, count in some
    ]


def _shorter(raw: Tensors) -> Tensors | None:
    """Texts without their last place, and what has no places as it is; None of texts of one token."""
    if "mask" in raw and raw["mask"].shape[1] == 1:
        return None
    return {name: rows[:, :-1] if runs(raw, name) else rows for name, rows in raw.items()}


def _faithful(path: Path, artifact: Artifact, abilities: Sequence[str], raw: Tensors) -> bool:
    """True when the graph answers as the network does, at all sizes of batches, and to texts of another length."""
    import onnxruntime  # here, since most processes never need it

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    taken = [each.name for each in session.get_inputs()]
    fitted, shorter = artifact.roles[artifact.request_role], _shorter(raw) if "mask" in raw else None
    for inputs, sizes in ((raw, artifact.batch_sizes), (shorter, artifact.batch_sizes[:2])):
        if inputs is None:
            continue
        encoded = fitted.encode(inputs["values"].numpy()) if fitted.scales else inputs
        wanted = [_shown(artifact, ability, ask(artifact.network, ability, encoded)) for ability in abilities]
        for which in [torch.arange(size) % len(inputs["values"]) for size in sizes]:
            rows = {name: inputs[name][which].numpy() for name in taken}
            answers: list[Any] = session.run(list(abilities), rows)
            if not all(agrees(torch.from_numpy(a), w[which]) for a, w in zip(answers, wanted, strict=True)):
                return False
    return True


def _shown(artifact: Artifact, ability: str, answer: Tensor) -> Tensor:
    """In the unit of the data, where it has one: reconstructions and predicted numbers."""
    fitted = artifact.roles.get({"reconstruct": artifact.request_role, "predict": "target"}.get(ability, ""))
    return answer if fitted is None else fitted.unscaled(answer)


class _Whole(nn.Module):
    """Abilities as functions of raw items."""

    def __init__(self, artifact: Artifact, abilities: Sequence[str], names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.artifact, self.abilities, self.names = artifact.network, artifact, abilities, names

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        inputs, fitted = dict(zip(self.names, tensors, strict=True)), self.artifact.roles[self.artifact.request_role]
        if fitted.scales:
            inputs["values"] = fitted.scaled(inputs["values"])
        return tuple(
            _shown(self.artifact, ability, getattr(self.network, ability)(inputs).float()) for ability in self.abilities
        )
