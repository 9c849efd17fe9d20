"""Jobs: resolved when their data is ready, listed, waited for, steered."""

import threading
import time
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from app.api.late_decisions import decide_waiting
from app.registry import datasets, events, jobs, leases, states
from app.registry.db import Database
from tests import rows, servers
from tests.integration.api.conftest import Garden
from tests.integration.api.data import make_ready, post_dataset, run_ingest, vectors
from tests.integration.api.faults import refused


def test_a_job_on_ready_data_is_resolved_at_once(garden: Garden) -> None:
    dataset = make_ready(garden, vectors())
    body = {
        "kind": "pretrain",
        "dataset": dataset,
        "name": "plants",
        "encoder": {"name": "auto", "dimensions": 2},
        "training": {"epochs": 3},
        "metadata": {"run": "7"},
    }

    answer = garden.client.post("/v1/jobs", json=body)

    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert (job["object"], job["status"], job["terminal"], job["attempt"]) == ("job", "queued", False, 1)
    assert job["queue_position"] >= 1
    assert (job["dataset"], job["datasets"]) == (dataset, [{"id": dataset, "weight": 1.0}])
    assert job["spec"]["roles"]["input"]["dimensions"] == 2
    assert (job["spec"]["name"], job["spec"]["training"]["epochs"]) == ("plants", 3)
    assert all(choice["reason"] for choice in job["choices"])
    assert job["request"] == body
    assert job["metadata"] == {"run": "7"}
    assert job["progress"]["percentage_done"] == 0.0
    assert job["model"] is job["error"] is job["started_at"] is None
    assert garden.client.get(f"/v1/jobs/{job['id']}").json() == job


def test_a_job_that_succeeded_is_done_wherever_it_was_when_it_last_told(garden: Garden) -> None:
    with garden.database.session() as session:
        made = rows.job(session, garden.project_id, "succeeded")
        made.progress = {"percentage_done": 50.0, "step": 3, "estimated_remaining_seconds": 9.0}
        job_id = made.id
    progress = garden.client.get(f"/v1/jobs/{job_id}").json()["progress"]
    assert (progress["percentage_done"], progress["step"], progress["estimated_remaining_seconds"]) == (100.0, 3, 0.0)


def test_a_job_on_validating_data_is_resolved_later(garden: Garden) -> None:
    dataset = post_dataset(garden, vectors())["id"]
    job = garden.client.post("/v1/jobs", json={"kind": "pretrain", "datasets": [{"id": dataset}]}).json()
    assert (job["status"], job["spec"], job["choices"]) == ("queued", None, None)


def test_jobs_that_waited_for_their_data_are_judged_before_a_worker_is_free(garden: Garden) -> None:
    dataset = post_dataset(garden, vectors())
    good = {"kind": "pretrain", "dataset": dataset["id"], "encoder": {"name": "auto", "dimensions": 2}}
    wrong = good | {"objective": {"name": "translation"}}
    ids = [garden.client.post("/v1/jobs", json=body).json()["id"] for body in (good, wrong, wrong)]

    def shown() -> list[dict[str, Any]]:
        return [garden.client.get(f"/v1/jobs/{job_id}").json() for job_id in ids]

    before = shown()
    decide_waiting(garden.database)
    assert shown() == before, "their data are still being checked"
    run_ingest(garden, dataset["job"])
    with garden.database.session() as session:
        leases.claim(session, ids[2], "worker", 60.0)
    decide_waiting(garden.database)

    decided, failed, taken = shown()
    at_once = garden.client.post("/v1/jobs", json=good).json()
    assert decided["status"] == "queued"
    assert (decided["spec"], decided["choices"]) == (at_once["spec"], at_once["choices"])
    refusal = garden.client.post("/v1/jobs", json=wrong).json()["error"]
    assert (failed["status"], failed["error"]) == ("failed", refusal)
    assert garden.client.get(f"/v1/jobs/{ids[1]}/events").json()["data"][-1]["type"] == "job.failed"
    assert (taken["status"], taken["spec"]) == ("running", None)
    decide_waiting(garden.database)
    assert shown() == [decided, failed, taken]


def test_a_job_on_failed_data_is_refused(garden: Garden) -> None:
    with garden.database.session() as session:
        failed = rows.dataset(session, garden.project_id, "failed").id
    answer = garden.client.post("/v1/jobs", json={"kind": "pretrain", "dataset": failed})
    assert failed in refused(answer, 422, "dataset_failed", "dataset")
    listed = garden.client.post("/v1/jobs", json={"kind": "pretrain", "datasets": [{"id": failed}]})
    refused(listed, 422, "dataset_failed", "datasets[0].id")


def test_a_job_that_does_not_fit_its_data_is_refused(garden: Garden) -> None:
    dataset = make_ready(garden, vectors())
    body = {"kind": "pretrain", "dataset": dataset, "encoder": {"name": "rnn"}}
    refused(garden.client.post("/v1/jobs", json=body), 422, "does_not_fit", "encoder")
    refused(garden.client.post("/v1/jobs", json=body | {"dataset": "ds-0"}), 404, "not_found", "dataset")
    name = garden.client.get(f"/v1/datasets/{dataset}").json()["name"]
    assert dataset in refused(
        garden.client.post("/v1/jobs", json=body | {"dataset": name}), 404, "not_found", "dataset"
    )
    graft = {"kind": "finetune", "dataset": dataset, "base_model": "oak"}
    judged = body | {"evaluation": {"analogies": "file-0"}}
    refused(garden.client.post("/v1/jobs", json=judged), 404, "not_found", "evaluation.analogies")
    assert "oak" in refused(garden.client.post("/v1/jobs", json=graft), 404, "model_not_found", "base_model")


def test_several_datasets_are_drawn_from_in_shares_that_are_shown(garden: Garden) -> None:
    one, other = make_ready(garden, vectors()), make_ready(garden, vectors())
    body = {"kind": "pretrain", "datasets": [{"id": one, "weight": 3}, {"id": other, "weight": 1}]}
    job = garden.client.post("/v1/jobs", json=body).json()
    assert job["datasets"] == [{"id": one, "weight": 0.75}, {"id": other, "weight": 0.25}]
    assert garden.client.post("/v1/jobs", json=body | {"mixture": {"temperature": 2}}).status_code == 422


def test_datasets_that_do_not_go_together_are_refused_by_name(garden: Garden) -> None:
    one, other = make_ready(garden, vectors()), make_ready(garden, vectors(width=7))
    answer = garden.client.post("/v1/jobs", json={"kind": "pretrain", "datasets": [{"id": one}, {"id": other}]})
    message = refused(answer, 422, "datasets_differ", "datasets[1].id")
    assert other in message
    assert one in message


def test_a_job_waits_for_all_of_its_datasets_and_fails_with_the_name_of_the_one_that_fails(garden: Garden) -> None:
    ready, waiting = make_ready(garden, vectors()), post_dataset(garden, vectors())
    body = {"kind": "pretrain", "datasets": [{"id": ready}, {"id": waiting["id"]}]}
    job = garden.client.post("/v1/jobs", json=body).json()
    assert (job["status"], job["spec"]) == ("queued", None)
    with garden.database.session() as session:
        assert leases.claim(session, job["id"], "worker", 60.0) is None
        error = {"message": "row 2 is ragged", "type": "job_error", "param": None, "code": "invalid_data"}
        states.fail_dataset(session, waiting["id"], error=error, report=None)
    failed = garden.client.get(f"/v1/jobs/{job['id']}").json()
    assert (failed["status"], failed["error"]["code"]) == ("failed", "dataset_failed")
    assert waiting["id"] in failed["error"]["message"]
    assert failed["error"]["message"].endswith("failed: row 2 is ragged")
    assert waiting["name"] in failed["error"]["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"encoder": {"name": "mlp", "widths": [0]}}, "encoder.widths[0]"),
        ({"encoder": {"name": "mlp", "dimensions": 0}}, "encoder.dimensions"),
        ({"objective": {"name": "masked", "mask_ratio": 1}}, "objective.mask_ratio"),
        ({"training": {"batch_size": 0}}, "training.batch_size"),
        ({"training": {"learning_rate": -1}}, "training.learning_rate"),
    ],
)
def test_a_value_beyond_its_range_is_refused(garden: Garden, body: dict[str, Any], param: str) -> None:
    answer = garden.client.post("/v1/jobs", json={"kind": "pretrain", "dataset": "ds-any", **body})
    refused(answer, 422, "out_of_range", param)


def test_a_list_is_filtered_and_tagged(garden: Garden) -> None:
    with garden.database.session() as session:
        queued = rows.job(session, garden.project_id, metadata={"run": "1"}).id
        failed = rows.job(session, garden.project_id, "failed", metadata={"run": "2"}).id
        ingest = rows.dataset(session, garden.project_id).id

    def ids(**query: str) -> list[str]:
        return [entry["id"] for entry in garden.client.get("/v1/jobs", params=query).json()["data"]]

    assert ids(status="failed") == [failed]
    assert ids(kind="pretrain", order="asc") == [queued, failed]
    assert ids(**{"metadata[run]": "1"}) == [queued]
    listed = garden.client.get("/v1/jobs", params={"kind": "ingest"})
    assert [entry["dataset"] for entry in listed.json()["data"]] == [ingest]
    again = garden.client.get("/v1/jobs?kind=ingest", headers={"if-none-match": listed.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_failed_job_says_why(garden: Garden) -> None:
    with garden.database.session() as session:
        failed = rows.job(session, garden.project_id, "failed").id
    job = garden.client.get(f"/v1/jobs/{failed}").json()
    assert (job["terminal"], job["queue_position"]) == (True, None)
    assert job["error"]["code"] == "trainer_crashed"
    assert job["finished_at"] >= job["started_at"] >= job["created_at"]


def test_who_waits_hears_of_a_change_at_once(garden: Garden) -> None:
    with garden.database.session() as session:
        job = rows.job(session, garden.project_id)
    path = f"/v1/jobs/{job.id}"
    tag = garden.client.get(path).headers["etag"]
    assert garden.client.get(path, headers={"if-none-match": tag}).status_code == 304
    assert garden.client.get(path, params={"wait": 0.3}, headers={"if-none-match": tag}).status_code == 304
    assert garden.client.get(path, headers={"if-match": tag}).status_code == 200
    refused(garden.client.get(path, headers={"if-match": '"other"'}), 412, "precondition_failed", "if-match")
    heard: list[httpx.Response] = []

    def listen() -> None:
        heard.append(garden.client.get(path, params={"wait": 50}, headers={"if-none-match": f'"other", W/{tag}'}))

    listeners = [threading.Thread(target=listen) for _ in range(5)]
    for listener in listeners:
        listener.start()
    time.sleep(0.5)
    assert heard == []
    with garden.database.session() as session:
        rows.claim(session, job)
    for listener in listeners:
        listener.join(30)

    assert [answer.json()["status"] for answer in heard] == ["running"] * 5
    assert tag not in {answer.headers["etag"] for answer in heard}


def test_who_waits_is_not_woken_by_what_does_not_show(garden: Garden) -> None:
    with garden.database.session() as session:
        job = rows.job(session, garden.project_id)
    path = f"/v1/jobs/{job.id}"
    tag = garden.client.get(path).headers["etag"]
    heard: list[httpx.Response] = []

    def listen() -> None:
        heard.append(garden.client.get(path, params={"wait": 50}, headers={"if-none-match": tag}))

    listener = threading.Thread(target=listen)
    listener.start()
    time.sleep(0.5)
    with garden.database.session() as session:
        events.add(session, job.id, type="message", message="an event alone")
    time.sleep(1)
    assert heard == []
    garden.client.post(f"{path}/cancel")
    listener.join(30)
    assert [answer.status_code for answer in heard] == [200]


def test_a_job_that_moves_up_in_its_queue_has_changed(garden: Garden) -> None:
    with garden.database.session() as session:
        first, second = rows.job(session, garden.project_id).id, rows.job(session, garden.project_id).id
    before = garden.client.get(f"/v1/jobs/{second}")
    garden.client.post(f"/v1/jobs/{first}/cancel")
    after = garden.client.get(f"/v1/jobs/{second}", headers={"if-none-match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.json()["queue_position"] == before.json()["queue_position"] - 1


def test_what_is_deleted_while_a_job_on_it_is_made_is_a_conflict(garden: Garden) -> None:
    """A deletion that has begun lets nobody refer to what it deletes; whoever did so meanwhile may try again."""
    if garden.database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite lets one write after the other")
    with garden.database.session() as session:
        dataset, model = (
            rows.dataset(session, garden.project_id).id,
            rows.version(session, garden.project_id).model.name,
        )
    body = {"kind": "embed", "model": model, "dataset": dataset}
    answers: list[httpx.Response] = []

    def ask() -> None:
        answers.append(garden.client.post("/v1/jobs", json=body))

    asking = threading.Thread(target=ask)
    with garden.database.session() as session:
        datasets.delete(session, garden.project_id, dataset)
        asking.start()
        servers.wait_until(lambda: somebody_waits(garden.database), "a request that waits for the deletion")
    asking.join(30)
    refused(answers[0], 409, "changed_meanwhile")
    assert "x-should-retry" not in answers[0].headers
    refused(garden.client.post("/v1/jobs", json=body), 404, "not_found", "dataset")


def somebody_waits(database: Database) -> bool:
    waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with database.reading() as session:
        return session.scalar(sa.text(waiting)) is not None


def test_a_wait_that_is_too_long_is_refused(garden: Garden) -> None:
    with garden.database.session() as session:
        job = rows.job(session, garden.project_id).id
    for wrong in ("61", "-1"):
        refused(garden.client.get(f"/v1/jobs/{job}?wait={wrong}"), 422, "out_of_range", "wait")
    refused(garden.client.get(f"/v1/jobs/{job}?wait=nan"), 422, "out_of_range", "wait")


def test_a_queued_job_is_paused_resumed_and_cancelled(garden: Garden) -> None:
    with garden.database.session() as session:
        job = rows.job(session, garden.project_id).id

    def do(action: str) -> str:
        answer = garden.client.post(f"/v1/jobs/{job}/{action}")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["status"])

    assert [do(action) for action in ("pause", "pause", "resume", "resume", "cancel", "cancel")] == [
        "paused",
        "paused",
        "queued",
        "queued",
        "cancelled",
        "cancelled",
    ]
    answer = garden.client.post(f"/v1/jobs/{job}/pause")
    refused(answer, 409, "wrong_state")
    assert answer.headers["x-should-retry"] == "false"


def test_a_running_job_is_asked(garden: Garden) -> None:
    with garden.database.session() as session:
        job = rows.job(session, garden.project_id)
        rows.claim(session, job)
    answer = garden.client.post(f"/v1/jobs/{job.id}/cancel").json()
    assert (answer["status"], answer["requested"]) == ("running", "cancel")


@pytest.mark.parametrize("status", ["queued", "running", "succeeded"])
def test_only_what_failed_or_was_cancelled_is_retried(garden: Garden, status: str) -> None:
    with garden.database.session() as session:
        job = rows.job(session, garden.project_id, "queued" if status == "running" else status)
        if status == "running":
            rows.claim(session, job)
    refused(garden.client.post(f"/v1/jobs/{job.id}/retry"), 409, "wrong_state")


def test_a_retry_is_a_new_job(garden: Garden) -> None:
    with garden.database.session() as session:
        failed = rows.job(session, garden.project_id, "failed", datasets=[rows.dataset(session, garden.project_id)]).id
    again = garden.client.post(f"/v1/jobs/{failed}/retry").json()
    assert (again["retry_of"], again["status"]) == (failed, "queued")
    with garden.database.reading() as session:
        assert jobs.get(session, garden.project_id, again["id"]).retry_of == failed


def test_an_unknown_key_comes_with_the_ones_there_are(garden: Garden) -> None:
    body = {"kind": "pretrain", "dataset": "ds-1", "epochs": 3}

    message = refused(garden.client.post("/v1/jobs", json=body), 422, "unknown_key", param="epochs")

    assert message.startswith("epochs: there is no such key, did you mean training.epochs? There are augmentation, ")
