"""Computes a model's answers to many rows at once, outside the API. Knows no file and no request.

Rows of different lengths are computed in the order of their lengths, so that few of them are padded, in parts that are
cut by cost. All of torch's threads are used, and the engine that the model was published with.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from app.ml import artifact
from app.ml.runtime import engines, onnx
from app.ml.tensors.padding import elements, joined_answers, shortened
from app.ml.tensors.shapes import Tensors
from app.registry import models, objects
from app.registry.db import Database
from app.storage import Storage

MOST_ROWS = 256
MOST_TOKENS, MOST_NUMBERS = 8192, 1 << 22
"""Of a part: real tokens of texts, numbers of what has one size."""


@dataclass(frozen=True)
class Model:
    """A published version, loaded."""

    reference: str
    loaded: artifact.Artifact
    engine: engines.Engine


def load(database: Database, storage: Storage, project_id: str, name: str) -> Model:
    """The model that `name` means now. Raises ModelNotFound and ArtifactDamaged."""
    with database.reading() as session:
        version = models.resolve(session, project_id, name)
        reference, held = models.reference(version), objects.held(session, version.id)
        published: Mapping[str, Any] = version.engine
    loaded = artifact.load({name: storage.local(parts[0]) for name, parts in artifact.own(held).items()})
    graph = partial(storage.local, held[onnx.FILE][0]) if onnx.FILE in held else None
    threads = torch.get_num_threads()
    engine = engines.ready(published, loaded, device=torch.device("cpu"), threads=threads, graph=graph)
    return Model(reference, loaded, engine)


def compute(model: Model, ability: str, inputs: Tensors, tick: Callable[[], None] = lambda: None) -> Tensor:
    """The answers [B, …] to inputs [B, …]; `tick` is called after every part."""
    answers: list[Tensor] = []
    order = inputs["mask"].sum(1).argsort(stable=True) if "mask" in inputs else None
    for rows in parts(inputs) if order is None else parts_in(order, inputs):
        answers.append(model.engine.ask(ability, rows))
        tick()
    found = joined_answers(answers)
    return found if order is None else torch.empty_like(found).index_copy_(0, order, found)


def parts(inputs: Tensors) -> Iterator[Tensors]:
    """Rows of one size, one part after the other: views."""
    count = len(inputs["values"])
    most = max(1, min(MOST_ROWS, MOST_NUMBERS * count // max(1, elements(inputs))))
    for begin in range(0, count, most):
        yield {name: tensor[begin : begin + most] for name, tensor in inputs.items()}


def parts_in(order: Tensor, inputs: Tensors) -> Iterator[Tensors]:
    """Rows of different lengths in that order, one part after the other, without what is padding in all of them."""
    begin, cost = 0, 0
    lengths = inputs["mask"].sum(1)[order].clamp(min=1).tolist()
    for place, tokens in enumerate([*lengths, MOST_TOKENS]):  # behind the last row, nothing more fits
        if place > begin and (place - begin >= MOST_ROWS or cost + tokens > MOST_TOKENS):
            yield shortened({name: tensor[order[begin:place]] for name, tensor in inputs.items()})
            begin, cost = place, 0
        cost += tokens
