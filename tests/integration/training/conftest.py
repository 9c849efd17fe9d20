"""Workshops in which jobs are trained."""

from pathlib import Path

import pytest

from app.registry.db import Database
from app.storage import storage_at
from tests.workshop import Workshop


@pytest.fixture
def workshop(database: Database, tmp_path: Path) -> Workshop:
    return Workshop(database, storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26), tmp_path / "home")


@pytest.fixture
def sqlite(sqlite_registry: Database, tmp_path: Path) -> Workshop:
    """Where the database makes no difference."""
    storage = storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**26)
    return Workshop(sqlite_registry, storage, tmp_path / "home")
