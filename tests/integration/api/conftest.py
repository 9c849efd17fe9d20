"""One real server per registry and store, over real sockets; every test gets a project of its own in it."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest
import uvicorn

from app.api.deps import Services
from app.main import create_app
from app.registry import keys
from app.registry.db import Database
from app.settings import Settings
from app.storage import Storage
from tests import servers

MAX_FILE = 200_000
MAX_BODY = 20_000


@dataclass(frozen=True)
class House:
    """A running server."""

    base_url: str
    services: Services

    @property
    def database(self) -> Database:
        return self.services.database

    @property
    def storage(self) -> Storage:
        return self.services.storage

    def client(self, secret: str | None) -> httpx.Client:
        headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=60)

    def key(self, project_id: str, *scopes: str) -> str:
        with self.database.session() as session:
            return keys.create_key(session, project_id, "test", scopes)[1]


@contextlib.contextmanager
def serve(settings: Settings) -> Iterator[House]:
    app = create_app(settings)
    services: Services = app.state.services
    services.database.migrate()
    with services.database.session() as session:
        keys.bootstrap(session)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(app, log_config=None, ws="none", lifespan="on", timeout_keep_alive=servers.KEEP_ALIVE)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            servers.wait_until(lambda: server.started or not thread.is_alive(), "the API")
            assert thread.is_alive(), "the API did not start"
            yield House(f"http://127.0.0.1:{port}", services)
        finally:
            server.should_exit = True
            thread.join()


HOUSES = ["sqlite and a folder", "postgresql and s3"]
IN_ONE_HOUSE = pytest.mark.parametrize("house", HOUSES[:1], indirect=True)
"""For what others ask of both registries and stores, too."""


@pytest.fixture(scope="session", params=HOUSES)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = tmp_path_factory.mktemp("house")
    settings = Settings(home=home, max_file_bytes=MAX_FILE, max_body_bytes=MAX_BODY, sweep_seconds=3600)
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "postgresql and s3":
            make_database: Callable[[], str] = request.getfixturevalue("postgres_database")
            s3: servers.S3 = request.getfixturevalue("s3_server")
            for name, value in s3.environment.items():
                patch.setenv(name, value)
            urls = {"database_url": make_database(), "storage_url": f"{s3.url}/{home.name}"}
            settings = settings.model_copy(update=urls)
        with serve(settings) as running:
            yield running


@dataclass(frozen=True)
class Garden:
    """A project in the house, and a client with all scopes but `admin`."""

    house: House
    project_id: str
    client: httpx.Client

    @property
    def database(self) -> Database:
        return self.house.database


@pytest.fixture
def garden(house: House) -> Iterator[Garden]:
    with house.database.session() as session:
        project_id = keys.create_project(session, "garden").id
    with house.client(house.key(project_id, "read", "infer", "train")) as client:
        yield Garden(house, project_id, client)


@pytest.fixture
def stranger(house: House) -> Iterator[httpx.Client]:
    """A client of another project."""
    with house.database.session() as session:
        project_id = keys.create_project(session, "elsewhere").id
    with house.client(house.key(project_id, "read", "infer", "train")) as client:
        yield client
