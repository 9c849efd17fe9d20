"""How a network computes its embeddings: chosen where it is published, by its speed and by how close its answers stay.

`fp32` is torch with the network as it was trained. `bf16` halves the numbers that a matrix product reads, where the
processor can multiply them; it serves all sizes of batches, so that an answer never depends on who else asks. `onnx` is
ONNX Runtime, in fp32 like torch: for batches up to the size to which it pays, and without padding.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from app.disk import needing_room
from app.errors import InsufficientStorage
from app.ml import onnx
from app.ml.artifact import BATCH_SIZES, Artifact, ask
from app.ml.modalities.base import Tensors
from app.ml.objectives.base import Objective
from app.ml.threads import computing_with, threads_for, work_per_row

log = logging.getLogger(__name__)

ABILITY = "embed"
"""Predictions and reconstructions are always computed by torch in fp32."""
SIZES = (1, 8, 64)
"""Rows of the batches that are measured: a lone request, a few at once, and a crowd's."""
LEAST_COSINE = 0.9999
"""Of an embedding in bf16 to that in fp32, of the worst golden row."""
LEAST_GAIN = 1.2
"""What `bf16` has to gain on the crowd's batch, while a lone request loses nothing, and `onnx` on each of its sizes."""
MEASURED_SECONDS = 0.03

Answering = Callable[[Tensors], Tensor]
"""Rows [B, …] to their embeddings [B, E]."""
Milliseconds = dict[str, dict[str, float]]
"""Engine to rows to what a batch takes."""


class Engine:
    """Answers for a network as its version was published."""

    def __init__(
        self, network: Objective, name: str, session: onnx.Session | None = None, rows: int | None = None
    ) -> None:
        """`session` answers batches of up to so many rows."""
        self.name, self.session = name, session
        self._network = network
        self._rows = math.inf if rows is None else rows

    def ask(self, ability: str, inputs: Tensors) -> Tensor:
        """The answers [B, …] to rows [B, …], in float32."""
        if ability != ABILITY:
            return ask(self._network, ability, inputs)
        session = self.session_for(ability, len(inputs["values"]))
        if session is not None and onnx.whole(inputs):
            return session(inputs)
        return embedded(self._network, self.name, inputs)

    def session_for(self, ability: str, rows: int) -> onnx.Session | None:
        """What answers so many rows of one length, where that is not torch."""
        return self.session if ability == ABILITY and rows <= self._rows else None


def choose(artifact: Artifact, folder: Path) -> dict[str, Any]:
    """What the version is to be published with; the graph, where it is `onnx`, lies in `folder` then.

    `{"name", "milliseconds": {engine: {rows: …}}}`, beside it the worst golden row's `cosine` in bf16, and `rows` up to
    which `onnx` pays where it has an end. Times are medians on this machine, with the threads that it is served with.
    Raises InsufficientStorage where the disk of `folder` has no room for the graph.
    """
    if ABILITY not in artifact.abilities:
        return {"name": "fp32"}
    threads = threads_for(work_per_row(artifact))
    with computing_with(threads):
        session = _exported(artifact, folder / onnx.FILE, threads)
        cosine = _closeness(artifact) if can("bf16") else None
        return decided(_measured(artifact, cosine is not None, session), cosine)


def ready(
    published: Mapping[str, Any],
    artifact: Artifact,
    *,
    device: torch.device,
    threads: int,
    graph: Callable[[], Path] | None,
) -> Engine:
    """The engine that a version was `published` with, as far as this machine has it; `graph` finds what it needs."""
    name = str(published.get("name", "fp32"))
    if device.type != "cpu" or not can(name):
        return Engine(artifact.network, "fp32")
    if name != "onnx":
        return Engine(artifact.network, name)
    try:
        if graph is None:
            raise FileNotFoundError(f"no {onnx.FILE} was stored with it")
        session = onnx.Session(graph(), threads)
        if not onnx.faithful(session, artifact, ABILITY, BATCH_SIZES):
            raise ValueError("its answers are not the golden ones")
    except Exception as error:  # of a library, a disk or a bucket: whatever it is, the weights can do without the graph
        log.warning("a graph cannot be used, torch answers for it: %s: %s", type(error).__name__, error)
        return Engine(artifact.network, "fp32")
    return Engine(artifact.network, "onnx", session, published.get("rows"))


def can(name: str) -> bool:
    """True when this processor computes in that engine without imitating it."""
    return name in ("fp32", "onnx") or (name == "bf16" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


def embedded(network: Objective, engine: str, inputs: Tensors) -> Tensor:
    """Embeddings [B, E] by torch."""
    if engine != "bf16":
        return ask(network, ABILITY, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return ask(network, ABILITY, inputs)


def _exported(artifact: Artifact, path: Path, threads: int) -> onnx.Session | None:
    """The graph, written and loaded; None where it cannot be had or answers otherwise. Raises InsufficientStorage."""
    if not onnx.exportable(artifact):
        return None
    try:
        with needing_room(path.parent):
            onnx.export(artifact, ABILITY, path)
        session = onnx.Session(path, threads)
        if onnx.faithful(session, artifact, ABILITY, BATCH_SIZES):
            return session
        log.info("onnx is not for this network: its answers differ")
    except InsufficientStorage:
        raise
    except Exception as error:  # the exporter raises anything at all
        log.info("onnx is not for this network: %s: %s", type(error).__name__, error)
    return None


def _closeness(artifact: Artifact) -> float | None:
    """The worst golden row's cosine of bf16 to fp32; None where an operation has no such numbers."""
    try:
        answers = embedded(artifact.network, "bf16", artifact.golden_inputs)
    except RuntimeError as error:
        log.info("bf16 is not for this network: %s", error)
        return None
    cosine = float(cosine_similarity(answers, artifact.golden_outputs[ABILITY]).min())
    return round(cosine, 7) if math.isfinite(cosine) else 0.0


def _measured(artifact: Artifact, bf16: bool, session: onnx.Session | None) -> Milliseconds:
    """Of every engine that there is, on the sizes that it can answer."""
    engines: dict[str, Answering] = {"fp32": partial(embedded, artifact.network, "fp32")}
    if bf16:
        engines["bf16"] = partial(embedded, artifact.network, "bf16")
    if session is not None:
        engines["onnx"] = session
    found: Milliseconds = {name: {} for name in engines}
    for size in SIZES:
        rows = _rows(artifact.golden_inputs, size)
        able = {name: run for name, run in engines.items() if name != "onnx" or onnx.whole(rows)}
        for name, seconds in _median_seconds(able, rows).items():
            found[name][str(size)] = round(seconds * 1e3, 4)
    return found


def decided(milliseconds: Milliseconds, cosine: float | None) -> dict[str, Any]:
    """The engine to publish with, from what was measured and the closeness of bf16 where the machine has it."""
    gains = {
        engine: {rows: milliseconds["fp32"][rows] / taken for rows, taken in found.items()}
        for engine, found in milliseconds.items()
    }
    chosen: dict[str, Any] = {"name": "fp32"}
    few, many = str(SIZES[0]), str(SIZES[-1])
    pays = list(_leading(gains.get("onnx", {})))
    if pays:
        chosen = {"name": "onnx"} if pays[-1] == SIZES[-1] else {"name": "onnx", "rows": pays[-1]}
    if cosine is not None:
        bf16 = gains["bf16"]
        better = bf16[many] >= max(LEAST_GAIN, gains.get("onnx", {}).get(many, 0.0))
        if cosine >= LEAST_COSINE and better and bf16[few] >= 1:
            chosen = {"name": "bf16"}
        chosen["cosine"] = cosine
    return {**chosen, "milliseconds": milliseconds} if len(milliseconds) > 1 else chosen


def _leading(gains: Mapping[str, float]) -> Iterable[int]:
    """The sizes up to the first that does not pay."""
    for rows, gain in gains.items():
        if gain < LEAST_GAIN:
            return
        yield int(rows)


def _rows(inputs: Tensors, size: int) -> Tensors:
    if size == 1:
        return onnx.row(inputs, 0)
    which = torch.arange(size) % len(inputs["values"])
    return {name: tensor[which] for name, tensor in inputs.items()}


def _median_seconds(engines: Mapping[str, Answering], rows: Tensors) -> dict[str, float]:
    """Of engines that take turns, so that what else the machine does meets them alike."""
    taken: dict[str, list[float]] = {name: [] for name in engines}
    until = time.perf_counter() + MEASURED_SECONDS * len(engines)
    while len(taken["fp32"]) < 3 or time.perf_counter() < until:
        for name, run in engines.items():
            began = time.perf_counter()
            run(rows)
            taken[name].append(time.perf_counter() - began)
    return {name: sorted(times)[len(times) // 2] for name, times in taken.items()}
