"""The handler of a `batch` job: a file of requests in, a file of answers and one of refusals out, shard by shard.

Requests of one model are computed together. What a shard gave is committed before the next one begins, so that a
restart answers nothing twice; bytes are written first, under keys that hold the job's token.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson
import torch
from pydantic import ValidationError

from app.errors import (
    AbilityMissing,
    InferenceFailed,
    Invalid,
    Malformed,
    OutOfRange,
    RootstockError,
    TooLarge,
    from_validation,
)
from app.ml import artifact
from app.ml.modalities.base import Tensors
from app.ml.operations.base import Operation
from app.ml.padding import joined
from app.ml.plugins import find
from app.registry import batches, jobs, models, objects
from app.registry.tables import Batch
from app.storage import Stored
from worker.progress import Reporter, Stopped

SHARD_LINES = 500
SHARD_BYTES = 16 << 20
MOST_LINE = 64 << 20
"""Bytes of one request at most."""
TOGETHER = 256
"""Rows that are computed at once, unless a single request has more."""


@dataclass
class Request:
    """One line: what it asks, or why it cannot be answered."""

    custom_id: str | None
    model: str = ""
    body: Any = None
    inputs: Tensors | None = None
    error: RootstockError | None = None


@dataclass(frozen=True)
class Model:
    """A model that the batch asks."""

    reference: str
    loaded: artifact.Artifact


def run(reporter: Reporter) -> None:
    """Answers the batch that the job names. Raises Stopped when asked to leave, and Fenced."""
    with reporter.database.reading() as session:
        job = jobs.load(session, reporter.job_id)
        batch = batches.get(session, job.project_id, job.request["batch"])
        content = objects.held(session, batch.input_file_id)["content"]
        done = batches.done(session, batch.id)
    answering = Answering(reporter, batch)
    total, read, begun = sum(part.size_bytes for part in content), 0, time.monotonic()
    for number, lines in enumerate(shards(reporter.storage.open(content))):
        read += sum(map(len, lines))
        if number < done:
            continue
        if reporter.stop.is_set():
            raise Stopped
        output, errors = answering.answer(lines)
        given = {batches.SHARD: put(reporter, batch, number, batches.SHARD, [str(number).encode()])}
        for name, rows in ((batches.OUTPUT, output), (batches.ERRORS, errors)):
            if rows:
                given[name] = put(reporter, batch, number, name, rows)
        counts = {"total": len(lines), "completed": len(output), "failed": len(errors)}
        elapsed, share = time.monotonic() - begun, read / max(1, total)
        progress: dict[str, Any] = {
            "percentage_done": round(100 * min(1.0, share), 1),
            "step": number + 1,
            "elapsed_time": elapsed,
            "estimated_remaining_seconds": elapsed * (1 - share) / share,
        }
        with reporter.database.session() as session:
            batches.add_shard(session, batch, reporter.token, number, progress, given, counts)
    with reporter.database.reading() as session:
        made = {name: batches.parts(session, batch.id, name) for name in (batches.OUTPUT, batches.ERRORS)}
    whole = {name: hashed(reporter.storage.open(parts)) for name, parts in made.items() if parts}
    with reporter.database.session() as session:
        batches.finish(session, batch, reporter.token, whole)


class Answering:
    """The models of a batch, each loaded once, and what to do with its lines."""

    def __init__(self, reporter: Reporter, batch: Batch) -> None:
        self.reporter, self.batch = reporter, batch
        found = {each.path: each() for each in find("operations", Operation).values()}
        self.operation: Operation = found[batch.endpoint]
        self._models: dict[str, Model | RootstockError] = {}

    def answer(self, lines: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
        """Lines of answers and lines of refusals."""
        requests = [self.read(line) for line in lines]
        answers: list[dict[str, Any] | None] = [None] * len(requests)
        waiting: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            if request.error is None:
                waiting.setdefault(request.model, []).append(place)
        for name, places in waiting.items():
            model = self.model(name)
            assert isinstance(model, Model)
            for together in _cut(places, requests):
                self.compute(model, [(place, requests[place]) for place in together], answers)
        output, errors = [], []
        for request, answer in zip(requests, answers, strict=True):
            if request.error is None:
                assert answer is not None
                output.append(_line(request, 200, answer))
            else:
                errors.append(_line(request, request.error.status, {"error": request.error.body()}))
        return output, errors

    def read(self, line: bytes) -> Request:
        """The request of a line, its input encoded."""
        request = Request(None)
        try:
            if len(line) > MOST_LINE:
                raise TooLarge(f"a request has {len(line):,} bytes; at most {MOST_LINE:,} are read")
            given = _object(line)
            request.custom_id = given.get("custom_id")
            if not isinstance(request.custom_id, str):
                raise Malformed(f"custom_id: expected a text, got {request.custom_id!r:.100}", param="custom_id")
            if given.get("method", "POST") != "POST" or given.get("url", self.batch.endpoint) != self.batch.endpoint:
                where = f"{given.get('method')} {given.get('url')}"
                raise Malformed(f"url: the batch asks POST {self.batch.endpoint}, this request {where}", param="url")
            try:
                request.body = self.operation.Request.model_validate(given.get("body"))
            except ValidationError as error:
                raise from_validation(error.errors(include_url=False), given.get("body")) from None
            request.model = request.body.model
            request.inputs = self.encode(self.model(request.model), request.body.input)
        except RootstockError as error:
            request.error = error
        return request

    def encode(self, model: Model | RootstockError, items: Any) -> Tensors:
        if isinstance(model, RootstockError):
            raise model
        if self.operation.ability not in model.loaded.abilities:
            can = ", ".join(model.loaded.abilities)
            raise AbilityMissing(
                f"model {model.reference} cannot {self.operation.ability}; it can {can}", param="model"
            )
        modality = model.loaded.roles["input"]
        column = modality.read(items)
        most = self.reporter.settings.max_inputs
        if len(column) > most:
            raise OutOfRange(f"input: holds {len(column)} items; at most {most} are allowed", param="input")
        return modality.encode(column)

    def model(self, name: str) -> Model | RootstockError:
        """The model of that name, loaded at its first request; or why there is none."""
        if name not in self._models:
            try:
                with self.reporter.database.reading() as session:
                    version = models.resolve(session, self.batch.project_id, name)
                    reference, held = models.reference(version), objects.held(session, version.id)
                files = {key: self.reporter.storage.local(parts[0]) for key, parts in held.items()}
                self._models[name] = Model(reference, artifact.load(files))
            except RootstockError as error:
                known = error if isinstance(error, Invalid) or error.status < 500 else InferenceFailed(error.message)
                self._models[name] = known
        return self._models[name]

    def compute(self, model: Model, requests: list[tuple[int, Request]], answers: list[dict[str, Any] | None]) -> None:
        """Answers requests together; where that fails, each alone, so that only a bad one fails."""
        inputs = [request.inputs for _, request in requests if request.inputs is not None]
        try:
            outputs = artifact.ask(model.loaded.network, self.operation.ability, joined(inputs))
        except RuntimeError as error:
            if len(requests) > 1:
                for one in requests:
                    self.compute(model, [one], answers)
                return
            requests[0][1].error = InferenceFailed(f"model {model.reference} failed: {error}")
            return
        roles, sizes = model.loaded.roles, [len(each["values"]) for each in inputs]
        for (place, request), given, rows in zip(requests, inputs, torch.split(outputs, sizes), strict=True):
            answered = rows.numpy()
            if not np.isfinite(answered).all():
                request.error = InferenceFailed(f"model {model.reference} answered with a number that is not finite")
                continue
            try:
                answer = self.operation.answer(request.body, roles["input"], roles.get("target"), given, answered)
            except RootstockError as error:
                request.error = error
            else:
                answers[place] = {**answer, "model": model.reference}


def shards(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Lines that hold something, some hundreds at a time: always the same ones of the same file."""
    rest, lines, size = b"", list[bytes](), 0
    for chunk in chain(chunks, [b"\n"]):
        whole, end, tail = chunk.rpartition(b"\n")
        if not end:
            rest = (rest + tail)[: MOST_LINE + 1]  # enough of a line that is too long to be refused for it
            continue
        for line in (rest + whole).split(b"\n"):
            if line.strip():
                lines.append(line)
                size += len(line)
            if len(lines) == SHARD_LINES or size >= SHARD_BYTES:
                yield lines
                lines, size = [], 0
        rest = tail
    if lines:
        yield lines


def put(reporter: Reporter, batch: Batch, number: int, name: str, rows: Sequence[bytes]) -> Stored:
    return reporter.storage.put(f"batches/{batch.id}/{reporter.token}/{name}-{number}.jsonl", b"".join(rows))


def hashed(chunks: Iterable[bytes]) -> tuple[str, int]:
    """sha256 and number of bytes."""
    found, size = hashlib.sha256(), 0
    for chunk in chunks:
        found.update(chunk)
        size += len(chunk)
    return found.hexdigest(), size


def _cut(places: Sequence[int], requests: Sequence[Request]) -> Iterator[list[int]]:
    """Requests whose rows are computed at once."""
    part, rows = list[int](), 0
    for place in places:
        inputs = requests[place].inputs
        assert inputs is not None
        if part and rows + len(inputs["values"]) > TOGETHER:
            yield part
            part, rows = [], 0
        part.append(place)
        rows += len(inputs["values"])
    if part:
        yield part


def _object(line: bytes) -> dict[str, Any]:
    try:
        given = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"the line is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise Malformed(f"the line is a JSON {type(given).__name__}; give an object with custom_id and body")
    return given


def _line(request: Request, status: int, body: dict[str, Any]) -> bytes:
    answer = {
        "id": f"batch_req_{request.custom_id}",
        "custom_id": request.custom_id,
        "response": {"status_code": status, "request_id": None, "body": body},
        "error": None if status == 200 else {"code": body["error"]["code"], "message": body["error"]["message"]},
    }
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"
