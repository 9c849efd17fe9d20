import pytest
from sqlalchemy.orm import Session

from app.errors import TrainerCrashed
from app.registry import datasets, fenced, jobs, leases
from app.registry.states import waiting_jobs
from app.registry.tables import Dataset, Job
from tests import rows

ERROR = TrainerCrashed("the trainer ended with signal 9").body()


def test_a_claim_gives_a_token_that_grows(session: Session, project_id: str) -> None:
    job = rows.job(session, project_id)
    first = rows.claim(session, job)
    assert first == leases.Claim(job.id, 1, "pretrain", project_id, 1)
    started = job.started_at
    leases.leave(session, job.id, first.token)
    second = rows.claim(session, job)
    assert (second.token, second.attempt) == (2, 1), "handing back keeps the attempt"
    assert job.started_at == started, "a job starts once"


def test_an_unknown_job_cannot_be_claimed(session: Session) -> None:
    assert leases.claim(session, "job-unknown", "worker-1", 60) is None


def test_a_job_waits_for_its_dataset(session: Session, project_id: str) -> None:
    dataset = rows.dataset(session, project_id, "validating")
    job = rows.job(session, project_id, datasets=[rows.dataset(session, project_id), dataset])
    ingest = datasets.job(session, dataset.id)
    assert leases.claim(session, job.id, "worker-1", 60) is None
    assert waiting_jobs(session, dataset.id) == [job]
    assert leases.to_ring(session, "train", idle_seconds=0) == []
    assert leases.to_ring(session, "data", idle_seconds=0) == [ingest.id]
    token = rows.claim(session, ingest).token
    rows.ready(session, dataset.id)
    fenced.succeed(session, ingest.id, token)
    assert leases.to_ring(session, "train", idle_seconds=0) == [job.id]
    assert rows.claim(session, job).token == 1


def test_a_claim_fails_a_job_whose_dataset_failed(session: Session, project_id: str) -> None:
    dataset = rows.dataset(session, project_id, "validating")
    job = rows.job(session, project_id, datasets=[dataset])
    jobs.ask(session, project_id, job.id, "pause")  # so that it is not queued when the dataset fails
    ingest = datasets.job(session, dataset.id)
    fenced.fail(session, ingest.id, rows.claim(session, ingest).token, ERROR)
    assert job.status == "paused"
    jobs.resume(session, project_id, job.id)
    assert leases.to_ring(session, "train", idle_seconds=0) == [job.id]
    assert leases.claim(session, job.id, "worker-1", 60) is None
    assert (job.status, (job.error or {})["code"]) == ("failed", "dataset_failed")


def test_a_heartbeat_renews_the_lease_and_tells_what_was_requested(session: Session, project_id: str) -> None:
    job = rows.job(session, project_id)
    token = rows.claim(session, job, lease_seconds=-1).token
    before = job.revision
    assert leases.heartbeat(session, job.id, token, 60) is None
    assert leases.expire(session) == []
    jobs.ask(session, project_id, job.id, "cancel")
    assert leases.heartbeat(session, job.id, token, 60) == "cancel"
    session.refresh(job)
    assert job.revision == before + 1, "the request is visible, a heartbeat is not"


@pytest.mark.parametrize(
    ("requested", "attempts", "status", "attempt"),
    [
        ("cancel", 3, "cancelled", 1),
        ("pause", 3, "paused", 1),
        (None, 3, "queued", 2),
        (None, 1, "failed", 1),
        ("cancel", 1, "cancelled", 1),
    ],
)
@pytest.mark.parametrize("how", ["expires", "is lost"])
def test_what_becomes_of_a_job_without_a_worker(
    session: Session, project_id: str, how: str, requested: str | None, attempts: int, status: str, attempt: int
) -> None:
    job = rows.job(session, project_id, max_attempts=attempts)
    token = rows.claim(session, job, lease_seconds=-1).token
    if requested is not None:
        jobs.ask(session, project_id, job.id, requested)  # type: ignore[arg-type]
    if how == "expires":
        assert leases.expire(session) == [job]
        code = "worker_lost"
    else:
        assert leases.lose(session, job.id, token, ERROR) == status
        code = "trainer_crashed"
    assert (job.status, job.attempt) == (status, attempt)
    assert (job.error or {}).get("code") == (code if status == "failed" else None)
    assert leases.expire(session) == []


def test_a_lease_that_still_runs_is_left_alone(session: Session, project_id: str) -> None:
    job = rows.job(session, project_id, "running")
    assert leases.expire(session) == []
    assert job.status == "running"


def test_a_bell_is_rung_again_only_after_a_while(session: Session, project_id: str) -> None:
    job = rows.job(session, project_id)
    assert leases.to_ring(session, "train", idle_seconds=60) == [], "its creation rang"
    assert leases.to_ring(session, "data", idle_seconds=0) == []
    assert leases.to_ring(session, "train", idle_seconds=0) == [job.id]
    assert leases.to_ring(session, "train", idle_seconds=60) == [], "it has just been rung"
    job.created_at -= 120
    leases.leave(session, job.id, rows.claim(session, job).token)
    assert leases.to_ring(session, "train", idle_seconds=60) == [job.id], "one that was handed back rings at once"


def test_an_ingest_that_is_given_up_leaves_no_dataset_validating(session: Session, project_id: str) -> None:
    lost, cancelled = (rows.dataset(session, project_id, "validating") for _ in range(2))
    waiting = rows.job(session, project_id, datasets=[lost])
    ingest = datasets.job(session, lost.id)
    for _ in range(ingest.max_attempts):
        assert leases.claim(session, ingest.id, "worker-1", -1) is not None
        leases.expire(session)
    jobs.ask(session, project_id, datasets.job(session, cancelled.id).id, "cancel")
    for dataset, code in ((lost, "worker_lost"), (cancelled, "dataset_failed")):
        session.refresh(dataset)
        assert (dataset.status, (dataset.error or {})["code"]) == ("failed", code)
    assert (waiting.status, (waiting.error or {})["code"]) == ("failed", "dataset_failed")


def test_a_retried_ingest_makes_its_dataset_after_all(session: Session, project_id: str) -> None:
    dataset: Dataset = rows.dataset(session, project_id, "failed")
    first: Job = datasets.job(session, dataset.id)
    again = jobs.retry(session, project_id, first.id)
    assert datasets.job(session, dataset.id) is again
    session.refresh(dataset)
    assert (dataset.status, dataset.error, dataset.report) == ("validating", None, None)
    token = rows.claim(session, again).token
    rows.ready(session, dataset.id)
    fenced.succeed(session, again.id, token)
    assert dataset.status == "ready"
