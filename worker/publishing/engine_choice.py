"""With which engines a version is published: by their speed on this machine, and by how close their answers stay.

Knows no registry; what computes afterwards is `app.ml.runtime.engines`.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.disk import needing_room
from app.errors import InsufficientStorage
from app.ml.artifact import Artifact, ask
from app.ml.objectives.base import Objective
from app.ml.runtime import onnx
from app.ml.runtime.engines import ABILITY, LEAST_COSINE, can, closeness
from app.ml.runtime.halving import halved
from app.ml.runtime.threads import threads_for
from app.ml.tensors.shapes import Tensors
from app.ml.tensors.threads import computing_with

log = logging.getLogger(__name__)

SIZES = (1, 8, 64)
"""Rows of the batches that are measured: a lone request, a few at once, and a crowd's, where there are such batches."""
LEAST_GAIN = 1.2
"""What another engine has to gain on a size over the one that computes it otherwise."""
MEASURED_SECONDS, MOST_SECONDS = 0.03, 2.0
"""That an engine is measured for on a size; and about so long at most while times still fall, as on a busy machine."""
STEADY_ROUNDS, FALLEN = 3, 0.95
"""Rounds that there are at least, and in which no engine's shortest time fell to that share of it: it is known then."""

Answering = Callable[[Tensors], Tensor]
"""Rows [B, …] to their embeddings [B, E]."""
Milliseconds = dict[str, dict[str, float]]
"""Engine to rows to what a batch takes."""


def choose(artifact: Artifact, folder: Path) -> dict[str, Any]:
    """What the version is to be published with; where that uses `onnx`, the graph lies in `folder` then.

    `{"name", "rows", "beyond": [{"name", "rows"}, …], "milliseconds": {engine: {rows: …}}}`: `rows` up to which an
    engine is taken where that has an end, and what is taken `beyond`, which is fp32 where nothing says otherwise;
    with the worst golden row's `cosine` in bf16. Times are the shortest on this machine, with the threads that it is
    served with. Raises InsufficientStorage where the disk of `folder` has no room for the graph.
    """
    if ABILITY not in artifact.abilities:
        return {"name": "fp32"}
    threads = threads_for(artifact.work_per_row)
    with computing_with(threads):
        session = _exported(artifact, folder / onnx.FILE, threads)
        half = halved(artifact.network) if can("bf16") else None
        cosine = None if half is None else closeness(half, artifact)
        return decided(_compared(artifact, None if cosine is None else half, session), cosine)


def _exported(artifact: Artifact, path: Path, threads: int) -> onnx.Session | None:
    """The graph, written and loaded; None where it cannot be had or answers otherwise. Raises InsufficientStorage."""
    if not onnx.worthwhile(artifact):
        return None
    try:
        with needing_room(path.parent):
            onnx.export(artifact, ABILITY, path)
        session = onnx.Session(path, threads)
        if onnx.faithful(session, artifact, ABILITY):
            return session
        log.info("onnx is not for this network: its answers differ")
    except InsufficientStorage:
        raise
    except Exception as error:  # the exporter raises anything at all
        log.info("onnx is not for this network: %s: %s", type(error).__name__, error)
    return None


def _compared(artifact: Artifact, half: Objective | None, session: onnx.Session | None) -> Milliseconds:
    """Of every engine that there is, on the sizes that it can answer."""
    engines: dict[str, Answering] = {"fp32": partial(ask, artifact.network, ABILITY)}
    if half is not None:
        engines["bf16"] = partial(ask, half, ABILITY)
    if session is not None:
        engines["onnx"] = session
    found: Milliseconds = {name: {} for name in engines}
    for size in filter(artifact.has_batches_of, SIZES):
        rows = _rows(artifact.golden_inputs, size)
        able = {name: run for name, run in engines.items() if name != "onnx" or onnx.whole(rows)}
        for name, seconds in measured(able, rows).items():
            found[name][str(size)] = round(seconds * 1e3, 4)
    return found


def decided(milliseconds: Milliseconds, cosine: float | None) -> dict[str, Any]:
    """The engines to publish with, from what was measured and the closeness of bf16 where the machine has it."""
    able = {name: taken for name, taken in milliseconds.items() if name != "bf16" or (cosine or 0.0) >= LEAST_COSINE}
    steps: list[dict[str, Any]] = []
    name = "fp32"
    sizes = sorted(map(int, milliseconds["fp32"]), reverse=True)
    for size in sizes:  # from the crowd's batch down: an engine that is there already costs no more memory
        taken = {each: found[str(size)] for each, found in able.items() if str(size) in found}
        if taken.get(name, math.inf) > taken["fp32"]:
            name = "fp32"
        best = min(taken, key=lambda each: taken[each])
        if taken[name] >= LEAST_GAIN * taken[best]:
            name = best
        if not steps or steps[0]["name"] != name:
            steps.insert(0, {"name": name, "rows": size} if steps else {"name": name})
    chosen = steps[0]
    if steps[1:] not in ([], [{"name": "fp32"}]):
        chosen["beyond"] = steps[1:]
    if cosine is not None:
        chosen["cosine"] = cosine
    return {**chosen, "milliseconds": milliseconds} if len(milliseconds) > 1 else chosen


def _rows(inputs: Tensors, size: int) -> Tensors:
    if size == 1:
        return onnx.row(inputs, 0)
    which = torch.arange(size) % len(inputs["values"])
    return {name: tensor[which] for name, tensor in inputs.items()}


def measured(engines: Mapping[str, Answering], rows: Tensors) -> dict[str, float]:
    """The shortest seconds of engines that take turns: what a busy machine adds to a batch says nothing of them."""
    taken = dict.fromkeys(engines, math.inf)
    began, rounds, steady = time.perf_counter(), 0, 0

    def under(seconds: float) -> bool:
        return time.perf_counter() < began + seconds * len(engines)

    while rounds < STEADY_ROUNDS or under(MEASURED_SECONDS) or (steady < STEADY_ROUNDS and under(MOST_SECONDS)):
        before = dict(taken)
        for name, run in engines.items():
            asked = time.perf_counter()
            run(rows)
            taken[name] = min(taken[name], time.perf_counter() - asked)
        rounds += 1
        steady = 0 if any(taken[name] < FALLEN * before[name] for name in engines) else steady + 1
    return taken
