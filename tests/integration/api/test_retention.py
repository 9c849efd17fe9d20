"""Retention: what goes is shown before it goes, and nothing that is in use ever does."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.registry import jobs, keys
from app.registry.tables import Upload
from app.settings import Settings
from tests import rows
from tests.integration.api.conftest import House, serve
from tests.integration.api.faults import refused
from tests.integration.api.parts import WHOLE, arrived, opened, status


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[House]:
    """A server that keeps nothing that it need not keep, and sweeps when it is told to."""
    settings = Settings(home=tmp_path, sweep_seconds=3600, keep_unused_files_seconds=0, keep_failed_datasets_seconds=60)
    with serve(settings) as house:
        yield house


def test_what_goes_is_shown_first(strict: House) -> None:
    with strict.database.session() as session:
        project = keys.all(session)[0].project_id
        used = rows.dataset(session, project)
        unused = rows.file(session, project)
        judged_by = rows.file(session, project)
        jobs.create(
            session,
            project_id=project,
            kind="pretrain",
            queue="train",
            request={"kind": "pretrain", "evaluation": {"analogies": judged_by.id}},
        )
        elsewhere = rows.file(session, rows.project(session, "elsewhere"))
    with strict.client(strict.key(project, "read", "train")) as client:
        refused(client.get("/v1/retention"), 403, "missing_scope")
        refused(client.post("/v1/retention"), 403, "missing_scope")
        with strict.client(strict.key(project, "admin")) as admin:
            shown = admin.get("/v1/retention").json()
            again = admin.get("/v1/retention").json()
            assert "dry_run" in refused(admin.post("/v1/retention", json={"dry_run": True}), 422, "unknown_key")
            done = admin.post("/v1/retention").json()
            empty = admin.post("/v1/retention").json()
        assert client.get(f"/v1/files/{unused.id}").status_code == 404
        assert client.get(f"/v1/datasets/{used.id}").status_code == 200
    (entry,) = shown["data"]
    assert (entry["kind"], entry["id"], entry["bytes"]) == ("file", unused.id, unused.size_bytes)
    assert entry["age_seconds"] > 0
    assert "no dataset" in entry["reason"]
    assert shown["keep_seconds"] == {
        "unused_files": 0,
        "failed_datasets": 60,
        "superseded_datasets": None,
        "ended_checkpoints": None,
    }
    assert [each["id"] for each in again["data"]] == [each["id"] for each in done["data"]] == [unused.id]
    assert (shown["removed"], done["removed"], empty["data"]) == (False, True, [])
    assert any("models" in never for never in shown["never"])
    with strict.database.reading() as session:
        assert session.get(type(elsewhere), elsewhere.id) is not None, "another project's"


def test_uploads_that_nobody_completed_are_shown_and_end(strict: House) -> None:
    with strict.database.session() as session:
        project = keys.all(session)[0].project_id
    with (
        strict.client(strict.key(project, "read", "train")) as client,
        strict.client(strict.key(project, "admin")) as admin,
    ):
        overdue, waiting = opened(client), opened(client)
        arrived(client, overdue)
        with strict.database.session() as session:
            session.execute(sa.update(Upload).where(Upload.id == overdue).values(expires_at=0, created_at=0))
        (entry,) = admin.get("/v1/retention").json()["data"]
        assert (entry["kind"], entry["id"], entry["bytes"]) == ("upload", overdue, len(WHOLE))
        assert "before it expired" in entry["reason"]
        assert [each["id"] for each in admin.post("/v1/retention").json()["data"]] == [overdue]
        assert (status(client, overdue), status(client, waiting)) == ("expired", "pending")
        assert admin.get("/v1/retention").json()["data"] == []
