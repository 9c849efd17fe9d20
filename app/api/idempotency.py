"""A POST that creates is answered once: a repetition gets the first answer.

The key's row and what was made commit together. Which repetitions count is the registry's to say; this file only
knows the headers.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api.deps import Services, caller
from app.api.forms import Form
from app.errors import OutOfRange, RootstockError, WrongType
from app.queue import enqueue
from app.registry import idempotency
from app.registry.keys import Caller

HEADERS: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            "description": "The same key and body within 24 h give the first answer again; another body is a 409.",
        }
    ]
}


@dataclass(frozen=True)
class IdempotentRequest:
    """Who asks for what to be created, and which repetition of it this is."""

    caller: Caller
    route: str
    key: str | None
    body_sha256: str
    retry_count: int | None


@dataclass
class Made:
    """The answer's body, and the jobs (queue, id) to ring for once all is committed."""

    body: dict[str, Any]
    rings: list[tuple[str, str]] = field(default_factory=list)


def idempotent_request(request: Request, body_sha256: str, *, counts_retries: bool = True) -> IdempotentRequest:
    """Reads the headers. Only JSON creates take part in the stock SDK's counting of retries.

    Raises OutOfRange, WrongType.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= 255:
        raise OutOfRange(f"Idempotency-Key has {len(key)} characters; 1 to 255 are right", param="Idempotency-Key")
    count = request.headers.get("x-stainless-retry-count")
    if count is not None and not (count.isascii() and count.isdigit() and len(count) < 6):
        raise WrongType(f"x-stainless-retry-count is {count!r}; a count is right", param="x-stainless-retry-count")
    retry_count = int(count) if count is not None and counts_retries else None
    return IdempotentRequest(caller(request), f"POST {request.url.path}", key, body_sha256, retry_count)


async def idempotent_json_request(request: Request) -> IdempotentRequest:
    """As a dependency of routes with a JSON body, or none."""
    return idempotent_request(request, hashlib.sha256(await request.body()).hexdigest())


def create(
    services: Services, request: IdempotentRequest, status: int, make: Callable[[Session], Made]
) -> tuple[JSONResponse, bool]:
    """Runs `make` in one transaction with the key's row, then rings; or gives the earlier answer.

    The second value says whether anything was made.
    """
    who = (request.caller, request.route, request.key, request.body_sha256, request.retry_count)
    with services.database.session() as session:
        earlier = idempotency.replay(session, *who)
        if earlier is not None:
            return JSONResponse(earlier.response, earlier.status, {"x-idempotent-replay": "true"}), False
        made = make(session)
        idempotency.remember(session, *who, status, made.body)
    ring(services, made.rings)
    return JSONResponse(made.body, status), True


async def create_from_form(
    services: Services, request: IdempotentRequest, status: int, make: Callable[[Session], Made], form: Form
) -> JSONResponse:
    """`create`, which then owns the form's bytes: they are removed only where it is certain that no row names them."""
    form.kept = True
    try:
        answer, form.kept = await run_in_threadpool(create, services, request, status, make)
    except RootstockError:  # raised inside the transaction, which was rolled back
        form.kept = False
        raise
    return answer


def ring(services: Services, rings: list[tuple[str, str]]) -> None:
    """After the commit. A ring that gets lost is rung again by the sweep."""
    for queue, job_id in rings:
        if services.settings.broker_url is not None:
            enqueue(services.settings.broker_url, queue, job_id)
