"""Embedding a dataset through a job: what the direct path says of every row, once, whatever is killed on the way."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from openai import OpenAI

from app.errors import DoesNotFit
from app.registry import jobs, keys, leases, objects
from app.registry.tables import Dataset
from app.settings import PREFIX, Settings
from tests import bert_folder
from tests.integration.api.conftest import House, serve
from tests.integration.api.faults import refused
from tests.servers import PATIENCE
from tests.workshop import Workshop, blobs
from worker.handlers import embedding, importing
from worker.processes.process import Order
from worker.progress import Stopped

ROWS = 400


class Field:
    """A server, a worker's handlers in this process, a dataset of rows and one of texts, and models of both."""

    def __init__(self, house: House, home: Path) -> None:
        self.house = house
        self.workshop = Workshop(house.database, house.storage, home)
        with house.database.session() as session:
            self.secret = keys.create_key(session, self.workshop.project_id, "test", ("read", "infer", "train"))[1]
        self.client = house.client(self.secret)
        self.rows = self.workshop.dataset(blobs(ROWS))
        self.workshop.train(self.workshop.job(self.rows, name="rows", objective={"name": "pca"}))
        lines = [" ".join(["tree", "rose", "is", "a"][: 1 + n % 4] * (1 + n % 3)) for n in range(100)]
        self.texts = self.workshop.dataset("\n".join(["text", *lines]).encode(), "texts.csv", modality="text")
        form = {"file": ("tiny.zip", io.BytesIO(bert_folder.zipped(bert_folder.files())), "application/zip")}
        job = self.client.post("/v1/models/import", data={"name": "tiny"}, files=form).json()
        importing.run(self.workshop.claim(job["id"]))

    def ask(self, dataset: Dataset, model: str = "rows", **options: Any) -> Any:
        answer = self.client.post("/v1/jobs", json={"kind": "embed", "model": model, "dataset": dataset.id, **options})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def look(self, job: Any) -> Any:
        return self.client.get(f"/v1/jobs/{job['id']}").json()

    def work(self, job: Any) -> Any:
        embedding.run(self.workshop.claim(job["id"]))
        return self.look(job)

    def content(self, done: Any) -> bytes:
        return self.client.get(f"/v1/files/{done['output_file']}/content").content

    def table(self, done: Any) -> Any:
        return pq.read_table(io.BytesIO(self.content(done)))


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    home = tmp_path_factory.mktemp("field")
    with serve(Settings(home=home, sweep_seconds=3600)) as house:
        made = Field(house, home)
        with contextlib.closing(made.client):
            yield made


def direct(field: Field, model: str, items: list[Any], **options: Any) -> Any:
    with OpenAI(base_url=f"{field.house.base_url}/v1", api_key=field.secret) as sdk:
        return np.array([each.embedding for each in sdk.embeddings.create(model=model, input=items, **options).data])


def of_dataset(field: Field, dataset: Dataset, role: str) -> dict[int, Any]:
    """Row of the dataset → its item, as the API shows it."""
    found: dict[int, Any] = {}
    for split in ("train", "validation", "test"):
        after = None
        while True:
            params = {"split": split, "limit": 100, **({} if after is None else {"after": after})}
            page = field.client.get(f"/v1/datasets/{dataset.id}/rows", params=params).json()
            found |= {each["row"]: each[role] for each in page["data"]}
            if not page["has_more"]:
                break
            after = page["last_id"]
    return found


def test_every_row_is_there_once_and_as_the_direct_path_has_it(field: Field) -> None:
    job = field.ask(field.rows, metadata={"a": "b"})
    assert (job["kind"], job["status"], job["base_model"], job["output_file"]) == ("embed", "queued", "rows:1", None)
    assert job["spec"]["model"] == "rows:1"
    done = field.work(job)
    assert (done["status"], done["metrics"], done["metadata"]) == ("succeeded", {"rows": ROWS}, {"a": "b"})
    table = field.table(done)
    assert table.schema.names == ["row", "split", "embedding"]
    items = of_dataset(field, field.rows, "input")
    assert sorted(table["row"].to_pylist()) == sorted(items)
    given = np.array(table["embedding"].to_pylist(), np.float32)
    wanted = direct(field, "rows", [items[row] for row in table["row"].to_pylist()])
    np.testing.assert_allclose(given, wanted, atol=1e-4)
    name = field.client.get(f"/v1/files/{done['output_file']}").json()["filename"]
    assert name == "data-rows-1.parquet"
    with field.house.database.reading() as session:
        assert objects.held(session, job["id"]) == {}, "the shards go with the job's end"


def test_texts_as_json_lines_of_one_split_and_shorter(field: Field) -> None:
    done = field.work(field.ask(field.texts, "tiny", split="train", format="jsonl"))
    lines = [json.loads(line) for line in field.content(done).splitlines()]
    items = of_dataset(field, field.texts, "input")
    assert {each["split"] for each in lines} == {"train"}
    wanted = direct(field, "tiny", [items[each["row"]] for each in lines])
    np.testing.assert_allclose([each["embedding"] for each in lines], wanted, atol=1e-5)
    short = field.table(field.work(field.ask(field.rows, dimensions=2)))
    assert np.array(short["embedding"].to_pylist()).shape == (ROWS, 2)


def test_a_restart_computes_nothing_twice(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "SHARD_ROWS", 50)
    whole = field.table(field.work(field.ask(field.rows)))
    job, computed = field.ask(field.rows), list[int]()
    original = embedding.packed

    reporter = field.workshop.claim(job["id"], threading.Event())

    def packed(rows: Any, *rest: Any) -> bytes:
        computed.extend(rows.tolist())
        if len(computed) >= 150:
            stop.set()
        return original(rows, *rest)

    monkeypatch.setattr(embedding, "packed", packed)
    stop = reporter.stop
    with pytest.raises(Stopped):
        embedding.run(reporter)
    with field.house.database.session() as session:
        assert leases.leave(session, job["id"], reporter.token) == "queued"
    reporter = field.workshop.claim(job["id"])
    embedding.run(reporter)
    assert sorted(computed) == sorted(set(computed))
    assert field.table(field.look(job)).equals(whole)


def test_a_killed_process_goes_on_at_its_shard(field: Field) -> None:
    rows = field.workshop.dataset({"features": np.random.default_rng(1).normal(size=(150_000, 12)).astype(np.float32)})
    job = field.ask(rows, format="jsonl")

    def shards() -> int:
        with field.house.database.reading() as session:
            return len(objects.held(session, job["id"]))

    with process(field, job["id"], -1) as first:
        deadline = time.monotonic() + PATIENCE
        while shards() < 2:
            assert first.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        first.kill()
        assert first.wait() == -signal.SIGKILL
    with field.house.database.session() as session:
        assert [each.status for each in leases.expire(session)] == ["queued"]
    assert shards() >= 2
    with process(field, job["id"], 600.0) as second:
        assert second.wait(PATIENCE) == 0
    done = field.look(job)
    assert (done["status"], done["attempt"]) == ("succeeded", 2)
    lines = field.content(done).splitlines()
    assert len(lines) == len({line.partition(b",")[0] for line in lines}) == 150_000


@contextlib.contextmanager
def process(field: Field, job_id: str, lease_seconds: float) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of its own that does the job; it does not outlive the block."""
    with field.house.database.session() as session:
        claimed = leases.claim(session, job_id, "test", lease_seconds)
    assert claimed is not None
    settings = field.house.services.settings
    environment = os.environ | {
        f"{PREFIX}HOME": str(settings.home),
        f"{PREFIX}DATABASE_URL": settings.resolved_database_url,
        f"{PREFIX}STORAGE_URL": settings.resolved_storage_url,
    }
    command = [sys.executable, "-m", "worker.processes.process"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as started:
        assert started.stdin is not None
        started.stdin.write(Order(job_id, claimed.token, "embed").line())
        started.stdin.flush()
        try:
            yield started
        finally:
            started.kill()


def test_a_cancelled_job_keeps_no_shards(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "SHARD_ROWS", 50)
    job = field.ask(field.rows)
    reporter = field.workshop.claim(job["id"], threading.Event())
    original = embedding.packed

    def packed(*given: Any) -> bytes:
        reporter.stop.set()
        return original(*given)

    monkeypatch.setattr(embedding, "packed", packed)
    with pytest.raises(Stopped):
        embedding.run(reporter)
    field.client.post(f"/v1/jobs/{job['id']}/cancel")
    with field.house.database.session() as session:
        assert objects.held(session, job["id"])
        assert leases.leave(session, job["id"], reporter.token) == "cancelled"
        assert not objects.held(session, job["id"])


def test_what_cannot_be_embedded_is_refused(field: Field) -> None:
    def ask(**body: Any) -> Any:
        return field.client.post("/v1/jobs", json={"kind": "embed", **body})

    here = field.rows.id
    refused(ask(model="nobody", dataset=here), 404, "model_not_found", "model")
    refused(ask(model="rows", dataset="ds-no"), 404, "not_found", "dataset")
    refused(ask(model="rows", dataset=here, format="csv"), 422, "unknown_choice", "format")
    refused(ask(model="rows", dataset=here, dimensions=4000), 422, "out_of_range", "dimensions")
    refused(ask(model="rows", dataset=here, encoder={"name": "mlp"}), 422, "unknown_key", "encoder")
    refused(ask(dataset=here), 422, "missing_key", "model")
    refused(field.client.post("/v1/jobs", json={"kind": "paint"}), 422, "unknown_choice", "kind")
    refused(field.client.post("/v1/jobs", json={"dataset": here}), 422, "missing_key", "kind")
    narrow = field.workshop.dataset(blobs(50, width=5))
    for model, dataset, said in (
        ("tiny", field.rows, "reads 'text', and the dataset has 'vectors' as input"),
        ("rows", narrow, "made for [12]"),
    ):
        assert said in refused(ask(model=model, dataset=dataset.id), 422, "does_not_fit", "dataset")
        with field.house.database.session() as session:  # as if it had been validating when the job was made
            job = jobs.create(
                session,
                project_id=field.workshop.project_id,
                kind="embed",
                queue="data",
                request={},
                spec={"kind": "embed", "model": f"{model}:1", "dataset": dataset.id},
                datasets=[(dataset.id, 1.0)],
            )
        with pytest.raises(DoesNotFit, match=re.escape(said)):
            embedding.run(field.workshop.claim(job.id))
    whole = field.workshop.dataset(blobs(50), split={"train": 1.0, "validation": 0.0, "test": 0.0})
    with pytest.raises(DoesNotFit, match="'test' has no rows"):
        embedding.run(field.workshop.claim(field.ask(whole, split="test")["id"]))
    with OpenAI(base_url=f"{field.house.base_url}/v1", api_key=field.secret) as sdk:
        assert not list(sdk.fine_tuning.jobs.list()), "an embedding is no fine-tuning"


def test_a_model_that_a_job_waits_for_is_not_deleted(field: Field) -> None:
    job = field.ask(field.rows)
    refused(field.client.delete("/v1/models/rows"), 409, "in_use")
    field.client.post(f"/v1/jobs/{job['id']}/cancel")
    with field.house.database.reading() as session:
        assert jobs.load(session, job["id"]).status == "cancelled"
