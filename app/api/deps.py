"""What every route leans on: the services of this process, who calls, and the route class that lets them in.

A guarded route checks the key first, then the body: nobody without a key makes the service parse anything.
"""

import difflib
import re
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BeforeValidator, TypeAdapter
from starlette.concurrency import run_in_threadpool

from app import bounded_json
from app.api.schemas import ErrorEnvelope
from app.errors import EmptyInput, InvalidApiKey, Malformed, MissingScope, NonFinite, NotFound, UnknownKey
from app.registry.db import Database
from app.registry.keys import Caller
from app.serving import Serving
from app.settings import Settings
from app.storage import Storage

NOT_FINITE = re.compile("-?(NaN|Infinity)")
SHOWN = 100
FORM_TOO = ", or a form ('content-type: multipart/form-data') with the part 'file'"
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""As JSON writes it, inside a string."""

FAULTS: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorEnvelope, "description": "No key, or an unknown one."},
    403: {"model": ErrorEnvelope, "description": "The key lacks the scope."},
    404: {"model": ErrorEnvelope, "description": "Nothing of that name in the key's project."},
    422: {"model": ErrorEnvelope, "description": "Understood, and wrong: `code` and `param` say what."},
    "default": {"model": ErrorEnvelope, "description": "Every other refusal has the same shape."},
}


@dataclass(frozen=True)
class Services:
    """One per process, on `app.state.services`."""

    settings: Settings
    database: Database
    storage: Storage
    serving: Serving


def services(request: Request) -> Services:
    found = request.app.state.services
    assert isinstance(found, Services)
    return found


def authenticate(request: Request, scope: str) -> Caller:
    """Who calls, by the bearer key of `request`.

    Raises InvalidApiKey without a known key, MissingScope when the key does not have `scope`.
    """
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    secret = secret.strip()
    if kind.lower() != "bearer" or not secret:
        raise InvalidApiKey("no API key: send it as the header 'Authorization: Bearer rs-…'")
    caller = services(request).serving.caller(secret)
    if scope not in caller.scopes:
        has = ", ".join(sorted(caller.scopes)) or "none"
        raise MissingScope(f"this needs a key with the scope {scope!r}; this key has {has}")
    return caller


def caller(request: Request) -> Caller:
    """Who was let in by the guarded route."""
    found = request.state.caller
    assert isinstance(found, Caller)
    return found


async def read_json(request: Request, instead: str = "") -> Any:
    """The body as strict JSON: no NaN, no infinity, no lone surrogate, no NUL (which SQL cannot keep).

    `instead` is what else than JSON the route takes. Raises EmptyInput, Malformed and NonFinite, with the place.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Malformed(f"the body's content type is {kind!r}; send 'content-type: application/json'{instead}")
    raw = await request.body()
    if not raw.strip():
        raise EmptyInput("the body is empty; send a JSON object")
    try:
        value = bounded_json.loads(raw)
    except orjson.JSONDecodeError as error:
        if NOT_FINITE.match(error.doc, error.pos) or "infinity" in error.msg:
            raise NonFinite(f"the body's number {bounded_json.place(error)} is not finite") from None
        raise Malformed(f"the body is not JSON: {error.msg} {bounded_json.place(error)}") from None
    if NUL.search(raw):
        raise Malformed("the body holds the character U+0000, which no text here may contain")
    return value


def refuse_unknown(request: Request, known: Collection[str]) -> None:
    """Raises UnknownKey for a query with another name: a filter with a typing mistake would let everything through."""
    for name in request.query_params:
        if name.partition("[")[0] not in known:
            meant = difflib.get_close_matches(name, known, n=1)
            there = f"there are {', '.join(sorted(known))}" if known else "there are none"
            hint = f"did you mean {meant[0]}? {there.capitalize()}" if meant else there
            raise UnknownKey(f"{request.url.path} has no query parameter {name[:SHOWN]!r}; {hint}", param=name[:SHOWN])


async def refuse_body(request: Request) -> None:
    """Raises UnknownKey for a body that says something: nobody would hear `{"dry_run": true}`. Some send `{}`."""
    raw = (await request.body()).strip()
    if raw not in (b"", b"{}", b"null"):
        raise UnknownKey(
            f"{request.method} {request.url.path} takes no body; got {raw[:SHOWN].decode(errors='replace')!r}"
        )


class StrictRequest(Request):
    """A request whose JSON was read by `read_json`."""

    strict: Any = None

    async def json(self) -> Any:
        return self.strict


class Guarded(APIRoute):
    """GET needs the scope `read`, everything else `train`; JSON bodies are read strictly."""

    scopes: ClassVar[tuple[str, str]] = ("read", "train")
    """To look, and to change something."""

    @cached_property
    def body(self) -> TypeAdapter[Any] | None:
        """What a JSON body is validated by."""
        if self.body_field is None:
            return None
        about = self.body_field.field_info
        described: Any = Annotated[about.annotation, about]
        return TypeAdapter(described)

    @cached_property
    def queries(self) -> frozenset[str]:
        """The names that a query may have: those that are documented."""
        names, left = set(), [self.dependant]
        while left:
            each = left.pop()
            names |= {parameter.alias for parameter in each.query_params}
            left += each.dependencies
        beside = (self.openapi_extra or {}).get("parameters", ())
        return frozenset(names | {each["name"] for each in beside if each["in"] == "query"})

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handle(plain: Request) -> Response:
            request = StrictRequest(plain.scope, plain.receive)
            scope = self.scopes[request.method not in ("GET", "HEAD")]
            request.state.caller = await run_in_threadpool(authenticate, request, scope)
            refuse_unknown(request, self.queries)
            if self.body_field is not None:
                request.strict = await read_json(request)
            elif request.method != "GET" and "requestBody" not in (self.openapi_extra or {}):
                await refuse_body(request)
            return await inner(request)

        return handle


class Administered(Guarded):
    """Everything needs the scope `admin`."""

    scopes = ("admin", "admin")


bearer = HTTPBearer(auto_error=False, description="An API key, `rs-…`; the key decides project and scopes.")
"""Documents the header; `Guarded` and `authenticate` do the work."""


def guarded_router(tag: str, route: type[Guarded] = Guarded) -> APIRouter:
    return APIRouter(route_class=route, tags=[tag], responses=FAULTS, dependencies=[Depends(bearer)])


After = Annotated[str | None, BeforeValidator(lambda given: given or None)]
"""Where a page begins; a loop's first request may say '', before it has seen a page."""


@dataclass(frozen=True)
class Paging:
    """Which page of a list."""

    limit: int
    after: str | None
    descending: bool


def pages(most: int) -> Callable[..., Paging]:
    """What reads a page's place and its size, `most` entries or fewer."""

    def paging(
        limit: Annotated[int, Query(ge=1, le=most, description="Most entries on the page.")] = 20,
        after: Annotated[After, Query(description="Id behind which the page begins.")] = None,
        order: Annotated[Literal["asc", "desc"], Query(description="By time of creation.")] = "desc",
    ) -> Paging:
        return Paging(limit, after, order == "desc")

    return paging


def metadata_filter(request: Request) -> dict[str, str]:
    """The pairs of `?metadata[k]=v`."""
    given = request.query_params.multi_items()
    return {name[9:-1]: value for name, value in given if name.startswith("metadata[") and name.endswith("]")}


METADATA_FILTER: dict[str, Any] = {
    "parameters": [
        {
            "name": "metadata",
            "in": "query",
            "style": "deepObject",
            "explode": True,
            "schema": {"type": "object", "additionalProperties": {"type": "string"}},
            "description": "Only entries with these pairs: `?metadata[k]=v`.",
        }
    ]
}

ServicesHere = Annotated[Services, Depends(services)]
CallerHere = Annotated[Caller, Depends(caller)]
PagingHere = Annotated[Paging, Depends(pages(100))]
MetadataHere = Annotated[dict[str, str], Depends(metadata_filter)]


@contextmanager
def asked_in(param: str) -> Iterator[None]:
    """Has what is not found within name the part of the request that asked for it."""
    try:
        yield
    except NotFound as error:
        raise NotFound(f"{param}: {error.message}", param=param) from None
