"""How an answer leaves: as JSON, or its numbers alone, raw or as an .npy file, where `Accept` asks for that."""

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import orjson

from app.api.asked import BINARY, NPY, RAW
from app.errors import UnknownChoice
from app.ml.operations.base import Operation
from app.ml.predictor import Timings

Packed = tuple[bytes, list[tuple[bytes, bytes]]]
"""Content and its headers."""


def packer(operation: Operation, accept: str) -> Callable[[dict[str, Any]], Packed]:
    """What turns an answer's body into bytes of the type that the header `Accept` names, by default JSON."""
    if RAW in accept or NPY in accept:
        return partial(_as_numbers, operation, NPY if NPY in accept else RAW)
    return _as_json


def described(operation: Operation) -> dict[str, Any]:
    """The further forms of an answer, for the OpenAPI document."""
    return {} if operation.numbers is None else {RAW: {"schema": BINARY}, NPY: {"schema": BINARY}}


def server_timing(timings: Timings) -> bytes:
    """In milliseconds, as the header has it."""
    return b"preprocess;dur=%.3f, queue;dur=%.3f, inference;dur=%.3f" % (
        timings.preprocess * 1e3,
        timings.queue * 1e3,
        timings.inference * 1e3,
    )


def _as_json(answer: dict[str, Any]) -> Packed:
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), [(b"content-type", b"application/json")]


def _as_numbers(operation: Operation, kind: str, answer: dict[str, Any]) -> Packed:
    """float32 [B, …]; `x-shape` says their shape and `x-model` who answered."""
    items = [item[operation.numbers] for item in answer["data"]] if operation.numbers is not None else [""]
    if isinstance(items[0], str):
        raise UnknownChoice(
            f"accept: this answer has no form {kind}; ask for application/json, or leave encoding_format out",
            param="accept",
        )
    numbers = np.asarray(items, dtype="<f4")
    content = numbers.tobytes()
    if kind == NPY:
        file = io.BytesIO()
        np.save(file, numbers)
        content = file.getvalue()
    shape = ",".join(map(str, numbers.shape))
    return content, [
        (b"content-type", kind.encode()),
        (b"x-model", str(answer["model"]).encode()),
        (b"x-shape", shape.encode()),
    ]
