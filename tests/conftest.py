"""Fixtures for all tests: seeds, and real servers that start when the first test asks for one."""

import os
import random
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from app.registry.db import Database
from tests import servers

if TYPE_CHECKING:
    from app.storage import Storage

S3_URL = os.environ.get("ROOTSTOCK_TEST_S3_URL")
"""`s3://bucket/prefix` of a real endpoint to test against, beside its AWS_* variables."""

for variable in [name for name in os.environ if name.upper().startswith("ROOTSTOCK_")]:
    del os.environ[variable]  # tests decide; settings refuse a variable that they do not know


os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the launcher sets it for jobs; read when torch is imported


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:  # a test without it need not wait for the import
        sys.modules["torch"].manual_seed(0)


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


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated registry, once on each database."""
    url = f"sqlite:///{tmp_path}/registry.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened = Database(url)
    try:
        opened.migrate()
        yield opened
    finally:
        opened.close()


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> "Storage":
    """An empty store, once in a folder and once behind S3."""
    from app.storage import Storage

    url = (tmp_path / "objects").as_uri() if request.param == "folder" else request.getfixturevalue("s3_url")
    return Storage(url, tmp_path / "cache", 64 * 1024 * 1024)
