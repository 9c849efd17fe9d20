"""The one error handler: whatever is raised becomes the error envelope. Knows no route."""

import difflib
import logging
from collections.abc import Mapping
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Scope

from app.api.deps import Guarded
from app.errors import (
    ChangedMeanwhile,
    InsufficientStorage,
    Malformed,
    MethodNotAllowed,
    NotFound,
    NotReady,
    RootstockError,
)
from app.registry.db import is_away, is_full, is_orphan
from app.validation import from_validation

log = logging.getLogger(__name__)

PROTOCOL = "/v2"
"""What lies below speaks the Open Inference Protocol, which says what is wrong as `{"error": "in words"}`."""
REFUSED = (RootstockError, ClientDisconnect, DBAPIError, NoConnection)
"""What ends a request and has a name."""
METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
CLOSE = 0.8
"""How alike two words are of which one may be the other with a typing mistake."""


def answer(error: RootstockError, path: str = "", headers: Mapping[str, str] | None = None) -> JSONResponse:
    """What is wrong in the form of the `path` that was asked, with the headers that tell whether to try again."""
    hints = dict(headers or {})
    if error.retry_after is not None:
        hints["retry-after"] = str(error.retry_after)
    if error.permanent:
        hints["x-should-retry"] = "false"
    if error.status == 401:
        hints["www-authenticate"] = "Bearer"
    if error.status == 408:
        hints["connection"] = "close"
    spoken = f"{path}/".startswith(f"{PROTOCOL}/")
    return JSONResponse({"error": error.message if spoken else error.body()}, error.status, hints)


def refuse(error: RootstockError | ClientDisconnect | DBAPIError | NoConnection, scope: Scope) -> JSONResponse:
    """The envelope of what ended a request; one that is the server's own fault is logged.

    A database without room, one that does not answer, and a row that went away have a name; what else a database says
    is a bug, and is raised.
    """
    path = scope["path"]
    if isinstance(error, ClientDisconnect):  # in the middle of its body; nobody reads this answer
        return answer(Malformed("the body ended before it was complete"), path)
    if isinstance(error, NoConnection):
        log.error("%s %s: those before wait for the database: %s", scope["method"], path, error)
        return answer(NotReady("the database does not answer; try again soon"), path)
    if isinstance(error, DBAPIError):
        if is_full(error):
            return answer(
                InsufficientStorage("there is no room left on the database's disk: make some, then try again"), path
            )
        if is_away(error):
            log.error("%s %s: the database does not answer: %s", scope["method"], scope["path"], error.orig)
            return answer(NotReady("the database does not answer; try again soon"), path)
        if is_orphan(error):
            return answer(
                ChangedMeanwhile("what this is about was deleted meanwhile; look again, then try again"), path
            )
        raise error
    if error.status == 500:
        log.error("%s %s failed: %s", scope["method"], scope["path"], error, exc_info=error)
    return answer(error, path)


async def named(request: Request, error: Exception) -> JSONResponse:
    return refuse(cast(RootstockError | ClientDisconnect | DBAPIError | NoConnection, error), request.scope)


async def invalid(request: Request, error: Exception) -> JSONResponse:
    """What FastAPI refused. Its own handler would put NaNs of the input into the answer, and fail."""
    found = cast(RequestValidationError, error).errors()
    where = found[0]["loc"][0]
    given: Any = cast(RequestValidationError, error).body
    if where == "query":
        given = dict(request.query_params)
    elif where == "path":
        given = dict(request.path_params)
    elif where == "header":
        given = dict(request.headers)
    route = request.scope["route"]
    model = route.body if where == "body" and isinstance(route, Guarded) else None
    return answer(from_validation([{**each, "loc": each["loc"][1:]} for each in found], given, model), request.url.path)


def likely_path(request: Request) -> str | None:
    """The path that was meant: a client's base address has no /v1, or /v1 twice, or a slash too many, or a word of it
    has a typing mistake."""
    steps = list(filter(None, request.url.path.split("/")))
    slashes = "/" + "/".join(steps)
    tried = [slashes, f"/v1{slashes}", slashes.replace("/v1/v1/", "/v1/", 1)]
    known = [path.split("/") for path in request.app.openapi()["paths"]]
    if len(steps) < max(map(len, known)):  # anybody may send a path of ten thousand words: none of those is meant
        words = {word for path in known for word in path}
        each = ((difflib.get_close_matches(step, words, n=1, cutoff=CLOSE) or [step])[0] for step in steps)
        spelled = "/" + "/".join(each)
        tried += [spelled, f"/v1{spelled}"]

    def leads(path: str) -> bool:
        return any(route.matches({**request.scope, "path": path})[0] != Match.NONE for route in request.app.routes)

    return next(filter(leads, tried), None)


def methods(request: Request) -> list[str]:
    """What is possible at the path that was asked: several routes may have it, and the router knows the first alone."""

    def leads(method: str) -> bool:
        asked = {**request.scope, "method": method}
        return any(route.matches(asked)[0] == Match.FULL for route in request.app.routes)

    found = set(filter(leads, METHODS))
    return sorted(found | {"HEAD"} if "GET" in found else found)


async def refused_by_router(request: Request, error: Exception) -> JSONResponse:
    """Starlette's own refusals."""
    refusal = cast(HTTPException, error)
    path = request.url.path
    here = f"{request.method} {path}"
    if refusal.status_code == 404:
        meant = likely_path(request)
        hint = "" if meant is None else f"did you mean {meant}? "
        return answer(NotFound(f"there is no route {here}; {hint}/docs lists all routes"), path)
    if refusal.status_code == 405:
        allowed = methods(request)
        refused = MethodNotAllowed(f"{here} is not possible; use {' or '.join(allowed)}")
        return answer(refused, path, {"allow": ", ".join(allowed)})
    return answer(Malformed(str(refusal.detail)), path, refusal.headers)


def install(app: FastAPI) -> None:
    for refused in REFUSED:
        app.add_exception_handler(refused, named)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused_by_router)
