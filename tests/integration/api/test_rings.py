"""A job rings once it is committed; without a broker it waits for the sweep."""

from pathlib import Path

from app.queue import waiting
from app.registry import keys
from app.settings import Settings
from tests import rows
from tests.integration.api.conftest import serve


def test_what_is_made_rings_once_and_a_replay_does_not(tmp_path: Path, valkey_url: str) -> None:
    with serve(Settings(home=tmp_path, broker_url=valkey_url)) as house:
        with house.database.session() as session:
            project_id = keys.create_project(session, "garden").id
            dataset = rows.dataset(session, project_id, "validating").id
        headers = {"idempotency-key": "one"}
        body = {"kind": "pretrain", "dataset": dataset}
        with house.client(house.key(project_id, "train")) as client:
            job = client.post("/v1/jobs", json=body, headers=headers).json()["id"]
            client.post("/v1/jobs", json=body, headers=headers).raise_for_status()
            client.post("/v1/datasets", files={"file": ("a.csv", b"1,2")}, data={"name": "d"}).raise_for_status()
            assert (waiting(valkey_url, "train"), waiting(valkey_url, "data")) == (1, 1)
            client.post(f"/v1/jobs/{job}/pause").raise_for_status()
            assert waiting(valkey_url, "train") == 1
            client.post(f"/v1/jobs/{job}/resume").raise_for_status()
            assert waiting(valkey_url, "train") == 2


def test_a_broker_that_is_away_costs_no_job(tmp_path: Path) -> None:
    with serve(Settings(home=tmp_path, broker_url="redis://127.0.0.1:1/0")) as house:
        with house.database.session() as session:
            project_id = keys.create_project(session, "garden").id
            dataset = rows.dataset(session, project_id, "validating").id
        with house.client(house.key(project_id, "read", "train")) as client:
            made = client.post("/v1/jobs", json={"kind": "pretrain", "dataset": dataset})
            assert made.status_code == 200
            assert client.get(f"/v1/jobs/{made.json()['id']}").json()["status"] == "queued"
