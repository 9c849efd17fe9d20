"""The stock `openai` SDK, asynchronous, over everything that has the same meaning here; its retries and typed errors.

What the synchronous client does is tested beside each resource.
"""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from app.registry import jobs, keys
from app.settings import Settings
from tests import bert_folder
from tests.integration.api.conftest import House, serve
from tests.workshop import Workshop
from worker.handlers import batch, importing

TEXTS = ["a rose is a rose", "tree", "rooted !"]
Story = Callable[[AsyncOpenAI], Awaitable[Any]]


class School:
    """A server with a text model, and a worker's handlers in this process."""

    def __init__(self, house: House, home: Path) -> None:
        self.house, self.workshop = house, Workshop(house.database, house.storage, home)
        self.url = f"{house.base_url}/v1"
        self.key = self.secret("read", "infer", "train")
        form = {"file": ("tiny.zip", io.BytesIO(bert_folder.zipped(bert_folder.files())), "application/zip")}
        with house.client(self.key) as client:
            for _ in range(2):
                job = client.post("/v1/models/import", data={"name": "tiny"}, files=form).json()
                importing.run(self.workshop.claim(job["id"]))

    def secret(self, *scopes: str) -> str:
        with self.house.database.session() as session:
            return keys.create_key(session, self.workshop.project_id, "test", scopes)[1]

    def tell(self, story: Story, *, key: str | None = None, max_retries: int = 0, strict: bool = False) -> Any:
        """What `story` gives; `strict` has the SDK refuse answers that are not what its types promise."""
        options: Any = {"max_retries": max_retries, "_strict_response_validation": strict}

        async def told() -> Any:
            async with AsyncOpenAI(base_url=self.url, api_key=key or self.key, **options) as client:
                return await story(client)

        return asyncio.run(told())

    def work(self) -> None:
        """Does the queued jobs, oldest first."""
        from worker.ingest.run import run as ingest
        from worker.trainer import run as train

        with self.workshop.database.reading() as session:
            project = self.workshop.project_id
            page = jobs.list_page(session, project, limit=100, after=None, descending=False, status="queued")
        for job in page.rows:
            handler = {"ingest": ingest, "batch": batch.run}.get(job.kind, train)
            handler(self.workshop.claim(job.id))


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Iterator[School]:
    home = tmp_path_factory.mktemp("school")
    with serve(Settings(home=home, sweep_seconds=3600)) as house:
        yield School(house, home)


def vectors(answer: Any) -> Any:
    return np.array([each.embedding for each in answer.data])


def test_embeddings_in_every_form(school: School) -> None:
    async def story(client: AsyncOpenAI) -> None:
        create = client.embeddings.create
        whole = await create(model="tiny", input=TEXTS)
        assert (whole.model, whole.object, [each.index for each in whole.data]) == ("tiny:1", "list", [0, 1, 2])
        assert whole.usage.prompt_tokens == whole.usage.total_tokens == 5 + 1 + 3
        one = await create(model="tiny", input=TEXTS[1])
        np.testing.assert_allclose(vectors(one)[0], vectors(whole)[1], atol=1e-6)
        numbers = await create(model="tiny", input=TEXTS, encoding_format="float", user="somebody")
        np.testing.assert_allclose(vectors(numbers), vectors(whole), atol=1e-6)
        packed: Any = await create(model="tiny", input=TEXTS, encoding_format="base64")
        assert isinstance(packed.data[0].embedding, str)
        by_ids = await create(model="tiny", input=[[1, 2, 3, 1, 2], [4]])
        np.testing.assert_allclose(vectors(by_ids), vectors(whole)[:2], atol=1e-6)
        same = await create(model="tiny", input=[4], dimensions=bert_folder.WIDTH)
        np.testing.assert_allclose(vectors(same)[0], vectors(whole)[1], atol=1e-6)
        for name, answers in (("tiny:2", "tiny:2"), ("tiny@default", "tiny:1")):
            assert (await create(model=name, input="tree")).model == answers

    school.tell(story)


def test_files_uploads_and_batches(school: School) -> None:
    lines = [
        {"custom_id": text, "method": "POST", "url": "/v1/embeddings", "body": {"model": "tiny", "input": text}}
        for text in TEXTS
    ]
    content = "\n".join(map(json.dumps, lines)).encode()

    async def begin(client: AsyncOpenAI) -> tuple[str, str]:
        file = await client.files.create(file=("requests.jsonl", content), purpose="batch")
        assert (await client.files.retrieve(file.id)).bytes == len(content)
        assert (await client.files.content(file.id)).content == content
        assert file.id in [each.id for each in (await client.files.list(purpose="batch", limit=10_000)).data]
        upload = await client.uploads.create(
            bytes=len(content), filename="again.jsonl", mime_type="application/jsonl", purpose="batch"
        )
        halves = [content[:100], content[100:]]
        parts = [await client.uploads.parts.create(upload.id, data=("part", half)) for half in halves]
        done = await client.uploads.complete(upload.id, part_ids=[part.id for part in parts])
        assert (done.status, done.file and done.file.bytes) == ("completed", len(content))
        other = await client.uploads.create(bytes=1, filename="x", mime_type="text/plain", purpose="batch")
        assert (await client.uploads.cancel(other.id)).status == "cancelled"
        assert (await client.files.delete(done.file.id if done.file else "")).deleted
        made = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h", metadata={"a": "b"}
        )
        gone = await client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
        assert (await client.batches.cancel(gone.id)).status == "cancelled"
        return made.id, gone.id

    async def end(client: AsyncOpenAI) -> None:
        done = await client.batches.retrieve(made)
        assert (done.status, done.metadata, done.error_file_id) == ("completed", {"a": "b"}, None)
        assert done.request_counts is not None
        assert (done.request_counts.total, done.request_counts.completed) == (3, 3)
        answers = (await client.files.content(done.output_file_id or "")).text.splitlines()
        assert [json.loads(line)["custom_id"] for line in answers] == TEXTS
        assert [each.id async for each in client.batches.list(limit=1)] == [gone, made]

    made, gone = school.tell(begin, strict=True)
    school.work()
    school.tell(end, strict=True)


def test_fine_tuning_with_events_and_checkpoints(school: School) -> None:
    rows = [("plant,tree rose", "mark,is !")[n % 2] + " a" * (n % 3) for n in range(120)]
    content = "\n".join(["label,text", *rows]).encode()

    async def begin(client: AsyncOpenAI) -> str:
        file = await client.files.create(file=("texts.csv", content), purpose="fine-tune")
        made = await client.fine_tuning.jobs.create(
            model="tiny", training_file=file.id, suffix="kinds", seed=3, hyperparameters={"n_epochs": 2}
        )
        assert (made.object, made.status, made.seed) == ("fine_tuning.job", "validating_files", 3)
        other = await client.fine_tuning.jobs.create(model="tiny", training_file=file.id)
        assert (await client.fine_tuning.jobs.cancel(other.id)).status == "cancelled"
        return made.id

    async def end(client: AsyncOpenAI) -> None:
        done = await client.fine_tuning.jobs.retrieve(made)
        assert (done.status, done.error and done.error.message) == ("succeeded", None)
        assert done.fine_tuned_model == "kinds:1"
        assert made in [each.id async for each in client.fine_tuning.jobs.list()]
        events = [each async for each in client.fine_tuning.jobs.list_events(made)]
        assert {each.object for each in events} == {"fine_tuning.job.event"}
        checkpoints = [each async for each in client.fine_tuning.jobs.checkpoints.list(made)]
        assert all(each.fine_tuning_job_id == made for each in checkpoints)
        asked: Any = {"model": done.fine_tuned_model, "encoding_format": "float"}
        assert vectors(await client.embeddings.create(input=TEXTS, **asked)).shape[0] == 3
        listed = [each.id async for each in client.models.list()]
        assert {"tiny", "kinds"} <= set(listed)
        assert (await client.models.retrieve("kinds")).object == "model"
        assert (await client.models.delete("kinds")).deleted

    made = school.tell(begin, strict=True)
    for _ in range(2):  # the dataset first
        school.work()
    school.tell(end, strict=True)


@pytest.mark.parametrize(
    ("ask", "kind", "code"),
    [
        (lambda c: c.embeddings.create(model="nobody", input="a"), openai.NotFoundError, "model_not_found"),
        (lambda c: c.embeddings.create(model="tiny", input=""), openai.BadRequestError, "empty_input"),
        (lambda c: c.embeddings.create(model="tiny", input=[]), openai.BadRequestError, "empty_input"),
        (lambda c: c.embeddings.create(model="tiny", input=[[99]]), openai.UnprocessableEntityError, "out_of_range"),
        (lambda c: c.embeddings.create(model="tiny", input="a", dimensions=3), openai.APIStatusError, "out_of_range"),
        (lambda c: c.files.retrieve("file-no"), openai.NotFoundError, "not_found"),
        (lambda c: c.models.retrieve("nobody"), openai.NotFoundError, "model_not_found"),
        (lambda c: c.models.delete("tiny:1"), openai.ConflictError, "in_use"),
        (lambda c: c.fine_tuning.jobs.retrieve("ftjob-no"), openai.NotFoundError, "not_found"),
        (lambda c: c.batches.retrieve("batch_no"), openai.NotFoundError, "not_found"),
        (lambda c: c.completions.create(model="tiny", prompt="a"), openai.NotFoundError, "not_found"),
        (lambda c: c.chat.completions.create(model="tiny", messages=[]), openai.NotFoundError, "not_found"),
        (lambda c: c.responses.create(model="tiny", input="a"), openai.NotFoundError, "not_found"),
        (lambda c: c.moderations.create(input="a"), openai.NotFoundError, "not_found"),
        (lambda c: c.audio.transcriptions.create(model="a", file=("a.wav", b"")), openai.NotFoundError, "not_found"),
        (lambda c: c.vector_stores.create(name="a"), openai.NotFoundError, "not_found"),
        (lambda c: c.images.generate(model="tiny", prompt="a"), openai.UnprocessableEntityError, "ability_missing"),
        (lambda c: c.images.generate(model="nobody", prompt="a"), openai.NotFoundError, "model_not_found"),
        (lambda c: c.audio.speech.create(model="tiny", input="a", voice="alloy"), openai.UnprocessableEntityError,
         "ability_missing"),
        (lambda c: c.audio.speech.create(model="nobody", input="a", voice="alloy"), openai.NotFoundError,
         "model_not_found"),
    ],
)  # fmt: skip
def test_errors_are_typed_and_named(school: School, ask: Any, kind: type[openai.APIStatusError], code: str) -> None:
    with pytest.raises(kind) as caught:
        school.tell(ask, max_retries=2)
    assert caught.value.code == code
    assert caught.value.request_id


def test_keys_that_do_not_let_in(school: School) -> None:
    with pytest.raises(openai.AuthenticationError) as unknown:
        school.tell(lambda client: client.models.list(), key="rs-nobody-knows-this")
    assert unknown.value.code == "invalid_api_key"
    with pytest.raises(openai.PermissionDeniedError) as narrow:
        school.tell(lambda client: client.embeddings.create(model="tiny", input="a"), key=school.secret("read"))
    assert narrow.value.code == "missing_scope"


def test_an_overloaded_server_is_asked_again(school: School) -> None:
    permits = school.house.services.serving.permits
    asked: list[int] = []

    async def story(client: AsyncOpenAI) -> Any:
        async def lighten() -> None:
            while permits.refused == before:
                await asyncio.sleep(0.01)
            asked.append(permits.refused)
            permits.taken -= permits.limit

        lightened = asyncio.create_task(lighten())
        answer = await client.embeddings.create(model="tiny", input="tree")
        await lightened
        return answer

    permits.taken += permits.limit
    before = permits.refused
    assert len(school.tell(story, max_retries=2).data) == 1
    assert asked == [before + 1]
    permits.taken += permits.limit
    try:
        with (
            OpenAI(base_url=school.url, api_key=school.key, max_retries=0) as client,
            pytest.raises(openai.RateLimitError) as caught,
        ):
            client.embeddings.create(model="tiny", input="tree")
        assert caught.value.code == "overloaded"
        assert caught.value.response.headers["retry-after"] == "1"
    finally:
        permits.taken -= permits.limit
