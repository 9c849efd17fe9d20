"""Asking a model: mounts every operation found in `app.ml.operations`. Knows none of them by name.

The hot path: the bare request, a permit, the body decoded in one go, the model's own story, the answer encoded.
"""

import json
import math
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from app.api.deps import FAULTS, authenticate, bearer, services
from app.api.openapi import json_body
from app.api.schemas import ErrorEnvelope
from app.errors import EmptyInput, Malformed, NonFinite, from_validation
from app.ml.operations.base import Operation
from app.ml.plugins import find
from app.ml.predictor import Timings, aside
from app.serving import Serving

LARGE_BYTES = 64 * 1024
"""Bodies beyond this are decoded, and their answers encoded, off the event loop."""


class Bare(APIRoute):
    """Calls its endpoint with the request alone: these routes have nothing for FastAPI to solve or validate.

    Dependencies and responses of the router are documentation.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


REFUSALS = FAULTS | {
    424: {"model": ErrorEnvelope, "description": "The model could not answer, or is damaged."},
    429: {"model": ErrorEnvelope, "description": "Too many requests wait; `Retry-After` says when to try again."},
}

router = APIRouter(tags=["inference"], route_class=Bare, responses=REFUSALS, dependencies=[Depends(bearer)])


def mount(operation: Operation) -> None:
    """Adds the route of one operation."""

    async def endpoint(request: Request) -> Response:
        here = services(request)
        known = here.serving.knows(request.headers.get("authorization", "")[len("Bearer ") :].strip())
        caller = await aside(not known, authenticate, request, "infer")  # who is not known is looked up in SQL
        body = await request.body()
        with here.serving.permits.take():
            return await answer(operation, here.serving, caller.project_id, body)

    router.add_api_route(
        operation.path,
        endpoint,
        methods=["POST"],
        name=operation.name,
        summary=operation.Request.__doc__,
        responses={200: {"model": operation.Answer}},
        openapi_extra=json_body(operation.Request),
    )


async def answer(operation: Operation, serving: Serving, project_id: str, body: bytes) -> Response:
    """Decode, find the model, let it answer, encode."""
    asked: Any = await aside(len(body) > LARGE_BYTES, decode, operation.Request, body)
    large = len(body) > LARGE_BYTES or has_text(asked.input)
    predictor = await serving.model(project_id, asked.model)
    answered, timings = await predictor.answer(operation, asked, large=large)
    content = await aside(large, orjson.dumps, answered, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(content, media_type="application/json", headers={"server-timing": server_timing(timings)})


def decode(model: type[BaseModel], body: bytes) -> BaseModel:
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
        return model.model_validate(decoded)
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


def has_text(given: Any) -> bool:
    """True for a string or a list that begins with one: a few bytes of it may take long to read."""
    return isinstance(given, str) or (isinstance(given, list) and bool(given) and isinstance(given[0], str))


def server_timing(timings: Timings) -> str:
    """In milliseconds, as the header has it."""
    return (
        f"preprocess;dur={timings.preprocess * 1e3:.3f}, queue;dur={timings.queue * 1e3:.3f}, "
        f"inference;dur={timings.inference * 1e3:.3f}"
    )


def _refuse(name: str) -> NoReturn:
    raise NonFinite(f"the body holds {name}, which is no finite number; leave such items out", param="input")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise NonFinite(f"the body holds {digits[:40]}, which is beyond the range of a number", param="input")
    return value


for found in find("operations", Operation).values():
    mount(found())
