"""Events, metrics and checkpoints: what a job leaves behind as it goes."""

import math

import pytest
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.registry import checkpoints, events, metrics, objects
from app.registry.tables import Job
from tests import rows


@pytest.fixture
def job(session: Session, project_id: str) -> Job:
    return rows.job(session, project_id, "running")


def test_events_are_numbered_and_replayed_from_any_of_them(session: Session, job: Job) -> None:
    for index in range(3):
        events.add(session, job.id, type="message", message=f"m{index}", data={"loss": math.inf}, token=job.token)
    assert [event.number for event in events.after(session, job.id, 0, 100)] == [1, 2, 3, 4, 5]
    [third, fourth] = events.after(session, job.id, 2, 2)
    assert (third.message, fourth.message) == ("m0", "m1")
    assert third.data == {"loss": None}
    page = events.list_page(session, job.id, limit=2, after=None, descending=True)
    assert ([event.number for event in page.rows], page.has_more) == ([5, 4], True)
    page = events.list_page(session, job.id, limit=9, after=4, descending=True)
    assert ([event.number for event in page.rows], page.has_more) == ([3, 2, 1], False)


def test_an_event_needs_a_job(session: Session) -> None:
    with pytest.raises(NotFound, match="job-unknown"):
        events.add(session, "job-unknown", type="message", message="x")


def test_metrics_are_upserts_and_keep_what_is_not_finite_as_a_flag(session: Session, job: Job) -> None:
    def put(step: int, split: str = "train", **values: float) -> None:
        metrics.put(session, job.id, job.token, step=step, epoch=step / 10, split=split, values=values)

    put(1, loss=0.5, mse=0.25)
    put(2, loss=math.nan)
    put(2, "validation", loss=0.375)
    put(1, loss=0.125)  # a resumed job comes by again
    put(3)
    series = metrics.series(session, job.id, limit=100)
    assert [(row.step, row.split, row.name, row.value, row.finite) for row in series] == [
        (1, "train", "loss", 0.125, True),
        (1, "train", "mse", 0.25, True),
        (2, "train", "loss", None, False),
        (2, "validation", "loss", 0.375, True),
    ]
    assert [row.step for row in metrics.series(session, job.id, limit=1)] == [1]
    assert [row.split for row in metrics.series(session, job.id, limit=9, after_step=1)] == ["train", "validation"]
    assert [row.value for row in metrics.series(session, job.id, limit=9, split="validation", name="loss")] == [0.375]


def test_the_newest_checkpoint_comes_first_and_dropped_bytes_are_orphans(session: Session, job: Job) -> None:
    made = []
    for step in (10, 30, 20):
        state = {"state.safetensors": rows.stored(b"tensors"), "state.json": rows.stored(b"{}")}
        made.append(checkpoints.add(session, job.id, job.token, step=step, metrics={"loss": math.nan}, objects=state))
    assert [row.step for row in checkpoints.newest(session, job.id)] == [30, 20, 10]
    assert (made[0].size_bytes, made[0].metrics, made[0].token) == (9, {"loss": None}, job.token)
    keys = [part.key for parts in objects.held(session, made[0].id).values() for part in parts]
    for _ in range(2):
        checkpoints.drop(session, made[0].id)
    assert sorted(objects.orphans(session, 0)) == sorted(keys)
    page = checkpoints.list_page(session, job.id, limit=1, after=None, descending=False)
    assert page.has_more
    assert page.rows[0].step in (20, 30)


def test_superseded_checkpoints_let_go_of_the_bytes_that_nothing_else_holds(session: Session, job: Job) -> None:
    states = [{"state.json": rows.stored()} for _ in range(4)]
    made = [
        checkpoints.add(session, job.id, job.token, step=step, metrics={}, objects=state)
        for step, state in enumerate(states)
    ]
    objects.hold(session, "job-publishing", states[1])
    assert checkpoints.supersede(session, job.id, 2) == [states[0]["state.json"].key]
    assert [row.id for row in checkpoints.newest(session, job.id)] == [made[3].id, made[2].id]
    assert objects.known(session, [state["state.json"].key for state in states]) == {
        state["state.json"].key for state in states[1:]
    }
    assert checkpoints.supersede(session, job.id, 2) == []
