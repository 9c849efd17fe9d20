import math

import pytest
from sqlalchemy.orm import Session

from app.errors import DatasetFailed, NotFound, OutOfRange, WrongState
from app.registry import datasets, events, fenced, jobs, leases, models
from tests import rows


def types(session: Session, job_id: str) -> list[str]:
    return [event.type for event in events.after(session, job_id, 0, 100)]


def test_a_new_job_is_queued_and_its_first_event_says_so(session: Session, project_id: str) -> None:
    job = rows.job(session, project_id, metadata={"team": "roots"})
    assert (job.status, job.attempt, job.token, job.requested, job.progress) == ("queued", 1, 0, None, {})
    assert job.created_at > 1.6e9
    assert types(session, job.id) == ["job.created"]


def test_a_job_needs_datasets_that_its_project_has_and_that_have_not_failed(session: Session, project_id: str) -> None:
    failed = rows.dataset(session, project_id, "failed")
    with pytest.raises(DatasetFailed, match=failed.id):
        rows.job(session, project_id, datasets=[failed])
    foreign = rows.dataset(session, rows.project(session, "elsewhere"))
    with pytest.raises(NotFound, match=foreign.id):
        rows.job(session, project_id, datasets=[foreign])


def test_lists_filter_by_status_kind_and_metadata(session: Session, project_id: str) -> None:
    red = rows.job(session, project_id, metadata={"colour": "red", "size": "1"})
    blue = rows.job(session, project_id, "running", metadata={"colour": "blue"})

    def found(**filters: object) -> set[str]:
        page = jobs.list_page(session, project_id, limit=10, after=None, descending=True, **filters)  # type: ignore[arg-type]
        return {job.id for job in page.rows}

    assert found() == {red.id, blue.id}
    assert found(status="running") == {blue.id}
    assert found(kind="finetune") == set()
    assert found(metadata={"colour": "red"}) == {red.id}
    assert found(metadata={"colour": "red", "size": "2"}) == set()
    with pytest.raises(OutOfRange, match=r'metadata\[a"b\]'):
        found(metadata={'a"b': "1"})


def test_progress_and_the_resolved_spec_are_visible_changes(session: Session, project_id: str) -> None:
    job = rows.job(session, project_id)
    token = rows.claim(session, job).token
    before = job.revision
    fenced.set_spec(session, job.id, token, {"name": "digits"}, [{"key": "epochs", "value": 5, "reason": "small"}])
    fenced.set_progress(session, job.id, token, {"step": 3}, {"loss": math.nan, "mse": 0.5})
    session.refresh(job)
    assert job.revision == before + 2
    assert (job.spec, job.progress, job.metrics) == ({"name": "digits"}, {"step": 3}, {"loss": None, "mse": 0.5})
    fenced.set_progress(session, job.id, token, {"step": 4})
    session.refresh(job)
    assert job.metrics == {"loss": None, "mse": 0.5}, "progress alone leaves the metrics"


def test_a_job_whose_cancel_was_requested_may_still_succeed(session: Session, project_id: str) -> None:
    job = rows.job(session, project_id, "running")
    jobs.ask(session, project_id, job.id, "cancel")
    version = rows.version(session, project_id)
    fenced.succeed(session, job.id, job.token, version_id=version.id, metrics={"mse": 0.1})
    assert (job.status, job.requested, job.version_id, job.metrics) == ("succeeded", None, version.id, {"mse": 0.1})


def test_cancel_replaces_pause_and_never_the_other_way_round(session: Session, project_id: str) -> None:
    job = rows.job(session, project_id, "running")
    for what in ("pause", "pause", "cancel", "cancel"):
        assert jobs.ask(session, project_id, job.id, what).requested == what
    with pytest.raises(WrongState, match="being cancelled"):
        jobs.ask(session, project_id, job.id, "pause")
    with pytest.raises(WrongState, match="being cancelled"):
        jobs.resume(session, project_id, job.id)
    assert leases.leave(session, job.id, job.token) == "cancelled"


def test_a_pause_that_was_taken_back_leaves_the_job_queued(session: Session, project_id: str) -> None:
    job = rows.job(session, project_id, "running")
    jobs.ask(session, project_id, job.id, "pause")
    assert jobs.resume(session, project_id, job.id).requested is None
    assert leases.leave(session, job.id, job.token) == "queued"


def test_the_events_tell_the_story(session: Session, project_id: str) -> None:
    job = rows.job(session, project_id, "paused")
    jobs.resume(session, project_id, job.id)
    leases.leave(session, job.id, rows.claim(session, job).token)
    leases.lose(session, job.id, rows.claim(session, job).token, {"message": "signal 9", "code": "trainer_crashed"})
    jobs.ask(session, project_id, job.id, "cancel")
    assert types(session, job.id) == [
        *("job.created", "job.running", "job.paused", "job.resumed", "job.running", "job.handed_back"),
        *("job.running", "job.lost", "job.cancelled"),
    ]


def test_a_retry_refuses_what_it_could_not_repeat(session: Session, project_id: str) -> None:
    dataset = rows.dataset(session, project_id)
    job = rows.job(session, project_id, "failed", datasets=[dataset])
    datasets.delete(session, project_id, dataset.id)
    with pytest.raises(WrongState, match="dataset of it was deleted"):
        jobs.retry(session, project_id, job.id)
    grafted = rows.job(session, project_id, "failed", datasets=[rows.dataset(session, project_id)])
    version = rows.version(session, project_id)
    grafted.base_version_id, grafted.request = version.id, {"kind": "finetune", "base_model": "digits"}
    session.flush()
    assert jobs.retry(session, project_id, grafted.id).base_version_id == version.id
    jobs.ask(session, project_id, jobs.retry(session, project_id, grafted.id).id, "cancel")
    models.delete_model(session, project_id, "digits")
    session.refresh(grafted)
    with pytest.raises(WrongState, match="'digits' was deleted"):
        jobs.retry(session, project_id, grafted.id)
    asking = rows.job(session, project_id, "failed", datasets=[rows.dataset(session, project_id)])
    version = rows.version(session, project_id)  # has the name and the number of the one before
    asking.base_version_id, asking.request = version.id, {"kind": "embed", "model": "digits"}
    session.flush()
    models.delete_model(session, project_id, "digits")
    rows.version(session, project_id)
    session.refresh(asking)
    with pytest.raises(WrongState, match="'digits' was deleted"):
        jobs.retry(session, project_id, asking.id)
