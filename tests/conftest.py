"""Fixtures for all tests: seeds, and real servers that start when the first test asks for one."""

import os
import random
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from app.registry.db import Database
from tests import servers

if TYPE_CHECKING:
    from app.storage import Storage

S3_URL = os.environ.get("ROOTSTOCK_TEST_S3_URL")
"""`s3://bucket/prefix` of a real endpoint to test against, beside its AWS_* variables."""

for variable in [name for name in os.environ if name.upper().startswith("ROOTSTOCK_")]:
    del os.environ[variable]  # tests decide; settings refuse a variable that they do not know

if S3_URL is None:  # no test speaks TLS, and to read all authorities takes each of their HTTP clients 50 ms
    os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("authority.pem"))

# a busy machine is no fault of the code
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

os.environ.setdefault("GOMP_SPINCOUNT", "60000")  # as the launcher sets it for jobs; read when torch is imported
if servers.WORKERS > 1:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes of one run share the cores


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores, since many tests wait for processes of their own; each starts servers."""
    return min((os.cpu_count() or 1) + 1, 8)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names long bytes by their length: some hold the time, and every process has to find the same tests."""
    return f"{argname} of {len(val)} bytes" if isinstance(val, bytes) and len(val) > 40 else None


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:  # a test without it need not wait for the import
        from tests.seeds import seed

        seed(0)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.Postgres]:
    with servers.run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_database(postgres_server: servers.Postgres) -> Callable[[], str]:
    """Makes a fresh, empty database at each call and gives its URL."""
    return postgres_server.database


@pytest.fixture
def postgres_url(postgres_database: Callable[[], str]) -> str:
    """A fresh, empty database."""
    return postgres_database()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty registry, migrated once and copied by every test that wants one."""
    path = tmp_path_factory.mktemp("registry") / "registry.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: servers.Postgres) -> str:
    """The name of an empty registry, migrated once: PostgreSQL copies it faster than it migrates another."""
    return str(_migrate(postgres_server.database()))


def _migrate(url: str) -> str | None:
    database = Database(url)
    database.migrate()
    database.close()
    return database.url.database


@pytest.fixture
def valkey_url() -> Iterator[str]:
    """A Valkey server of this test's own."""
    with servers.run_valkey() as url:
        yield url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[servers.S3]:
    if S3_URL is not None:
        yield servers.existing_s3(S3_URL)
        return
    with servers.run_s3() as server:
        yield server


@pytest.fixture
def s3_url(s3_server: servers.S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty prefix in the bucket; the AWS_* variables are set."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"{s3_server.url}/{secrets.token_hex(6)}"


@pytest.fixture
def sqlite_registry(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Database]:
    """A migrated registry, where the kind of database makes no difference."""
    opened = Database(f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path)}")
    yield opened
    opened.close()


@pytest.fixture
def postgres_registry(postgres_server: servers.Postgres, migrated_postgres: str) -> Iterator[Database]:
    """A migrated registry on PostgreSQL."""
    opened = Database(postgres_server.database(migrated_postgres))
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite_registry", "postgres_registry"], ids=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """A migrated registry, once on each kind of database."""
    opened: Database = request.getfixturevalue(request.param)
    return opened


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> "Storage":
    """An empty store, once in a folder and once behind S3."""
    from app.storage import storage_at

    url = (tmp_path / "objects").as_uri() if request.param == "folder" else request.getfixturevalue("s3_url")
    return storage_at(url, tmp_path / "cache", 64 * 1024 * 1024)
