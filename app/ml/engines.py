"""How a network computes its embeddings: chosen where it is published, by its speed and by how close its answers stay.

`fp32` is the network as it was trained. `bf16` halves the numbers that a matrix product reads, where the processor can
multiply them. One engine serves all sizes of batches, so that an answer never depends on who else asks.
"""

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from app.ml.artifact import Artifact, ask
from app.ml.modalities.base import Tensors

log = logging.getLogger(__name__)

ABILITY = "embed"
"""Predictions and reconstructions are always computed in fp32."""
SIZES = (1, 64)
"""Rows of the batches that are measured: a lone request, and a crowd's."""
LEAST_COSINE = 0.9999
"""Of an embedding to that in fp32, of the worst golden row."""
LEAST_GAIN = 1.2
"""What the crowd's batch has to gain, while a lone request loses nothing."""
MEASURED_SECONDS = 0.03


def choose(artifact: Artifact) -> dict[str, Any]:
    """`{"name", "cosine", "milliseconds": {engine: {rows: …}}}`, the last two where there was a choice.

    Times are medians on this machine with torch's present threads; `cosine` is the worst golden row's.
    """
    if ABILITY not in artifact.abilities or not can("bf16"):
        return {"name": "fp32"}
    try:
        cosine, milliseconds = _measured(artifact)
    except RuntimeError as error:  # an operation of this network has no such numbers
        log.info("bf16 is not for this network: %s", error)
        return {"name": "fp32"}
    few, many = (milliseconds["fp32"][str(size)] / milliseconds["bf16"][str(size)] for size in SIZES)
    good = cosine >= LEAST_COSINE and many >= LEAST_GAIN and few >= 1
    return {"name": "bf16" if good else "fp32", "cosine": cosine, "milliseconds": milliseconds}


def chosen(engine: Mapping[str, Any], device: torch.device) -> str:
    """The name of the engine that a published `engine` asks for, as far as this machine has it."""
    name = str(engine.get("name", "fp32"))
    return name if device.type == "cpu" and can(name) else "fp32"


def can(name: str) -> bool:
    """True when this processor computes in that engine without imitating it."""
    if name == "fp32":
        return True
    return name == "bf16" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@contextlib.contextmanager
def computing_in(engine: str) -> Iterator[None]:
    """The calling thread computes matrix products so."""
    if engine == "fp32":
        yield
        return
    with torch.autocast("cpu", dtype=torch.bfloat16):
        yield


def _measured(artifact: Artifact) -> tuple[float, dict[str, dict[str, float]]]:
    milliseconds: dict[str, dict[str, float]] = {}
    for engine in ("fp32", "bf16"):
        with computing_in(engine):
            answers = ask(artifact.network, ABILITY, artifact.golden_inputs)
            milliseconds[engine] = {
                str(size): round(_median_seconds(artifact, _rows(artifact.golden_inputs, size)) * 1e3, 4)
                for size in SIZES
            }
    cosine = float(cosine_similarity(answers, artifact.golden_outputs[ABILITY]).min())
    return round(cosine, 7) if math.isfinite(cosine) else 0.0, milliseconds


def _rows(inputs: Tensors, size: int) -> Tensors:
    which = torch.arange(size) % len(inputs["values"])
    return {name: tensor[which] for name, tensor in inputs.items()}


def _median_seconds(artifact: Artifact, inputs: Tensors) -> float:
    taken: list[float] = []
    until = time.perf_counter() + MEASURED_SECONDS
    while len(taken) < 3 or time.perf_counter() < until:
        began = time.perf_counter()
        answer: Tensor = ask(artifact.network, ABILITY, inputs)
        taken.append(time.perf_counter() - began)
        assert len(answer) == len(inputs["values"])
    return sorted(taken)[len(taken) // 2]
