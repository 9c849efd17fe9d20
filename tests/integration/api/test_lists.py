"""A page costs as many statements as it has kinds of rows, however many rows it has."""

import contextlib
import secrets
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.registry.db import Database
from tests import rows
from tests.integration.api.conftest import Garden


@contextlib.contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """What SQL was asked, but for the look at the revision that every process takes twice a second."""
    seen: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if "registry_revision" not in statement:
            seen.append(statement)

    sa.event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sa.event.remove(database.engine, "before_cursor_execute", note)


def graft(session: Session, project_id: str) -> None:
    base = rows.version(session, project_id)
    dataset = rows.dataset(session, project_id)
    dataset.request = {"files": ["file-1"]}
    job = rows.job(session, project_id, datasets=[dataset], base_version_id=base.id)
    job.request = {**job.request, "base_model": "digits"}


MAKE: dict[str, Callable[[Session, str], object]] = {
    "/v1/models": lambda session, project: rows.version(session, project, f"m-{secrets.token_hex(4)}"),
    "/v1/models/digits/versions": lambda session, project: rows.version(session, project),
    "/v1/jobs": lambda session, project: rows.job(session, project),
    "/v1/batches": rows.batch,
    "/v1/datasets": lambda session, project: rows.dataset(session, project),
    "/v1/files": lambda session, project: rows.file(session, project),
    "/v1/fine_tuning/jobs": graft,
}


@pytest.mark.parametrize("path", MAKE)
def test_a_longer_page_costs_no_more_statements(garden: Garden, path: str) -> None:
    asked = []
    for _ in range(2):
        with garden.database.session() as session:
            for _ in range(5):
                MAKE[path](session, garden.project_id)
        garden.client.get("/v1/keys")  # the key is looked up once
        with statements(garden.database) as seen:
            answer = garden.client.get(path, params={"limit": 20})
        assert answer.status_code == 200, answer.text
        asked.append((len(answer.json()["data"]), len(seen)))
    (few, cheap), (many, dear) = asked
    assert few < many
    assert dear <= cheap + 1, "one more where the key had to be looked up anew"
