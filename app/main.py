"""Puts the HTTP door together: services, layers, routes. `create_app` is all that a server needs."""

import contextlib
import gc
import logging
import re
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import version

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import (
    batches,
    checkpoints,
    datasets,
    envelope,
    files,
    fine_tuning,
    health,
    imports,
    inference,
    job_history,
    jobs,
    models,
    oip,
    openapi,
    retention,
    uploads,
)
from app.api.cors import Origins
from app.api.deps import Services
from app.api.fast_path.lane import Lane
from app.api.job_watch import Watcher
from app.api.late_decisions import decide_waiting
from app.api.middleware import BodyLimit, RequestContext, without_content
from app.api.telemetry import Telemetry
from app.registry.db import Database
from app.serving import Serving
from app.settings import Settings, read_settings
from app.storage import open_storage
from app.sweep import Sweeper

STREAMED = re.compile("/v1/(files|datasets|models/import|uploads/[^/]+/parts)")
"""Paths of the routes whose forms go to storage while they arrive."""
DESCRIPTION = "Turns your own data into your own embedding and prediction API."


class House(FastAPI):
    """Asks first whether a request belongs to the hot path, which has nothing of FastAPI in it."""

    hot: Mapping[str, ASGIApp]
    """Path to application, for POST."""
    lane: Lane
    """The server's protocol asks it before it makes a request of what arrives."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            await without_content(super().__call__)(scope, receive, send)
            return
        hot = self.hot.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if hot is None:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await hot(scope, receive, send)


def from_environment() -> House:
    """The application of a server's process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    made = create_app(read_settings())
    gc.freeze()  # what was imported stays: to look through it again takes an eighth of a second, in which all wait
    return made


def create_app(settings: Settings) -> House:
    """The application. The database must have been migrated; nothing is opened for long before the lifespan begins."""
    database, storage = Database(settings.resolved_database_url), open_storage(settings)
    serving = Serving(settings, database, storage)
    watcher, telemetry = Watcher(database), Telemetry()
    sweeper = Sweeper(settings, database, storage, decide_waiting)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        serving.start()
        sweeper.start()
        watcher.start()
        try:
            yield
        finally:
            await watcher.close()
            sweeper.stop()
            serving.stop()
            database.close()

    app = House(
        title="Rootstock",
        version=version("rootstock"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = Services(settings, database, storage, serving)
    app.state.watcher = watcher
    app.state.telemetry = telemetry
    for part in (
        inference,
        files,
        retention,
        uploads,
        datasets,
        jobs,
        checkpoints,
        job_history,
        fine_tuning,
        batches,
        models,
        imports,
        oip,
        health,
    ):  # the hottest first
        app.include_router(part.router)
    for guarded in (inference.guarded, health.guarded):
        app.include_router(guarded)
    envelope.install(app)
    openapi.install(app)

    def within_layers(inner: ASGIApp) -> ASGIApp:
        bounded = BodyLimit(inner, settings.max_body_bytes, settings.max_file_bytes, STREAMED)
        counted = RequestContext(bounded, telemetry)
        return Origins(counted, settings.origins) if settings.origins else counted

    app.hot = {path: within_layers(endpoint) for path, endpoint in inference.endpoints(app.state.services).items()}
    operations = {operation.path: operation for operation in inference.OPERATIONS if operation.of_items}
    app.lane = Lane(operations, serving, telemetry, settings)
    app.add_middleware(within_layers)
    return app
