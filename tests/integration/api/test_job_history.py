"""What a job tells: events in pages and as a stream that can be taken up anywhere, metrics, checkpoints."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from app.registry import checkpoints, events, fenced, jobs, metrics
from app.registry.tables import Job
from tests import rows
from tests.integration.api.conftest import Garden
from tests.integration.api.faults import refused

STREAM = {"accept": "text/event-stream"}


@pytest.fixture
def job(garden: Garden) -> Job:
    """A running job with three events of its own behind `job.created` and `job.running`."""
    with garden.database.session() as session:
        made = rows.job(session, garden.project_id)
        rows.claim(session, made)
        for number in range(3):
            events.add(session, made.id, type="message", message=f"word {number}", data={"number": number})
    return made


def end(garden: Garden, job: Job) -> None:
    with garden.database.session() as session:
        fenced.succeed(session, job.id, jobs.load(session, job.id).token)


def parsed(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """Id and data of every event; the last one's data is [DONE]."""
    identity = ""
    for line in lines:
        if line.startswith("id: "):
            identity = line[4:]
        elif line.startswith("data: "):
            yield identity, line[6:] if line == "data: [DONE]" else json.loads(line[6:])


def test_events_come_in_pages(garden: Garden, job: Job) -> None:
    path = f"/v1/jobs/{job.id}/events"
    first = garden.client.get(path, params={"limit": 3}).json()
    rest = garden.client.get(path, params={"after": first["last_id"], "limit": 1000}).json()

    told = first["data"] + rest["data"]
    assert [event["number"] for event in told] == [1, 2, 3, 4, 5]
    assert [event["type"] for event in told] == ["job.created", "job.running", "message", "message", "message"]
    assert told[3]["data"] == {"number": 1}
    assert all(event["id"].startswith("evt-") for event in told)
    assert (first["has_more"], rest["has_more"]) == (True, False)
    newest = garden.client.get(path, params={"order": "desc", "after": 3}).json()
    assert [event["number"] for event in newest["data"]] == [2, 1]


def test_a_stream_goes_on_until_the_job_has_ended(garden: Garden, job: Job) -> None:
    with garden.client.stream("GET", f"/v1/jobs/{job.id}/events", headers=STREAM) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = parsed(answer.iter_lines())
        seen = [next(told) for _ in range(5)]
        ending = threading.Timer(0.3, end, (garden, job))
        ending.start()
        seen += list(told)
        ending.join()

    assert [identity for identity, _ in seen] == ["1", "2", "3", "4", "5", "6", "6"]
    assert seen[-2][1]["type"] == "job.succeeded"
    assert seen[-1][1] == "[DONE]"


def test_no_stream_is_begun_for_who_does_not_want_one_or_its_head_alone(garden: Garden, job: Job) -> None:
    path = f"/v1/jobs/{job.id}/events"
    unwanted = garden.client.get(path, headers={"accept": "application/json, text/event-stream;q=0"})
    assert len(unwanted.json()["data"]) == 5
    head = garden.client.head(path, headers=STREAM)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize("form", ["number", "id"])
def test_a_stream_is_taken_up_where_it_broke(garden: Garden, job: Job, form: str) -> None:
    end(garden, job)
    path = f"/v1/jobs/{job.id}/events"
    event = garden.client.get(path).json()["data"][3]
    last = str(event[form])

    by_header = garden.client.get(path, params={"after": 1}, headers=STREAM | {"last-event-id": last})
    by_query = garden.client.get(path, params={"after": last}, headers=STREAM)
    behind = garden.client.get(path, params={"after": 999}, headers=STREAM)

    assert [identity for identity, _ in parsed(by_header.iter_lines())] == ["5", "6", "6"]
    assert by_query.text == by_header.text
    assert [data for _, data in parsed(behind.iter_lines())] == ["[DONE]"]


def test_a_wrong_place_in_the_stream_is_refused(garden: Garden, job: Job) -> None:
    path = f"/v1/jobs/{job.id}/events"
    refused(garden.client.get(path, params={"after": "soon"}), 422, "wrong_type", "after")
    headers = STREAM | {"last-event-id": "9" * 30}
    refused(garden.client.get(path, headers=headers), 422, "wrong_type", "Last-Event-ID")
    refused(garden.client.get(path, params={"limit": 1001}), 422, "out_of_range", "limit")


def test_metrics_come_in_whole_steps(garden: Garden, job: Job) -> None:
    with garden.database.session() as session:
        token = jobs.load(session, job.id).token
        for step in (10, 20, 30):
            values = {"loss": 1 / step, "mse": float("nan")}
            metrics.put(session, job.id, token, step=step, epoch=step / 10, split="train", values=values)
    path = f"/v1/jobs/{job.id}/metrics"

    first = garden.client.get(path, params={"limit": 3}).json()
    rest = garden.client.get(path, params={"limit": 3, "after": first["last_id"]}).json()

    assert [(point["step"], point["name"]) for point in first["data"]] == [
        (10, "loss"),
        (10, "mse"),
        (20, "loss"),
        (20, "mse"),
    ]
    assert (first["has_more"], first["last_id"]) == (True, "20")
    assert [point["step"] for point in rest["data"]] == [30, 30]
    assert rest["has_more"] is False
    assert (first["data"][1]["value"], first["data"][1]["finite"]) == (None, False)
    loss = garden.client.get(path, params={"name": "loss", "split": "train"}).json()["data"]
    assert [point["value"] for point in loss] == [0.1, 0.05, 1 / 30]
    assert garden.client.get(path, params={"split": "validation:ds-1"}).json()["data"] == []
    refused(garden.client.get(path, params={"after": 2**60}), 422, "out_of_range", "after")
    refused(garden.client.get(path, params={"split": "vald"}), 422, "unknown_choice", "split")


def test_checkpoints_are_listed(garden: Garden, job: Job) -> None:
    with garden.database.session() as session:
        token = jobs.load(session, job.id).token
        checkpoints.add(session, job.id, token, step=5, metrics={"mse": 0.1}, objects={"state": rows.stored()})
    listed = garden.client.get(f"/v1/jobs/{job.id}/checkpoints").json()
    assert [(one["step"], one["metrics"], one["job"]) for one in listed["data"]] == [(5, {"mse": 0.1}, job.id)]
