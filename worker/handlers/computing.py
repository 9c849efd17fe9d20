"""Computes a model's answers to many rows at once, outside the API. Knows no file and no request.

All of torch's threads are used, and the engine that the model was published with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from app.ml import artifact
from app.ml.runtime import engines, onnx
from app.ml.tensors.parts import answered
from app.ml.tensors.shapes import Tensors
from app.registry import models, objects
from app.registry.db import Database
from app.storage import Storage


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
    return answered(partial(model.engine.ask, ability), inputs, tick)
