"""Answers lines of requests with the models that they name, those of one model together. Knows no file and no shard."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import orjson
import torch
from pydantic import ValidationError

from app import bounded_json, plain_json
from app.errors import (
    DoesNotFit,
    InferenceFailed,
    Invalid,
    Malformed,
    NotReady,
    OutOfRange,
    RootstockError,
    TooLarge,
)
from app.json_words import told
from app.ml.inference.abilities import lacking
from app.ml.operations.base import Operation
from app.ml.plugins import find
from app.ml.tensors.padding import joined
from app.ml.tensors.shapes import Tensors, as_arrays
from app.registry.tables import Batch
from app.validation import from_validation
from worker.handlers import computing
from worker.handlers.computing import Model
from worker.progress import Reporter

MOST_LINE = 64 << 20
"""Bytes of one request at most."""
INPUT = "input"
TOGETHER = 256
"""Rows that are computed at once, unless a single request has more."""


class Line(NamedTuple):
    """A line of a file, by its number from 1 on."""

    number: int
    content: bytes


@dataclass
class Request:
    """One line: what it asks, or why it cannot be answered."""

    number: int
    custom_id: str | None = None
    model: str = ""
    body: Any = None
    inputs: Tensors | None = None
    error: RootstockError | None = None


class Answering:
    """The models of a batch, each loaded once, and what to do with its lines."""

    def __init__(self, reporter: Reporter, batch: Batch) -> None:
        self.reporter, self.batch = reporter, batch
        found = {each.path: each() for each in find("operations", Operation).values()}
        self.operation: Operation = found[batch.endpoint]
        self._models: dict[str, Model | RootstockError] = {}
        self._seen: set[int] = set()
        """Hashes of the custom_ids so far; 64 bits each, since files hold millions of them."""

    def remember(self, lines: Sequence[Line]) -> None:
        """Notes the custom_ids of lines that were answered before a restart."""
        for line in lines:
            with suppress(RootstockError):
                self._name(_object(line))

    def answer(self, lines: Sequence[Line]) -> tuple[list[bytes], list[bytes]]:
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

    def read(self, line: Line) -> Request:
        """The request of a line, its input encoded."""
        request = Request(line.number)
        try:
            if len(line.content) > MOST_LINE:
                raise TooLarge(f"a request has {len(line.content):,} bytes; at most {MOST_LINE:,} are read")
            given = self._numbers(line.content) or _object(line)
            request.custom_id = given.get("custom_id")
            self._name(given)
            if given.get("method", "POST") != "POST" or given.get("url", self.batch.endpoint) != self.batch.endpoint:
                where = f"{given.get('method')} {given.get('url')}"
                raise Malformed(f"url: the batch asks POST {self.batch.endpoint}, this request {where}", param="url")
            try:
                request.body = self.operation.Request.model_validate(body := given.get("body"))
            except ValidationError as error:
                raise from_validation(error.errors(include_url=False), body, self.operation.Request) from None
            if self.operation.compared(request.body) is not None or getattr(request.body, "side", None) is not None:
                raise DoesNotFit("candidate_labels and side are answered outside of batches alone", param="body")
            request.model = request.body.model
            request.inputs = self.encode(self.model(request.model), request.body)
        except NotReady:
            raise
        except RootstockError as error:
            request.error = error
        return request

    def _name(self, given: Mapping[str, Any]) -> None:
        """Raises Malformed for a custom_id that is none, or that an earlier line has."""
        custom_id = given.get("custom_id")
        if not isinstance(custom_id, str):
            raise Malformed(f"custom_id: expected a text, got {told(custom_id)}", param="custom_id")
        if hash(custom_id) in self._seen:
            raise Malformed(f"custom_id: an earlier line is {custom_id!r:.100}, too", param="custom_id")
        self._seen.add(hash(custom_id))

    def _numbers(self, line: bytes) -> dict[str, Any] | None:
        """The object in the line, its input in an array, where that is rows of its model's numbers."""
        read = plain_json.read(line, INPUT, within="body")
        if read is None:
            return None
        given, array = read
        model = self.model(str(given["body"].get("model")))
        if isinstance(model, RootstockError):
            return None
        modality = model.loaded.roles[model.loaded.request_role]
        if not modality.takes_arrays or array.shape[-1] != modality.shape.count:
            return None
        given["body"][INPUT] = array
        return given

    def encode(self, model: Model | RootstockError, request: Any) -> Tensors:
        if isinstance(model, RootstockError):
            raise model
        if self.operation.ability not in model.loaded.abilities:
            raise lacking(model.reference, self.operation.ability, model.loaded.abilities)
        modality = model.loaded.roles[model.loaded.request_role]
        column = modality.read(request.input)
        most = self.reporter.settings.max_inputs
        if len(column) > most:
            raise OutOfRange(f"input: holds {len(column)} items; at most {most} are allowed", param="input")
        return self.operation.encoded(request, modality, column)

    def model(self, name: str) -> Model | RootstockError:
        """The model of that name, loaded at its first request; or why there is none."""
        if name not in self._models:
            try:
                load, here = computing.load, self.reporter
                self._models[name] = load(here.database, here.storage, self.batch.project_id, name)
            except NotReady:  # the whole batch waits for the store, and nothing is refused
                raise
            except RootstockError as error:
                known = error if isinstance(error, Invalid) or error.status < 500 else InferenceFailed(error.message)
                self._models[name] = known
        return self._models[name]

    def compute(self, model: Model, requests: list[tuple[int, Request]], answers: list[dict[str, Any] | None]) -> None:
        """Answers requests together; where that fails, each alone, so that only a bad one fails."""
        inputs = [request.inputs for _, request in requests if request.inputs is not None]
        try:
            outputs = computing.compute(model, self.operation.ability, joined(inputs))
        except RuntimeError as error:
            if len(requests) > 1:
                for one in requests:
                    self.compute(model, [one], answers)
                return
            requests[0][1].error = InferenceFailed(f"model {model.reference} failed: {error}")
            return
        roles, sizes = model.loaded.roles, [len(each["values"]) for each in inputs]
        for (place, request), given, rows in zip(requests, inputs, torch.split(outputs, sizes), strict=True):
            answered, read = rows.numpy(), as_arrays(given)
            if not np.isfinite(answered).all():
                request.error = InferenceFailed(f"model {model.reference} answered with a number that is not finite")
                continue
            try:
                answered = self.operation.adapt(request.body, model.loaded.network, answered)
                answer = self.operation.answer(
                    request.body,
                    roles[model.loaded.request_role],
                    roles.get(model.loaded.response_role),
                    read,
                    answered,
                )
            except RootstockError as error:
                request.error = error
            else:
                answers[place] = {**answer, "model": model.reference}


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


def _object(line: Line) -> dict[str, Any]:
    try:
        given = bounded_json.loads(line.content)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"line {line.number} is not JSON: {error.msg} at character {error.pos + 1}") from None
    if not isinstance(given, dict):
        what = type(given).__name__
        raise Malformed(f"line {line.number} is a JSON {what}; give an object with custom_id and body")
    return given


def _line(request: Request, status: int, body: dict[str, Any]) -> bytes:
    error = body.get("error")
    answer = {
        "id": f"batch_req_{request.number}",
        "custom_id": request.custom_id,
        "response": {"status_code": status, "request_id": None, "body": body},
        "error": error and {"code": error["code"], "message": error["message"], "line": request.number},
    }
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n"
