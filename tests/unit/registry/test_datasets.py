import math

import pytest
from sqlalchemy.orm import Session

from app.errors import InUse, NotFound
from app.registry import datasets, events, fenced, jobs, leases, objects
from tests import rows


def test_a_new_dataset_is_validating_and_has_its_ingest_job(session: Session, project_id: str) -> None:
    given = [rows.file(session, project_id).id for _ in range(2)]
    dataset, ingest = datasets.create(
        session,
        project_id=project_id,
        name="digits",
        file_ids=given,
        request={"modality": "image"},
        metadata={"source": "scanner"},
        max_attempts=2,
    )
    assert (dataset.status, dataset.metadata_, dataset.request) == (
        "validating",
        {"source": "scanner"},
        {"modality": "image"},
    )
    assert (ingest.kind, ingest.queue, ingest.max_attempts) == ("ingest", "data", 2)
    assert ingest.request == {"kind": "ingest", "dataset": dataset.id}
    assert [file.id for file in datasets.files(session, dataset.id)] == given
    assert datasets.job(session, dataset.id) is ingest
    assert datasets.waiting_jobs(session, dataset.id) == [], "its own ingest job does not wait for it"


def test_a_dataset_needs_files_of_its_project(session: Session, project_id: str) -> None:
    foreign = rows.file(session, rows.project(session, "elsewhere"))
    with pytest.raises(NotFound, match=foreign.id):
        datasets.create(
            session, project_id=project_id, name="x", file_ids=[foreign.id], request={}, metadata={}, max_attempts=3
        )


def test_a_ready_dataset_has_its_profile_and_its_bytes(session: Session, project_id: str) -> None:
    dataset = rows.dataset(session, project_id, "validating")
    ingest = datasets.job(session, dataset.id)
    token = rows.claim(session, ingest).token
    part = rows.stored(b"arrow")
    datasets.ready(
        session,
        dataset.id,
        profile={"rows": 5, "columns": [{"mean": math.inf}]},
        report={"total": 0, "faults": []},
        fingerprint="a" * 64,
        rows=5,
        modality="vectors",
        objects={"train.arrow": part},
    )
    fenced.succeed(session, ingest.id, token)
    assert (dataset.status, dataset.rows, dataset.modality, dataset.size_bytes) == ("ready", 5, "vectors", 5)
    assert dataset.profile == {"rows": 5, "columns": [{"mean": None}]}
    assert dataset.ready_at is not None
    assert [row.key for row in objects.held(session, dataset.id)["train.arrow"]] == [part.key]
    told = [event.type for event in events.after(session, ingest.id, 0, 10)]
    assert told == ["job.created", "job.running", "dataset.ready", "job.succeeded"]


def test_a_failed_dataset_fails_the_queued_jobs_that_wait_for_it(session: Session, project_id: str) -> None:
    dataset, other = (rows.dataset(session, project_id, "validating") for _ in range(2))
    waiting = rows.job(session, project_id, datasets=[dataset])
    bystander = rows.job(session, project_id, datasets=[other])
    ingest = datasets.job(session, dataset.id)
    token = rows.claim(session, ingest).token
    error = {
        "message": "row 7, column 'b': 'x' is no number",
        "code": "invalid_data",
        "type": "job_error",
        "param": None,
    }
    report = {"total": 1, "faults": [{"row": 7, "value": math.nan}]}
    datasets.failed(session, dataset.id, error=error, report=report)
    fenced.fail(session, ingest.id, token, error)
    assert (dataset.status, dataset.error) == ("failed", error)
    assert dataset.report == {"total": 1, "faults": [{"row": 7, "value": None}]}
    assert (waiting.status, (waiting.error or {})["code"]) == ("failed", "dataset_failed")
    assert dataset.id in (waiting.error or {})["message"]
    assert (bystander.status, ingest.status) == ("queued", "failed")


def test_a_validation_ends_once(session: Session, project_id: str) -> None:
    for status in ("ready", "failed"):
        dataset = rows.dataset(session, project_id, status)
        with pytest.raises(leases.Fenced):
            rows.ready(session, dataset.id)
        with pytest.raises(leases.Fenced):
            datasets.failed(session, dataset.id, error={"message": "late"}, report={})
        session.refresh(dataset)
        assert dataset.status == status


def test_a_dataset_goes_when_every_job_on_it_has_ended(session: Session, project_id: str) -> None:
    dataset = rows.dataset(session, project_id)
    job = rows.job(session, project_id, "paused", datasets=[dataset])
    with pytest.raises(InUse, match=job.id):
        datasets.delete(session, project_id, dataset.id)
    jobs.ask(session, project_id, job.id, "cancel")
    datasets.delete(session, project_id, dataset.id)
    with pytest.raises(NotFound):
        datasets.get(session, project_id, dataset.id)
    assert objects.held(session, dataset.id) == {}
    assert jobs.datasets_of(session, job.id) == []


def test_a_dataset_that_is_being_made_cannot_go(session: Session, project_id: str) -> None:
    dataset = rows.dataset(session, project_id, "validating")
    with pytest.raises(InUse, match=datasets.job(session, dataset.id).id):
        datasets.delete(session, project_id, dataset.id)


def test_lists_filter_by_status_and_metadata(session: Session, project_id: str) -> None:
    ready = rows.dataset(session, project_id)
    rows.dataset(session, project_id, "failed")
    ready.metadata_ = {"source": "scanner"}
    session.flush()
    for filters in ({"status": "ready"}, {"metadata": {"source": "scanner"}}):
        page = datasets.list_page(session, project_id, limit=9, after=None, descending=False, **filters)
        assert page.rows == [ready]
