"""Real servers on a loopback port, with models of known weights, and how a test asks them."""

import base64
import contextlib
import io
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import uvicorn
from fastapi import FastAPI
from PIL import Image

from app.api.fast_path.wire import Gathering
from app.main import create_app
from app.ml import artifact
from app.ml.inference.admission import Permits
from app.registry import keys, models
from app.registry.db import Database
from app.registry.tables import Version
from app.settings import Settings
from app.storage import Storage, open_storage
from tests import networks
from tests.servers import KEEP_ALIVE, wait_until

ADMIN_KEY = "a-key-for-these-tests"
MOST_WAITING = 8
RAW, NPY = "application/octet-stream", "application/x-npy"
VECTOR = networks.rows(1)[0].tolist()


@dataclass
class House:
    """A server with models."""

    url: str
    database: Database
    storage: Storage
    project_id: str
    client: httpx.Client
    permits: Permits

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        if body is not None:
            options["json"] = body
        return self.client.post(path, **options)

    def embed(self, items: Any, model: str = "tiny", **options: Any) -> httpx.Response:
        return self.post("/v1/embeddings", {"model": model, "input": items, **options})


def publish(database: Database, storage: Storage, project_id: str, name: str, files: dict[str, Path]) -> Version:
    loaded = artifact.load(files)
    with database.session() as session:
        return models.publish(
            session,
            project_id=project_id,
            name=name,
            job_id=None,
            parent_id=None,
            spec=loaded.spec,
            modality=loaded.roles[loaded.request_role].settings.name,
            dimensions=loaded.dimensions,
            abilities=loaded.abilities,
            metrics={},
            datasets=[],
            parameters=1,
            objects={key: storage.put(f"models/{name}/{key}", path) for key, path in files.items()},
        )


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The base URL of a server that runs in a thread."""
    options: Any = {"http": Gathering, "proxy_headers": False}  # as `rootstock api` has them
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_keep_alive=KEEP_ALIVE, **options))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def opened(settings: Settings) -> tuple[Database, Storage, str]:
    """A migrated registry whose first project has ADMIN_KEY, a store, and the project's id."""
    database, storage = Database(settings.resolved_database_url), open_storage(settings)
    database.migrate()
    with database.session() as session:
        keys.bootstrap(session, ADMIN_KEY)
        caller = keys.find(session, ADMIN_KEY)
    assert caller is not None
    return database, storage, caller.project_id


@contextlib.contextmanager
def asking(
    home: Path, models: Mapping[str, dict[str, Path]], *, looked: bool = False, **options: Any
) -> Iterator[httpx.Client]:
    """A client of a server with these settings that has these models, by their names.

    `looked`: it has looked at its registry for the first time, which empties its caches.
    """
    settings = Settings(home=home, **options)
    database, storage, project_id = opened(settings)
    for name, files in models.items():
        publish(database, storage, project_id, name, files)
    authorization, app = {"authorization": f"Bearer {ADMIN_KEY}"}, create_app(settings)
    with serving(app) as url, httpx.Client(base_url=url, headers=authorization, timeout=60) as client:
        cache = app.state.services.serving._cache
        wait_until(lambda: not looked or cache._revision is not None, "the first look at the registry")
        yield client
    database.close()


def numbers(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return np.array([item["embedding"] for item in response.json()["data"]])


def uri(pixels: Any, kind: str = "PNG") -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
