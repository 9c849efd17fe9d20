"""Asking a model: every operation found in `app.ml.operations` as a bare ASGI application. Knows none of them by name.

The hot path: the key, the body, a permit, the body decoded in one go, the model's own story, the answer encoded.
Between it and the server stand the layers of `app.api.middleware` and nothing else; the router documents it.
"""

from typing import Any, Literal, NoReturn

from fastapi import APIRouter, Depends
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from app import plain_json
from app.api import envelope, request_bodies
from app.api.deps import FAULTS, CallerHere, Services, ServicesHere, authenticate, bearer, guarded_router
from app.api.middleware import header
from app.api.receiving import PERMIT, DisconnectWatch, read_body
from app.api.response_bodies import Packed, described, packer, server_timing
from app.api.schemas import ErrorEnvelope, Wire
from app.ml.inference.admission import Permit
from app.ml.inference.aside import aside
from app.ml.inference.counters import Timings
from app.ml.inference.predictor import Predictor
from app.ml.operations.base import Operation
from app.ml.plugins import find
from app.registry.keys import Caller

LARGE_BYTES = 64 * 1024
"""Bodies beyond this are decoded off the event loop when Python numbers are made of them."""
LARGE_NUMBERS_BYTES = 1024 * 1024
"""Bodies beyond this are decoded off the event loop in any case."""

REFUSALS = FAULTS | {
    424: {"model": ErrorEnvelope, "description": "The model could not answer, or is damaged."},
    429: {"model": ErrorEnvelope, "description": "Too many requests wait; `Retry-After` says when to try again."},
}

router = APIRouter(tags=["inference"], responses=REFUSALS, dependencies=[Depends(bearer)])
guarded = guarded_router("inference")


class Endpoint:
    """The ASGI application that answers one operation."""

    def __init__(self, operation: Operation, services: Services) -> None:
        self.path = operation.path
        self._operation, self._serving = operation, services.serving
        self._body_seconds = services.settings.body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        permits = self._serving.permits
        try:
            with scope.get("state", {}).pop(PERMIT, None) or Permit(permits) as permit:
                caller = await self._admit(scope)
                announced = header(scope, b"content-length")
                permits.check(int(announced) if announced.isdigit() else 0)
                body = await read_body(receive, self._body_seconds)
                await permit.get(len(body))
                with DisconnectWatch(receive):
                    (content, about), timings = await self._answer(scope, caller.project_id, body, permit.waited)
        except envelope.REFUSED as error:
            await envelope.refuse(error, scope)(scope, receive, send)
            return
        headers = [
            *about,
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

    async def _answer(self, scope: Scope, project_id: str, body: bytes, waited: float) -> tuple[Packed, Timings]:
        operation = self._operation
        kind = header(scope, b"content-type").partition(";")[0].strip().lower()
        large = len(body) > LARGE_NUMBERS_BYTES
        predictor: Predictor | None = None
        request: Any
        if operation.of_items and kind in (request_bodies.RAW, request_bodies.NPY):
            given = request_bodies.options(operation, scope["query_string"])
            predictor = await self._model(project_id, given["model"])
            items = (
                request_bodies.npy(body)
                if kind == request_bodies.NPY
                else request_bodies.raw(body, predictor.reading.row_numbers)
            )
            request = request_bodies.validated(operation, {**given, request_bodies.INPUT: items})
        elif operation.of_items and kind == request_bodies.FORM:
            request = await request_bodies.form(operation, scope, body)
            large = True
        else:
            quick = await aside(large, self._quick, project_id, body) if operation.of_items else None
            if quick is not None:
                request, predictor = quick
            else:
                large = len(body) > LARGE_BYTES
                request = await aside(large, request_bodies.decode, operation, body, kind)
                large = large or (operation.of_items and request_bodies.has_text(request.input))
        predictor = predictor or await self._model(project_id, request.model)
        if operation.of_items and request_bodies.short(request.input) and predictor.reading.reads_texts:
            large = predictor.reading.asks_sides(request)
        pack = packer(operation, header(scope, b"accept"))
        return await predictor.answer(operation, request, large=large, pack=pack, waited=waited)

    async def _model(self, project_id: str, reference: str) -> Predictor:
        return self._serving.at_hand(project_id, reference) or await self._serving.model(project_id, reference)

    def _quick(self, project_id: str, body: bytes) -> tuple[Any, Predictor] | None:
        """The request, its numbers in an array, and the loaded model that it asks; None where that is not so simple."""
        read = plain_json.read(body, request_bodies.INPUT)
        if read is None:
            return None
        beside, array = read
        predictor = self._serving.at_hand(project_id, str(beside.get("model")))
        if predictor is None or predictor.reading.row_numbers is None:
            return None
        try:
            return self._operation.Request.model_validate({**beside, request_bodies.INPUT: array}), predictor
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
        responses={200: _forms(operation)},
        response_class=Response if operation.media else JSONResponse,
        response_model=None,
        openapi_extra=request_bodies.described(operation),
    )


def _forms(operation: Operation) -> dict[str, Any]:
    """Of an answer: JSON and further ones, or the file that it is."""
    return {"content": described(operation), **({} if operation.media else {"model": operation.Answer})}


class Ready(Wire):
    """The model answers."""

    status: Literal["ok"] = "ok"
    model: str
    """`name:version`"""
    load_seconds: float
    """What its loading took, proof of its golden answers included."""


@guarded.get("/v1/models/{reference}/readyz", response_model=Ready, responses={424: REFUSALS[424]})
async def readyz(reference: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Loads the model where it is not; a 424 says what is wrong with it, while the service works on."""
    predictor = await here.serving.model(who.project_id, reference)
    return {"model": predictor.reference, "load_seconds": round(predictor.load_seconds, 3)}


def endpoints(services: Services) -> dict[str, Endpoint]:
    """Path to application, for POST."""
    return {operation.path: Endpoint(operation, services) for operation in OPERATIONS}


OPERATIONS = [found() for found in find("operations", Operation).values()]
for each in OPERATIONS:
    mount(each)
