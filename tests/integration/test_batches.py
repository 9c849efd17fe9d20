"""Batches through the stock SDK: answers as the direct path gives them, refusals beside them, restarts, cancels."""

import codecs
import hashlib
import io
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from openai import OpenAI

from app.errors import TrainerCrashed
from app.registry import batches, fenced, jobs, keys, leases
from app.registry.tables import Link
from app.settings import Settings
from tests.integration.api.conftest import House, serve
from tests.workshop import Workshop, blobs
from worker.handlers import answering, batch
from worker.progress import Reporter, Stopped

ROWS = blobs()["features"]


class School:
    """A server, a worker's handler in this process, and a model."""

    def __init__(self, house: House, home: Path) -> None:
        self.workshop = Workshop(house.database, house.storage, home)
        with house.database.session() as session:
            secret = keys.create_key(session, self.workshop.project_id, "test", ("read", "infer", "train"))[1]
        self.client = OpenAI(base_url=f"{house.base_url}/v1", api_key=secret, max_retries=0)
        dataset = self.workshop.dataset(blobs(labels=False))
        self.workshop.train(self.workshop.job(dataset, name="rows", training={"epochs": 1}))

    def upload(self, lines: list[Any]) -> str:
        file = io.BytesIO(
            b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
        )
        file.name = "requests.jsonl"
        return self.client.files.create(file=file, purpose="batch").id

    def ask(self, lines: list[Any], endpoint: Any = "/v1/embeddings") -> Any:
        held = self.upload(lines)
        return self.client.batches.create(input_file_id=held, endpoint=endpoint, completion_window="24h")

    def work(self, made: Any) -> Any:
        batch.run(self.workshop.claim(made.job))
        return self.client.batches.retrieve(made.id)

    def lines(self, file_id: str) -> list[Any]:
        return [json.loads(line) for line in self.client.files.content(file_id).text.splitlines()]


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    home = tmp_path_factory.mktemp("school")
    with serve(Settings(home=home, sweep_seconds=3600)) as house:
        yield School(house, home)


def line(number: int, *, rows: int = 1, **body: Any) -> dict[str, Any]:
    items = ROWS[number : number + rows].tolist()
    asked = {"model": "rows", "input": items[0] if rows == 1 else items, **body}
    return {"custom_id": f"row-{number}", "method": "POST", "url": "/v1/embeddings", "body": asked}


def test_answers_are_those_of_the_direct_path(school: School) -> None:
    made = school.ask([line(number, rows=1 + number % 3) for number in range(40)])
    assert (made.status, made.endpoint, made.request_counts.total) == ("validating", "/v1/embeddings", 0)
    done = school.work(made)
    assert (done.status, done.error_file_id) == ("completed", None)
    assert done.request_counts.model_dump() == {"total": 40, "completed": 40, "failed": 0}
    answers = school.lines(done.output_file_id)
    assert [answer["custom_id"] for answer in answers] == [f"row-{number}" for number in range(40)]
    direct = school.client.embeddings.create(model="rows", input=ROWS[5:8].tolist(), encoding_format="float")
    given = answers[5]["response"]["body"]
    assert given["model"] == direct.model
    np.testing.assert_allclose(
        [each["embedding"] for each in given["data"]], [each.embedding for each in direct.data], rtol=1e-4, atol=1e-5
    )
    assert [each.id for each in school.client.batches.list(limit=1)] == [made.id]


def test_lines_of_numbers_are_answered_as_if_they_had_been_read_with_care(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line(0), line(1, rows=3), line(2, dimensions=3), line(3, typo=1), line(4, encoding_format="base64")]
    lines += [{**line(5), "body": {"model": "rows", "input": items}} for items in ([1.0], [[1.0] * 12, [2.0]], [], "x")]
    lines += [{**line(6), "metadata": {"of": "mine"}}, {**line(7), "custom_id": 7}]

    def answered() -> list[Any]:
        done = school.work(school.ask(lines))
        found = school.lines(done.output_file_id) + school.lines(done.error_file_id)
        for each in found:
            del each["id"]
            if each["response"]:
                each["response"].pop("request_id", None)
        return found

    quickly = answered()
    monkeypatch.setattr("app.plain_json.read", lambda *body, **within: None)
    assert quickly == answered()


def test_refusals_have_a_file_of_their_own(school: School) -> None:
    wrong = [
        b"not json\n",
        b"[1]\n",
        {"method": "POST", "url": "/v1/embeddings", "body": {}},
        {**line(1), "url": "/v1/predictions"},
        {"custom_id": "short", "url": "/v1/embeddings", "body": {"model": "rows", "input": [1.0]}},
        {"custom_id": "nobody", "url": "/v1/embeddings", "body": {"model": "nobody", "input": [1.0]}},
        {"custom_id": "key", "url": "/v1/embeddings", "body": {"model": "rows", "input": [1.0], "typo": 1}},
        {"custom_id": "many", "url": "/v1/embeddings", "body": {"model": "rows", "input": [[0.0] * 12] * 2049}},
        line(2, dimensions=3),
    ]
    done = school.work(school.ask([line(0), *wrong, line(9)]))
    assert done.request_counts.model_dump() == {"total": 11, "completed": 2, "failed": 9}
    assert [answer["custom_id"] for answer in school.lines(done.output_file_id)] == ["row-0", "row-9"]
    codes = [answer["error"]["code"] for answer in school.lines(done.error_file_id)]
    assert codes[:4] == ["malformed"] * 4
    assert codes[4:] == ["wrong_shape", "model_not_found", "unknown_key", "out_of_range", "out_of_range"]


def test_a_refusal_names_its_line(school: School) -> None:
    done = school.work(school.ask([line(0), b"\n", b'{"custom_id": oops\n', b"[1]\n", line(1)]))
    refused = school.lines(done.error_file_id)
    assert [(each["id"], each["error"]["line"]) for each in refused] == [("batch_req_3", 3), ("batch_req_4", 4)]
    assert refused[0]["error"]["message"].startswith("line 3 is not JSON: ")
    assert refused[0]["error"]["message"].endswith(" at character 15")
    assert [each["id"] for each in school.lines(done.output_file_id)] == ["batch_req_1", "batch_req_5"]


def answer_one_shard(reporter: Reporter) -> None:
    """Works on a batch until it is asked to leave, which it is in its first shard."""
    original = answering.Answering.answer

    def answer(self: answering.Answering, lines: Sequence[answering.Line]) -> tuple[list[bytes], list[bytes]]:
        reporter.stop.set()
        return original(self, lines)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answering.Answering, "answer", answer)
        with pytest.raises(Stopped):
            batch.run(reporter)


def leave(school: School, made: Any, reporter: Reporter) -> None:
    """As a worker does that is told to stop: another one goes on."""
    with school.workshop.database.session() as session:
        leases.leave(session, made.job, reporter.token)


def test_a_custom_id_is_answered_once(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "SHARD_LINES", 2)
    made = school.ask([line(0), line(1), line(2), line(0), line(3), line(1)])
    reporter = school.workshop.claim(made.job)
    answer_one_shard(reporter)
    leave(school, made, reporter)
    done = school.work(made)
    assert [each["custom_id"] for each in school.lines(done.output_file_id)] == ["row-0", "row-1", "row-2", "row-3"]
    refused = school.lines(done.error_file_id)
    assert [(each["custom_id"], each["error"]["line"]) for each in refused] == [("row-0", 4), ("row-1", 6)]
    assert refused[0]["error"]["message"] == "custom_id: an earlier line is 'row-0', too"


def test_a_restart_answers_nothing_twice(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "SHARD_LINES", 10)
    made = school.ask([line(number) for number in range(35)])
    reporter = school.workshop.claim(made.job)
    original, seen = answering.Answering.answer, []

    def answer(self: Any, lines: Any) -> Any:
        seen.append(len(lines))
        if len(seen) == 2:
            reporter.stop.set()
        return original(self, lines)

    monkeypatch.setattr(answering.Answering, "answer", answer)
    with pytest.raises(Stopped):
        batch.run(reporter)
    with school.workshop.database.session() as session:
        assert batches.done(session, batches.get(session, school.workshop.project_id, made.id)) == 2
        jobs.ask(session, school.workshop.project_id, made.job, "pause")
        leases.leave(session, made.job, reporter.token)
        jobs.resume(session, school.workshop.project_id, made.job)
    done = school.work(made)
    assert seen == [10, 10, 10, 5]
    assert done.request_counts.completed == 35
    assert [answer["custom_id"] for answer in school.lines(done.output_file_id)] == [f"row-{n}" for n in range(35)]


def test_an_empty_file_of_requests_and_one_without_an_end(school: School) -> None:
    done = school.work(school.ask([b"\n\n"]))
    assert (done.status, done.output_file_id, done.request_counts.total) == ("completed", None, 0)
    done = school.work(school.ask([json.dumps(line(3)).encode()]))
    assert done.request_counts.completed == 1


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_answers_come_as_columns_on_request(school: School, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "SHARD_LINES", 2)
    lines = [line(number, rows=1 + number % 2, encoding_format=encoding) for number in range(5)] + [line(0, typo=1)]
    made = school.client.batches.create(
        input_file_id=school.upload(lines),
        endpoint="/v1/embeddings",
        completion_window="24h",
        extra_body={"output_format": "parquet"},
    )
    done = school.work(made)
    table = pq.read_table(io.BytesIO(school.client.files.content(done.output_file_id).content))
    assert table["custom_id"].to_pylist() == ["row-0", "row-1", "row-1", "row-2", "row-3", "row-3", "row-4"]
    assert table["index"].to_pylist() == [0, 0, 1, 0, 0, 1, 0]
    items = [ROWS[number + index].tolist() for number in range(5) for index in range(1 + number % 2)]
    direct = school.client.embeddings.create(model="rows", input=items)
    np.testing.assert_allclose(table["embedding"].to_pylist(), [each.embedding for each in direct.data], atol=1e-5)
    assert school.client.files.retrieve(done.output_file_id).filename.endswith("_output.parquet")
    assert len(school.lines(done.error_file_id)) == 1


def test_reconstructions_are_batched_too(school: School) -> None:
    asked = {"custom_id": "a", "url": "/v1/reconstructions", "body": {"model": "rows", "input": ROWS[0].tolist()}}
    done = school.work(school.ask([asked], endpoint="/v1/reconstructions"))
    (answer,) = school.lines(done.output_file_id)
    assert len(answer["response"]["body"]["data"][0]["reconstruction"]) == 12


@pytest.mark.parametrize("content", [b"a,b,label\n1,2,x\n", b"PAR1\x15\x04\x15\x10", b"\n[\n{}\n]\n", b"\xff\xfe{\0"])
def test_a_file_that_holds_no_lines_of_requests_is_refused_at_once(school: School, content: bytes) -> None:
    with pytest.raises(openai.BadRequestError, match=r"requests\.jsonl begins with .*JSON lines.*kind embed") as caught:
        school.ask([content])
    assert (caught.value.code, caught.value.param) == ("malformed", "input_file_id")


def test_a_byte_order_mark_is_no_part_of_the_first_request(school: School) -> None:
    done = school.work(school.ask([codecs.BOM_UTF8, line(0), line(1)]))
    assert done.request_counts.model_dump() == {"total": 2, "completed": 2, "failed": 0}
    assert [each["id"] for each in school.lines(done.output_file_id)] == ["batch_req_1", "batch_req_2"]


def test_a_batch_is_cancelled_and_its_file_kept(school: School) -> None:
    made = school.ask([line(0)])
    cancelled = school.client.batches.cancel(made.id)
    assert cancelled.status == "cancelled"
    assert cancelled.cancelling_at == cancelled.cancelled_at == pytest.approx(time.time(), abs=600)
    with pytest.raises(openai.ConflictError, match="batch"):
        school.client.files.delete(made.input_file_id)


def test_a_batch_tells_since_when_it_is_being_cancelled(school: School) -> None:
    made = school.ask([line(0)])
    reporter = school.workshop.claim(made.job)
    assert made.cancelling_at is None
    told = school.client.batches.cancel(made.id)
    assert (told.status, told.cancelled_at) == ("cancelling", None)
    assert told.cancelling_at == pytest.approx(time.time(), abs=600)
    with school.workshop.database.session() as session:
        leases.leave(session, made.job, reporter.token)
    ended = school.client.batches.cancel(made.id)
    assert (ended.status, ended.cancelling_at) == ("cancelled", told.cancelling_at)
    assert ended.cancelled_at is not None


@pytest.mark.parametrize("ending", ["cancelled", "failed"])
def test_what_a_batch_was_answered_that_comes_to_nothing_is_kept(
    school: School, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(batch, "SHARD_LINES", 10)
    made = school.ask([line(0), line(1, typo=1), *(line(number) for number in range(2, 30))])
    reporter = school.workshop.claim(made.job)
    answer_one_shard(reporter)
    leave(school, made, reporter)
    reporter = school.workshop.claim(made.job)
    answer_one_shard(reporter)
    with school.workshop.database.session() as session:
        assert batches.done(session, batches.get(session, school.workshop.project_id, made.id)) == 2, "it may go on"
        if ending == "cancelled":
            jobs.ask(session, school.workshop.project_id, made.job, "cancel")
            leases.leave(session, made.job, reporter.token)
        else:
            fenced.fail(session, made.job, reporter.token, TrainerCrashed("it crashed").body())
    with school.workshop.database.reading() as session:
        assert list(session.scalars(sa.select(Link).where(Link.owner == made.job))) == []
    ended: Any = school.client.batches.retrieve(made.id)
    assert (ended.status, ended.request_counts.completed, ended.request_counts.failed) == (ending, 19, 1)
    answers = school.lines(ended.output_file_id)
    assert [each["custom_id"] for each in answers] == [f"row-{number}" for number in range(20) if number != 1]
    assert [each["custom_id"] for each in school.lines(ended.error_file_id)] == ["row-1"]
    for file in (ended.output_file_id, ended.error_file_id):
        content = school.client.files.content(file).content
        told: Any = school.client.files.retrieve(file)
        assert (told.bytes, told.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert told.filename.endswith(".jsonl")


def test_an_ended_batch_is_deleted_and_its_files_become_free(school: School) -> None:
    made = school.ask([line(0)])
    with pytest.raises(openai.ConflictError, match="cancel it first"):
        school.client.delete(f"/batches/{made.id}", cast_to=object)
    school.client.batches.cancel(made.id)
    gone = school.client.delete(f"/batches/{made.id}", cast_to=object)
    assert gone == {"id": made.id, "object": "batch", "deleted": True}
    with pytest.raises(openai.NotFoundError):
        school.client.batches.retrieve(made.id)
    assert school.client.files.delete(made.input_file_id).deleted


def test_what_cannot_be_is_refused(school: School) -> None:
    held = school.upload([line(0)])
    with pytest.raises(openai.UnprocessableEntityError, match="/v1/embeddings"):
        school.ask([line(0)], endpoint="/v1/chat/completions")
    with pytest.raises(openai.NotFoundError, match="input_file_id"):
        school.client.batches.create(input_file_id="file-no", endpoint="/v1/embeddings", completion_window="24h")
    with pytest.raises(openai.NotFoundError):
        school.client.batches.retrieve("batch_no")
    assert httpx.get(str(school.client.base_url) + "batches", timeout=60).status_code == 401
    assert held
