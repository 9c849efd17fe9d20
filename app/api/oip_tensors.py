"""Tensors as the Open Inference Protocol sends them: in JSON, or as bytes behind it. Knows no model and no route.

Numbers are little-endian; every element of BYTES is preceded by its length in four bytes.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app import bounded_json
from app.errors import EmptyInput, Malformed, MissingKey, NonFinite, UnknownChoice, WrongShape, WrongType
from app.json_words import told, told_kind

DTYPES = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
BYTES = "BYTES"
MOST_AXES = 8


@dataclass(frozen=True)
class Wanted:
    """What a client asks for."""

    inputs: dict[str, Any]
    """Name to an array of numbers, or a list of texts"""
    outputs: dict[str, bool] | None
    """Name to whether as bytes; None for all of them"""
    binary: bool
    """Whether outputs that are not named come as bytes"""
    id: str | None


def decode(body: bytes, header_size: int | None) -> Wanted:
    """The request in a body of which the first `header_size` bytes are JSON. Raises what is wrong with it."""
    head = body if header_size is None else body[:header_size]
    if header_size is not None and not 0 < header_size <= len(body):
        raise Malformed(f"inference-header-content-length is {header_size}; the body has {len(body)} bytes")
    try:
        given = bounded_json.loads(head)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"the body is not JSON: {error.msg} {bounded_json.place(error)}") from None
    if not isinstance(given, dict):
        raise Malformed(f"the body is {told_kind(given)}; send an object with inputs")
    rest = memoryview(body)[len(head) :]
    inputs: dict[str, Any] = {}
    for place, tensor in enumerate(_list(given, "inputs")):
        name, value, rest = _read(tensor, f"inputs[{place}]", rest)
        inputs[name] = value
    if len(rest):
        raise Malformed(f"{len(rest)} bytes follow the inputs; binary_data_size of each says how many are its own")
    parameters = _mapping(given.get("parameters"), "parameters")
    asked = given.get("outputs")
    outputs = None
    if asked is not None:
        outputs = {}
        for place, output in enumerate(_list(given, "outputs")):
            where = f"outputs[{place}]"
            about = _mapping(_mapping(output, where).get("parameters"), f"{where}.parameters")
            outputs[_text(output, "name", where)] = bool(about.get("binary_data"))
    id = given.get("id")
    return Wanted(inputs, outputs, bool(parameters.get("binary_data_output")), None if id is None else str(id))


def encode(head: Mapping[str, Any], tensors: Mapping[str, Any], binary: Mapping[str, bool]) -> tuple[bytes, int | None]:
    """The answer's body and, where bytes follow, the size of its JSON. Texts are lists of `str`."""
    outputs, tail = [], []
    for name, value in tensors.items():
        texts = isinstance(value, list)
        shape = [len(value)] if texts else list(value.shape)
        output: dict[str, Any] = {"name": name, "datatype": BYTES if texts else datatype(value), "shape": shape}
        if binary.get(name):
            content = _texts_as_bytes(value) if texts else np.ascontiguousarray(value).tobytes()
            output["parameters"] = {"binary_data_size": len(content)}
            tail.append(content)
        else:
            output["data"] = value if texts else value.reshape(-1)
        outputs.append(output)
    body = orjson.dumps({**head, "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    return (body + b"".join(tail), len(body)) if tail else (body, None)


def datatype(value: NDArray[Any]) -> str:
    """Of an array, as the protocol calls it."""
    return next(name for name, kind in DTYPES.items() if np.dtype(kind) == value.dtype)


def _read(tensor: Any, where: str, rest: memoryview) -> tuple[str, Any, memoryview]:
    """A tensor's name and value, and the bytes behind it."""
    given = _mapping(tensor, where)
    name, kind = _text(given, "name", where), _text(given, "datatype", where)
    shape = given.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise WrongType(f"{where}.shape: expected a list of whole numbers, got {told(shape)}", param=f"{where}.shape")
    if not 0 < len(shape) <= MOST_AXES:
        raise WrongShape(f"{where}.shape: has {len(shape)} axes; 1 to {MOST_AXES} are right", param=f"{where}.shape")
    if kind != BYTES and kind not in DTYPES:
        known = ", ".join([*DTYPES, BYTES])
        raise UnknownChoice(f"{where}.datatype: {kind!r} is unknown; choose one of {known}", param=f"{where}.datatype")
    if prod(shape) == 0:
        raise EmptyInput(f"{where}: is empty; give at least one item", param=where)
    size = _mapping(given.get("parameters"), f"{where}.parameters").get("binary_data_size")
    if size is None:
        return name, _from_json(given, kind, shape, where), rest
    if type(size) is not int or not 0 <= size <= len(rest):
        raise Malformed(f"{where}: binary_data_size is {size!r}; {len(rest)} bytes are left", param=where)
    content = rest[:size]
    value = _texts(content, prod(shape), where) if kind == BYTES else _numbers(content, kind, shape, where)
    return name, value, rest[size:]


def _from_json(given: Mapping[str, Any], kind: str, shape: Sequence[int], where: str) -> Any:
    data = given.get("data")
    if data is None:
        raise MissingKey(f"{where} has neither data nor binary_data_size", param=f"{where}.data")
    flat = _flat(data)
    if len(flat) != prod(shape):
        raise WrongShape(f"{where}.data: holds {len(flat)} values; shape {list(shape)} is {prod(shape)}", param=where)
    if kind == BYTES:
        if not all(isinstance(value, str) for value in flat):
            raise WrongType(f"{where}.data: datatype BYTES holds texts", param=where)
        return flat
    try:
        return np.array(flat, DTYPES[kind]).reshape(shape)
    except (ValueError, TypeError, OverflowError):
        raise WrongType(f"{where}.data: holds a value that is no {kind}", param=where) from None


def _numbers(content: memoryview, kind: str, shape: Sequence[int], where: str) -> NDArray[Any]:
    dtype = np.dtype(DTYPES[kind])
    expected = prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise WrongShape(f"{where}: has {len(content)} bytes; {list(shape)} of {kind} are {expected}", param=where)
    values = np.frombuffer(content, dtype).reshape(shape)
    if dtype.kind == "f" and not np.isfinite(values).all():
        raise NonFinite(f"{where}: holds a value that is no finite number", param=where)
    return values


def _texts(content: memoryview, count: int, where: str) -> list[str]:
    found: list[str] = []
    while len(content):
        if len(content) < 4 or len(content) - 4 < (size := struct.unpack_from("<I", content)[0]):
            raise Malformed(f"{where}: element {len(found)} is cut short", param=where)
        try:
            found.append(str(content[4 : 4 + size], "utf-8"))
        except UnicodeDecodeError:
            raise Malformed(f"{where}: element {len(found)} is not UTF-8", param=where) from None
        content = content[4 + size :]
    if len(found) != count:
        raise WrongShape(f"{where}: holds {len(found)} elements; its shape says {count}", param=where)
    return found


def _texts_as_bytes(texts: Sequence[str]) -> bytes:
    encoded = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


def _flat(data: Any) -> list[Any]:
    """Nested lists as one; no deeper than a tensor may be."""
    for _ in range(MOST_AXES):
        if not (isinstance(data, list) and data and isinstance(data[0], list)):
            break
        data = [value for part in data for value in (part if isinstance(part, list) else [part])]
    return data if isinstance(data, list) else [data]


def _list(given: Mapping[str, Any], key: str) -> list[Any]:
    value = given.get(key)
    if not isinstance(value, list) or not value:
        raise MissingKey(f"{key}: expected a list of at least one, got {told(value)}", param=key)
    return value


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise WrongType(f"{where}: expected an object, got {told(value)}", param=where)
    return value or {}


def _text(given: Any, key: str, where: str) -> str:
    value = _mapping(given, where).get(key)
    if not isinstance(value, str):
        raise MissingKey(f"{where}.{key}: expected a text, got {told(value)}", param=f"{where}.{key}")
    return value
