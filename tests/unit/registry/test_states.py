"""The full table of legal and illegal moves (DESIGN.md, section 4), of the moves themselves and of every verb."""

from collections.abc import Callable
from itertools import product

import pytest
from sqlalchemy.orm import Session

from app.errors import TrainerCrashed, WrongState
from app.registry import events, fenced, jobs, leases, states
from app.registry.moves import TERMINAL
from app.registry.tables import Job
from tests import rows

STATES = ("queued", "running", "paused", "succeeded", "failed", "cancelled")
LEGAL = {
    ("queued", "running"),
    ("queued", "paused"),
    ("queued", "cancelled"),
    ("queued", "failed"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("running", "paused"),
    ("running", "queued"),
    ("paused", "queued"),
    ("paused", "cancelled"),
}
ERROR = TrainerCrashed("signal 9").body()


@pytest.mark.parametrize(("source", "to"), list(product(STATES, STATES)))
def test_a_move_happens_if_and_only_if_it_is_legal(session: Session, project_id: str, source: str, to: str) -> None:
    job = rows.job(session, project_id, source)
    assert job.status == source
    before, numbers = job.revision, job.events
    moved = states.move(session, to, Job.id == job.id, event="job.moved", message="a test moves it")
    session.refresh(job)
    if (source, to) in LEGAL:
        assert moved is job
        assert (job.status, job.revision, job.events) == (to, before + 1, numbers + 1)
        assert events.after(session, job.id, numbers, 10)[0].type == "job.moved"
    else:
        assert moved is None
        assert (job.status, job.revision, job.events) == (source, before, numbers)


def test_what_ends_with_a_claim_is_gone_after_it(session: Session, project_id: str) -> None:
    for status in set(STATES) - {"queued", "running"}:
        job = rows.job(session, project_id, status)
        assert (job.requested, job.lease_until, job.worker) == (None, None, None)
        assert (job.finished_at is not None) == (status in TERMINAL)


Verb = Callable[[Session, Job], object]
VERBS: dict[str, Verb] = {
    "claim": lambda session, job: leases.claim(session, job.id, "worker-2", 60),
    "leave": lambda session, job: leases.leave(session, job.id, job.token),
    "lose": lambda session, job: leases.lose(session, job.id, job.token, ERROR),
    "succeed": lambda session, job: fenced.succeed(session, job.id, job.token),
    "fail": lambda session, job: fenced.fail(session, job.id, job.token, ERROR),
    "cancel": lambda session, job: jobs.ask(session, job.project_id, job.id, "cancel"),
    "pause": lambda session, job: jobs.ask(session, job.project_id, job.id, "pause"),
    "resume": lambda session, job: jobs.resume(session, job.project_id, job.id),
}
LEADS_TO: dict[tuple[str, str], str | type[Exception]] = {
    ("queued", "claim"): "running",
    ("queued", "cancel"): "cancelled",
    ("queued", "pause"): "paused",
    ("queued", "resume"): "queued",
    ("running", "leave"): "queued",
    ("running", "lose"): "queued",
    ("running", "succeed"): "succeeded",
    ("running", "fail"): "failed",
    ("running", "cancel"): "running",
    ("running", "pause"): "running",
    ("running", "resume"): "running",
    ("paused", "cancel"): "cancelled",
    ("paused", "pause"): "paused",
    ("paused", "resume"): "queued",
    ("cancelled", "cancel"): "cancelled",
}
"""What is not named is refused: by Fenced for a worker's verb, WrongState for an owner's, None for a claim."""
REFUSAL = {"leave", "lose", "succeed", "fail"}


@pytest.mark.parametrize(("source", "verb"), list(product(STATES, VERBS)))
def test_every_verb_in_every_state(session: Session, project_id: str, source: str, verb: str) -> None:
    job = rows.job(session, project_id, source)
    to = LEADS_TO.get((source, verb))
    if to is not None:
        VERBS[verb](session, job)
    elif verb == "claim":
        assert VERBS[verb](session, job) is None
    else:
        with pytest.raises(leases.Fenced if verb in REFUSAL else WrongState):
            VERBS[verb](session, job)
    session.refresh(job)
    assert job.status == (to or source)


@pytest.mark.parametrize("source", STATES)
def test_only_a_failed_or_cancelled_job_is_retried(session: Session, project_id: str, source: str) -> None:
    dataset = rows.dataset(session, project_id)
    job = rows.job(session, project_id, source, datasets=[dataset])
    if source not in ("failed", "cancelled"):
        with pytest.raises(WrongState, match=f"{job.id} is {source}"):
            jobs.retry(session, project_id, job.id)
        return
    again = jobs.retry(session, project_id, job.id)
    assert (again.status, again.retry_of, again.request) == ("queued", job.id, job.request)
    assert [row.dataset_id for row in jobs.datasets_of(session, again.id)] == [dataset.id]
    assert jobs.retry(session, project_id, job.id) is again, "asking twice does no harm"
    assert job.status == source
