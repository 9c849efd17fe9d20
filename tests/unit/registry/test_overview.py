"""Many rows at once."""

import pytest
from sqlalchemy.orm import Session

from app.registry import checkpoints, fenced, leases, overview
from app.registry.tables import Job
from tests import rows


def test_jobs_are_counted_by_kind_and_status(session: Session, project_id: str) -> None:
    rows.job(session, project_id)
    rows.job(session, project_id)
    rows.job(session, project_id, "failed")
    rows.dataset(session, project_id)
    assert overview.census(session) == [
        ("ingest", "succeeded", 1),
        ("pretrain", "failed", 1),
        ("pretrain", "queued", 2),
    ]


def test_only_what_could_run_counts_as_waiting(session: Session, project_id: str) -> None:
    validating = rows.dataset(session, project_id, "validating")
    rows.job(session, project_id, datasets=[validating])
    assert [queue for queue, _ in overview.longest_waits(session)] == ["data"]
    rows.job(session, project_id, datasets=[rows.dataset(session, project_id)])
    assert [queue for queue, _ in overview.longest_waits(session)] == ["data", "train"]


def test_what_belongs_to_rows_is_found_for_all_of_them(session: Session, project_id: str) -> None:
    first, second = rows.dataset(session, project_id), rows.dataset(session, project_id)
    job, idle = rows.job(session, project_id, datasets=[second, first]), rows.job(session, project_id)
    version = rows.version(session, project_id)

    used = overview.datasets_of(session, [job.id, idle.id])
    assert {key: [row.dataset_id for row in found] for key, found in used.items()} == {
        job.id: [second.id, first.id],
        idle.id: [],
    }
    assert overview.version_names(session, [version.id]) == {version.id: "digits:1"}
    assert overview.stamps(session, [job.id, "job-unknown"]) == {job.id: (job.revision, job.events)}
    assert {key: len(files) for key, files in overview.files_of(session, [first.id, second.id]).items()} == {
        first.id: 1,
        second.id: 1,
    }
    assert set(overview.ingests_of(session, [first.id, second.id])) == {first.id, second.id}


def test_the_queue_position_counts_earlier_jobs_of_the_same_queue(session: Session, project_id: str) -> None:
    made = sorted((rows.job(session, project_id) for _ in range(3)), key=lambda job: job.id)
    rows.dataset(session, project_id, "validating")  # its ingest job waits in the other queue
    ids = [job.id for job in made]
    assert overview.queue_positions(session, ids) == {ids[0]: 1, ids[1]: 2, ids[2]: 3}
    rows.claim(session, made[0])
    assert overview.queue_positions(session, ids) == {ids[1]: 1, ids[2]: 2}


def test_what_runs_is_summed_by_kind(session: Session, project_id: str) -> None:
    assert overview.under_way(session) == []
    assert overview.newest_checkpoints(session) == (None, None)
    rows.job(session, project_id)
    first, second = (rows.job(session, project_id, "running") for _ in range(2))
    fenced.set_progress(session, first.id, first.token, {"samples_per_second": 12.5})
    leases.heartbeat(session, second.id, second.token, 40.0)
    (found,) = overview.under_way(session)
    assert (found.kind, found.samples_per_second) == ("pretrain", 12.5)
    assert 20.0 < found.lease_seconds_left <= 40.0, "of the one that runs out first"

    def save(job: Job, age: float, seconds: float) -> None:
        state = {"state": rows.stored()}
        made = checkpoints.add(session, job.id, job.token, step=1, metrics={}, objects=state, write_seconds=seconds)
        made.created_at -= age
        session.flush()

    third = rows.job(session, project_id, "running")
    for job, age, seconds in ((first, 90, 9.0), (first, 30, 0.5), (second, 50, 1.5), (third, 10, 0.25)):
        save(job, age, seconds)
    slowest, oldest = overview.newest_checkpoints(session)
    assert slowest == 1.5
    assert oldest == pytest.approx(50, abs=5)
