"""What a request asks, in whatever form it comes: JSON, raw numbers, an .npy file, or a form with files.

In JSON the options stand beside `input`; beside raw numbers they are the address's query, in a form its fields. Knows
no model.
"""

import io
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import Message, Scope

from app import bounded_json
from app.api.multipart import parts
from app.api.openapi import HOISTED, json_body
from app.errors import EmptyInput, Malformed, NonFinite, UnknownKey, WrongShape, WrongType
from app.json_words import told_kind
from app.ml.operations.base import Operation
from app.npy import read_header
from app.validation import from_validation

RAW, NPY, FORM = "application/octet-stream", "application/x-npy", "multipart/form-data"
MOST_FIELDS, MOST_QUERY, MOST_REMEMBERED = 16, 4096, 256
INPUT = "input"
FILES = ("image/", "audio/", "video/", "multipart/")
"""Beginnings of media types of bodies that are files, or hold some."""
SHORT_TEXT = 1000
"""Characters of a text that is read on the event loop."""
BINARY = {"type": "string", "format": "binary"}


def decode(operation: Operation, body: bytes, kind: str = "") -> Any:
    """The validated request in JSON. Raises EmptyInput, Malformed, NonFinite, or what is wrong with a key.

    `kind` is the media type that the client named, for the message of a body that is no JSON.
    """
    if not body.strip():
        raise EmptyInput("the body is empty; send a JSON object with model and input")
    try:
        decoded = bounded_json.loads(body)
    except orjson.JSONDecodeError as error:
        if kind.startswith(FILES):
            items = f" with the item as a data: URI, or the file as 'input' of a form ({FORM})"
            raise Malformed(f"the body is {kind}; send JSON{items if operation.of_items else ''}") from None
        explain(body, error)
    if not isinstance(decoded, dict):
        raise Malformed(f"the body is {told_kind(decoded)}; send an object with model and input")
    return validated(operation, decoded)


def validated(operation: Operation, given: Mapping[str, Any]) -> Any:
    """The request that `given` is. Raises what is wrong with a key."""
    try:
        return operation.Request.model_validate(given)
    except ValidationError as error:
        raise from_validation(error.errors(include_url=False), given, operation.Request) from None


def remembered(operation: Operation, beside: Mapping[str, Any]) -> Any:
    """The request without its input whose options, read from JSON, are `beside`; None where they are wrong or long."""
    if any(isinstance(value, str) and len(value) > MOST_REMEMBERED for value in beside.values()):
        return None
    return _remembered(operation, tuple(beside.items()), tuple(map(type, beside.values())))  # true and 1 are equal


@lru_cache(maxsize=4096)
def _remembered(operation: Operation, beside: tuple[tuple[str, Any], ...], kinds: tuple[type, ...]) -> Any:
    try:
        return operation.Request.model_validate({**dict(beside), INPUT: None})
    except ValidationError:
        return None


@lru_cache(maxsize=4096)
def options(operation: Operation, query: bytes) -> Mapping[str, Any]:
    """The options in an address's query, as typed as in JSON. Raises Malformed or what is wrong with one."""
    if len(query) > MOST_QUERY:
        raise Malformed(f"the query has {len(query)} bytes; at most {MOST_QUERY} are read")
    try:
        text = query.decode()
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise Malformed(f"the query cannot be read: {error}; send model=NAME and further options") from None
    return typed(operation, pairs)


def typed(operation: Operation, pairs: list[tuple[str, str]]) -> Mapping[str, Any]:
    """Options that come as text. Raises UnknownKey for `input`, and what is wrong with one."""
    given = dict(pairs)
    if INPUT in given:
        raise UnknownKey("input: is the body here, not an option", param=INPUT)
    try:
        request = operation.Request.model_validate_strings({**given, INPUT: ""})
    except ValidationError as error:
        raise from_validation(error.errors(include_url=False), given, operation.Request) from None
    return request.model_dump(exclude={INPUT})


def raw(body: bytes, width: int | None) -> NDArray[np.float32]:
    """Little-endian float32: rows of `width` numbers, or one item where that is not fixed; views of `body`."""
    if not body:
        raise EmptyInput("the body is empty; send numbers as little-endian float32")
    if len(body) % (4 * (width or 1)):
        row = (
            "whole numbers of 4 bytes" if width is None else f"rows of {width} float32 numbers, {4 * width} bytes each"
        )
        raise WrongShape(f"input: the body has {len(body)} bytes; the model reads {row}", param=INPUT)
    numbers: NDArray[np.float32] = np.frombuffer(body, "<f4")
    return numbers if width is None else numbers.reshape(-1, width)


def npy(body: bytes) -> NDArray[Any]:
    """The array of an .npy file, a view of `body`. Raises Malformed, or WrongType for anything but numbers."""
    stream = io.BytesIO(body)
    try:
        header = read_header(stream)
    except ValueError as error:
        raise Malformed(f"the body is no .npy file: {error}") from None
    dtype, shape = header.dtype, header.shape
    if dtype.kind not in "fiu":
        raise WrongType(f"input: the array holds {dtype}; send numbers", param=INPUT)
    content, needed = body[stream.tell() :], math.prod(shape) * dtype.itemsize
    if len(content) != needed:
        raise Malformed(f"the .npy file has {len(content)} bytes of numbers, and {list(shape)} of {dtype} are {needed}")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if header.fortran else "C")


async def form(operation: Operation, scope: Scope, body: bytes) -> Any:
    """The validated request in a form: `input` is a file, a text, or several of either.

    Raises EmptyInput without one, Malformed for a file of another name, and what is wrong with an option.
    """

    async def replay() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    fields: list[tuple[str, str]] = []
    items: list[bytes | str] = []
    async for part in parts(Request(scope, replay)):
        if part.name != INPUT and part.filename is not None:
            raise Malformed(f"{part.name}: is a file; the form's files are its items, called 'input'", param=part.name)
        if part.name != INPUT:
            fields.append((part.name, await part.text()))
        elif part.filename is None:
            items.append(await part.text())
        else:
            items.append(b"".join([chunk async for chunk in part.body]))
    if not items:
        raise EmptyInput("the form has no field 'input'; send a file or several", param=INPUT)
    found = typed(operation, fields)
    return validated(operation, {**found, INPUT: items[0] if len(items) == 1 else items})


def described(operation: Operation) -> dict[str, Any]:
    """`openapi_extra` of a route that takes all this."""
    made = json_body(operation.Request)
    if not operation.of_items:
        return made
    schema = made[HOISTED][operation.Request.__name__]
    beside = {name: about for name, about in schema["properties"].items() if name != INPUT}
    file = {"anyOf": [BINARY, {"type": "array", "items": BINARY}, {"type": "string"}]}
    fields = {"type": "object", "required": ["model", INPUT], "properties": {**beside, INPUT: file}}
    made["requestBody"]["content"] |= {RAW: {"schema": BINARY}, NPY: {"schema": BINARY}, FORM: {"schema": fields}}
    where = "Beside raw numbers and .npy bodies only."
    parameters = [
        {"name": name, "in": "query", "schema": about, "description": where} for name, about in beside.items()
    ]
    return {**made, "parameters": parameters}


def explain(body: bytes, fault: orjson.JSONDecodeError) -> NoReturn:
    """Raises NonFinite when the body would be JSON but for a NaN or an infinity, Malformed otherwise."""
    try:
        json.loads(body, parse_constant=_refuse, parse_float=_finite)
    except NonFinite:
        raise
    except (ValueError, RecursionError):
        pass
    raise Malformed(f"the body is not JSON: {fault.msg} {bounded_json.place(fault)}") from None


def has_text(given: Any) -> bool:
    """True for text or a list that begins with it, and for files: a few bytes of them may take long to read."""
    return isinstance(given, str | bytes) or (
        isinstance(given, list) and bool(given) and isinstance(given[0], str | bytes)
    )


def short(given: Any) -> bool:
    """True for one text of which a thread's hop would cost more than to make tokens of it."""
    text = given[0] if isinstance(given, list) and len(given) == 1 else given
    return isinstance(text, str) and len(text) <= SHORT_TEXT


def _refuse(name: str) -> NoReturn:
    raise NonFinite(f"the body holds {name}, which is no finite number; leave such items out", param=INPUT)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise NonFinite(f"the body holds {digits[:40]}, which is beyond the range of a number", param=INPUT)
    return value
