"""Pages of other origins: which may call the service from a browser (CORS). Off unless the settings name some."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from app.api.envelope import answer
from app.api.middleware import request_id
from app.errors import Malformed

EXPOSED = (
    "accept-ranges",
    "content-disposition",
    "content-range",
    "etag",
    "inference-header-content-length",
    "retry-after",
    "server-timing",
    "x-idempotent-replay",
    "x-model",
    "x-request-id",
    "x-shape",
    "x-should-retry",
)
"""Headers of answers that a page may read."""
SECONDS = 3600
"""How long a browser remembers what a preflight was answered."""


class Origins(CORSMiddleware):
    """Starlette's layer, which also answers preflights as everything is answered here: refusals named, with an id.

    No cookies are used, so that none are allowed: a page sends its key as any client does.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"),
            allow_headers=("*",),
            expose_headers=EXPOSED,
            max_age=SECONDS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        made = super().preflight_response(request_headers)
        if made.status_code != 200:
            refusal = Malformed(f"{bytes(made.body).decode()}; ROOTSTOCK_CORS_ORIGINS names the origins that may call")
            kept = {name: value for name, value in made.headers.items() if not name.startswith("content-")}
            made = answer(refusal, headers=kept)
        made.headers["x-request-id"] = request_id(request_headers.get("x-request-id", "")).decode()
        return made
