"""Asking a model: every operation found in `app.ml.operations` as a bare ASGI application. Knows none of them by name.

The hot path: the key, the body, a permit, the body decoded in one go, the model's own story, the answer encoded.
Between it and the server stand the layers of `app.api.middleware` and nothing else; the router documents it.
"""

import json
import logging
import math
from typing import Any, NoReturn

import orjson
from fastapi import APIRouter, Depends
from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from app.api import envelope, numbers
from app.api.deps import FAULTS, Services, authenticate, bearer
from app.api.middleware import header
from app.api.openapi import json_body
from app.api.schemas import ErrorEnvelope
from app.errors import EmptyInput, Malformed, NonFinite, RootstockError, from_validation
from app.ml.operations.base import Operation
from app.ml.plugins import find
from app.ml.predictor import Predictor, Timings, aside
from app.registry.keys import Caller

log = logging.getLogger(__name__)

LARGE_BYTES = 64 * 1024
"""Bodies beyond this are decoded off the event loop when Python numbers are made of them."""
LARGE_NUMBERS_BYTES = 1024 * 1024
"""Bodies beyond this are decoded off the event loop in any case."""

REFUSALS = FAULTS | {
    424: {"model": ErrorEnvelope, "description": "The model could not answer, or is damaged."},
    429: {"model": ErrorEnvelope, "description": "Too many requests wait; `Retry-After` says when to try again."},
}

router = APIRouter(tags=["inference"], responses=REFUSALS, dependencies=[Depends(bearer)])


class Endpoint:
    """The ASGI application that answers one operation."""

    def __init__(self, operation: Operation, services: Services) -> None:
        self.path = operation.path
        self._operation, self._serving = operation, services.serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        try:
            caller = await self._admit(scope)
            body = await read_body(receive)
            with self._serving.permits:
                content, timings = await self._answer(caller.project_id, body)
        except (RootstockError, ClientDisconnect) as error:
            await envelope.refuse(error, scope)(scope, receive, send)
            return
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(content)),
            (b"server-timing", server_timing(timings)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _admit(self, scope: Scope) -> Caller:
        kind, _, secret = header(scope, b"authorization").partition(" ")
        known = self._serving.known(secret) if kind == "Bearer" else None
        if known is not None and "infer" in known.scopes:
            return known
        request = Request(scope)
        return await aside(True, authenticate, request, "infer")  # who is not known is looked up in SQL

    async def _answer(self, project_id: str, body: bytes) -> tuple[bytes, Timings]:
        operation = self._operation
        quick = await aside(len(body) > LARGE_NUMBERS_BYTES, self._quick, project_id, body)
        if quick is not None:
            asked, predictor = quick
            large = len(body) > LARGE_NUMBERS_BYTES
        else:
            asked = await aside(len(body) > LARGE_BYTES, decode, operation, body)
            large = len(body) > LARGE_BYTES or has_text(asked.input)
            predictor = await self._serving.model(project_id, asked.model)
        return await predictor.answer(operation, asked, large=large, pack=as_json)

    def _quick(self, project_id: str, body: bytes) -> tuple[Any, Predictor] | None:
        """The request, its numbers in an array, and the loaded model that it asks; None where that is not so simple."""
        read = numbers.read(body, "input")
        if read is None:
            return None
        beside, array = read
        predictor = self._serving.at_hand(project_id, str(beside.get("model")))
        if predictor is None or not predictor.takes_arrays:
            return None
        try:
            return self._operation.Request.model_validate({**beside, "input": array}), predictor
        except ValidationError:
            return None


def mount(operation: Operation) -> None:
    """Documents one operation; `endpoints` answers it, and this route all methods but POST."""

    def documented() -> NoReturn:
        raise AssertionError(f"POST {operation.path} came to its documentation; this is a bug")

    router.add_api_route(
        operation.path,
        documented,
        methods=["POST"],
        name=operation.name,
        summary=operation.Request.__doc__,
        responses={200: {"model": operation.Answer}},
        response_model=None,
        openapi_extra=json_body(operation.Request),
    )


def endpoints(services: Services) -> dict[str, Endpoint]:
    """Path to application, for POST."""
    return {operation.path: Endpoint(operation, services) for operation in OPERATIONS}


async def read_body(receive: Receive) -> bytes:
    """The whole body. Raises ClientDisconnect when the client went away in the middle of it."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def decode(operation: Operation, body: bytes) -> Any:
    """The validated request. Raises EmptyInput, Malformed, NonFinite, or what is wrong with a key."""
    if not body.strip():
        raise EmptyInput("the body is empty; send a JSON object with model and input")
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        explain(body, error)
    if not isinstance(decoded, dict):
        raise Malformed(f"the body is a JSON {type(decoded).__name__}; send an object with model and input")
    try:
        return operation.Request.model_validate(decoded)
    except ValidationError as error:
        raise from_validation(error.errors(include_url=False), decoded) from None


def explain(body: bytes, fault: orjson.JSONDecodeError) -> NoReturn:
    """Raises NonFinite when the body would be JSON but for a NaN or an infinity, Malformed otherwise."""
    try:
        json.loads(body, parse_constant=_refuse, parse_float=_finite)
    except NonFinite:
        raise
    except (ValueError, RecursionError):
        pass
    raise Malformed(f"the body is not JSON: {fault}") from None


def as_json(answer: dict[str, Any]) -> bytes:
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def has_text(given: Any) -> bool:
    """True for a string or a list that begins with one: a few bytes of it may take long to read."""
    return isinstance(given, str) or (isinstance(given, list) and bool(given) and isinstance(given[0], str))


def server_timing(timings: Timings) -> bytes:
    """In milliseconds, as the header has it."""
    return b"preprocess;dur=%.3f, queue;dur=%.3f, inference;dur=%.3f" % (
        timings.preprocess * 1e3,
        timings.queue * 1e3,
        timings.inference * 1e3,
    )


def _refuse(name: str) -> NoReturn:
    raise NonFinite(f"the body holds {name}, which is no finite number; leave such items out", param="input")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise NonFinite(f"the body holds {digits[:40]}, which is beyond the range of a number", param="input")
    return value


OPERATIONS = [found() for found in find("operations", Operation).values()]
for each in OPERATIONS:
    mount(each)
