"""How a published network computes its embeddings, as far as this machine can.

`fp32` is torch with the network as it was trained. `bf16` is torch with matrix products of such numbers, where the
processor multiplies them. `onnx` is ONNX Runtime, in fp32 like torch, for rows without padding. Each is taken for the
sizes of batches for which it was published.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from app.ml.artifact import Artifact, ask
from app.ml.objectives.base import Objective
from app.ml.runtime import onnx
from app.ml.runtime.halving import halved
from app.ml.tensors.shapes import Tensors

log = logging.getLogger(__name__)

ABILITY = "embed"
"""Predictions and reconstructions are always computed by torch in fp32."""
LEAST_COSINE = 0.9999
"""Of an embedding in bf16 to that in fp32, of the worst golden row, together with others and alone."""

Step = tuple[str, float]
"""An engine and up to how many rows it is taken."""


class Engine:
    """Answers for a network as its version was published."""

    def __init__(self, steps: Sequence[Step], networks: Mapping[str, Objective], session: onnx.Session | None) -> None:
        """`steps` say which engine answers batches of up to how many rows, the last one those of any number.

        `networks` are torch's by engine, `fp32` at least.
        """
        self.steps, self.session = steps, session
        self._networks = networks

    @property
    def names(self) -> list[str]:
        """The engines of ever larger batches."""
        return [name for name, _ in self.steps]

    @property
    def weights(self) -> float:
        """How often the network's weights are held."""
        return 1 + (self.session is not None) + (len(self._networks) - 1) / 2

    def ask(self, ability: str, inputs: Tensors) -> Tensor:
        """The answers [B, …] to rows [B, …], in float32."""
        if ability != ABILITY:
            return ask(self._networks["fp32"], ability, inputs)
        name = self._name_for(len(inputs["values"]))
        if name == "onnx" and self.session is not None and onnx.whole(inputs):
            return self.session(inputs)
        return ask(self._networks.get(name, self._networks["fp32"]), ABILITY, inputs)

    def session_for(self, ability: str, rows: int) -> onnx.Session | None:
        """What answers so many rows of one length, where that is not torch."""
        return self.session if ability == ABILITY and self._name_for(rows) == "onnx" else None

    def _name_for(self, rows: int) -> str:
        return next(name for name, most in self.steps if rows <= most)


def uses(published: Mapping[str, Any], name: str) -> bool:
    """True where a version was `published` with that engine for some size."""
    return name in [step for step, _ in steps_of(published)]


def steps_of(published: Mapping[str, Any]) -> list[Step]:
    """The engines that a version was `published` with, and up to how many rows each is taken; the last has no end."""
    parts = [published, *published.get("beyond", [])]
    found = [(str(part.get("name", "fp32")), part.get("rows", math.inf)) for part in parts]
    return found if found[-1][1] == math.inf else [*found, ("fp32", math.inf)]


def ready(
    published: Mapping[str, Any],
    artifact: Artifact,
    *,
    device: torch.device,
    threads: int,
    graph: Callable[[], Path] | None,
) -> Engine:
    """The engine that a version was `published` with, as far as this machine has it; `graph` finds what it needs."""
    networks = {"fp32": artifact.network}
    if device.type != "cpu":
        return Engine([("fp32", math.inf)], networks, None)
    steps = [(name if can(name) else "fp32", rows) for name, rows in steps_of(published)]
    names = {name for name, _ in steps}
    if "bf16" in names:
        half = halved(artifact.network)
        cosine = closeness(half, artifact)
        if cosine is not None and cosine >= LEAST_COSINE:
            networks["bf16"] = half
        else:
            log.warning("bf16 is not close here, fp32 answers for it: the worst golden row's cosine is %s", cosine)
    session = _session(artifact, threads, graph) if "onnx" in names else None
    had = {*networks, *(["onnx"] if session is not None else [])}
    return Engine([(name if name in had else "fp32", rows) for name, rows in steps], networks, session)


def can(name: str) -> bool:
    """True when this processor computes in that engine without imitating it."""
    return name in ("fp32", "onnx") or (name == "bf16" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


def closeness(half: Objective, artifact: Artifact) -> float | None:
    """The worst golden row's cosine of a halved network to fp32, together and alone; None where it cannot compute.

    Kernels differ between sizes, and some processors have had wrong ones.
    """
    wanted = artifact.golden_outputs[ABILITY]
    try:
        alone = [ask(half, ABILITY, onnx.row(artifact.golden_inputs, place)) for place in range(len(wanted))]
        answers = torch.stack([ask(half, ABILITY, artifact.golden_inputs), torch.cat(alone)])
    except RuntimeError as error:
        log.info("bf16 is not for this network: %s", error)
        return None
    cosine = float(cosine_similarity(answers, wanted, dim=-1).min())
    return round(cosine, 7) if math.isfinite(cosine) else 0.0


def _session(artifact: Artifact, threads: int, graph: Callable[[], Path] | None) -> onnx.Session | None:
    """The graph that came with a version, proved; None, and a warning, where it cannot be used."""
    try:
        if graph is None:
            raise FileNotFoundError(f"no {onnx.FILE} was stored with it")
        session = onnx.Session(graph(), threads)
        if not onnx.faithful(session, artifact, ABILITY):
            raise ValueError("its answers are not the golden ones")
    except Exception as error:  # of a library, a disk or a bucket: whatever it is, the weights can do without the graph
        log.warning("a graph cannot be used, torch answers for it: %s: %s", type(error).__name__, error)
        return None
    return session
