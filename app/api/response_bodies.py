"""How an answer leaves: as JSON, or its numbers alone, raw or as an .npy file, where `Accept` asks for that."""

import io
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.api.negotiation import chosen
from app.api.request_bodies import BINARY, NPY, RAW
from app.errors import UnknownChoice
from app.ml.inference.counters import Timings
from app.ml.operations.base import Operation

Headers = tuple[tuple[bytes, bytes], ...]
Packed = tuple[bytes, Headers]
"""Content and its headers."""
JSON: Headers = ((b"content-type", b"application/json"),)


def packer(operation: Operation, accept: str) -> Callable[[dict[str, Any]], Packed]:
    """What turns an answer's body into bytes of the type that the header `Accept` names, by default JSON; or into the
    file that it is."""
    if operation.media:
        return _as_file
    kind = binary(accept)
    return _as_json if kind is None else partial(_as_numbers, operation, kind)


def binary(accept: str) -> str | None:
    """The type of numbers alone that the header `Accept` asks for."""
    return chosen(accept, (NPY, RAW))


def described(operation: Operation) -> dict[str, Any]:
    """The further forms of an answer, for the OpenAPI document."""
    if operation.media:
        return {kind: {"schema": BINARY} for kind in operation.media.values()}
    return {} if operation.numbers is None else {RAW: {"schema": BINARY}, NPY: {"schema": BINARY}}


def server_timing(timings: Timings) -> bytes:
    """In milliseconds, as the header has it."""
    return b"preprocess;dur=%.3f, queue;dur=%.3f, inference;dur=%.3f" % (
        timings.preprocess * 1e3,
        timings.queue * 1e3,
        timings.inference * 1e3,
    )


@lru_cache(maxsize=256)
def head_lines(headers: Headers) -> bytes:
    """Headers as they stand in the head of an answer."""
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


def _as_json(answer: dict[str, Any]) -> Packed:
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), JSON


def _as_file(answer: dict[str, Any]) -> Packed:
    told = {b"content-type": answer["media_type"], b"x-model": answer["model"]}
    return answer["content"], tuple((name, value.encode()) for name, value in told.items())


def _as_numbers(operation: Operation, kind: str, answer: dict[str, Any]) -> Packed:
    items = [item[operation.numbers] for item in answer["data"]] if operation.numbers is not None else [""]
    if isinstance(items[0], str):
        raise UnknownChoice(
            f"accept: this answer has no form {kind}; ask for application/json, or leave encoding_format out",
            param="accept",
        )
    return as_bytes(np.asarray(items, np.float32), kind, str(answer["model"]))


def as_bytes(numbers: NDArray[np.float32], kind: str, model: str) -> Packed:
    """[B, …], little-endian; `x-shape` says their shape and `x-model` who answered."""
    numbers = numbers.astype("<f4", copy=False)
    if kind == RAW:
        return numbers.tobytes(), _about(kind, model, numbers.shape)
    file = io.BytesIO()
    np.save(file, numbers)
    return file.getvalue(), _about(kind, model, numbers.shape)


def in_parts(numbers: NDArray[np.float32], kind: str, model: str, parts: int) -> list[Packed]:
    """The same for so many answers, each of equally many of the rows [B, …]."""
    first, about = as_bytes(numbers[: len(numbers) // parts], kind, model)
    content = numbers.astype("<f4", copy=False).tobytes()
    size = len(content) // parts
    before = first[: len(first) - size]  # which an .npy file says of its numbers
    return [(before + content[at : at + size], about) for at in range(0, len(content), size)]


@lru_cache(maxsize=256)
def _about(kind: str, model: str, shape: tuple[int, ...]) -> Headers:
    told = {b"content-type": kind, b"x-model": model, b"x-shape": ",".join(map(str, shape))}
    return tuple((name, value.encode()) for name, value in told.items())
