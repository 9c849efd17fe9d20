"""The registry's unit tests run on SQLite alone; what depends on the database runs on both in tests/integration."""

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session

from app.registry.db import Database
from tests import rows


@pytest.fixture
def database(sqlite_registry: Database) -> Database:
    return sqlite_registry


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    with database.session() as opened:
        yield opened


@pytest.fixture
def project_id(session: Session) -> str:
    return rows.project(session)
