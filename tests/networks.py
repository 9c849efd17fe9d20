"""Small real networks and their artifacts, for tests that need a model and no training."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter

from app.ml import artifact
from app.ml.build import build_network
from app.ml.inference.counters import Counters
from app.ml.inference.predictor import Predictor
from app.ml.jobs.network import AnyModality
from app.ml.modalities.base import Fitted, Modality
from app.ml.tensors.shapes import Column
from app.ragged import Ragged

MODALITY: TypeAdapter[Modality] = TypeAdapter(AnyModality)
WIDTH = 12


def rows(count: int, width: int = WIDTH, seed: int = 0) -> Column:
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def pictures(count: int, size: int = 8, seed: int = 0) -> Column:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 1), dtype=np.uint8)


def texts(count: int, seed: int = 0) -> Column:
    """Of one to twelve words."""
    draw, words = np.random.default_rng(seed), ["oak", "elm", "ash", "yew", "fir", "fig"]
    return np.array([" ".join(draw.choice(words, draw.integers(1, 13))) for _ in range(count)], dtype=object)


def write(
    folder: Path,
    *,
    modality: str = "vectors",
    objective: str = "autoencoding",
    width: int = WIDTH,
    code: int | None = 4,
    **settings: Any,
) -> dict[str, Path]:
    """An untrained model's artifact: an mlp on vectors of `width` or on pictures of 8 by 8, or an rnn on texts.

    One that finds boxes is a cnn that scales pictures to 8 by 8. `settings` are the objective's.
    """
    torch.manual_seed(0)
    column = {"image": pictures(64), "text": texts(64), "vectors": rows(64, width)}[modality]
    encoder = {"name": "rnn" if modality == "text" else "mlp", "preset": "nano"}
    fitted: dict[str, Fitted] = {"input": MODALITY.validate_python({"name": modality}).fit([column])}
    roles: dict[str, Any] = {"input": {"modality": {"name": modality}, "encoder": encoder, "dimensions": code}}
    if objective == "classification":
        labels = np.array(["cat", "dog", "owl"] * 3, dtype=object)
        roles["target"] = {"modality": {"name": "classes"}, "encoder": None, "dimensions": None}
        fitted["target"] = MODALITY.validate_python({"name": "classes"}).fit([labels])
    if objective == "detection":
        roles["input"] = {"modality": {"name": modality, "size": 8}, "encoder": {"name": "cnn", "preset": "nano"}}
        roles["target"] = {"modality": {"name": "boxes", "labels": ["cat", "dog"], "picture": [16, 32]}}
        one_box = Ragged.of([np.ones((1, 5), np.float32)])
        fitted = {
            "input": MODALITY.validate_python(roles["input"]["modality"]).fit([column]),
            "target": MODALITY.validate_python(roles["target"]["modality"]).fit([one_box]),
        }
    spec = {"roles": roles, "objective": {"name": objective, **settings}}
    folder.mkdir(parents=True, exist_ok=True)
    golden = fitted["input"].encode(column[:8])
    return artifact.save(folder, build_network(spec, fitted), fitted, spec, golden_inputs=golden, extra={})


def write_pair(folder: Path) -> dict[str, Path]:
    """An untrained model of pairs: pictures of 8 by 8 on the left, texts on the right."""
    torch.manual_seed(0)
    columns = {"left": ("image", "mlp", pictures(64)), "right": ("text", "rnn", texts(64))}
    roles: dict[str, Any] = {}
    fitted: dict[str, Fitted] = {}
    for role, (modality, encoder, column) in columns.items():
        fitted[role] = MODALITY.validate_python({"name": modality}).fit([column])
        roles[role] = {"modality": {"name": modality}, "encoder": {"name": encoder, "preset": "nano"}, "dimensions": 4}
    spec = {"roles": roles, "objective": {"name": "alignment"}}
    folder.mkdir(parents=True, exist_ok=True)
    golden = fitted["left"].encode(columns["left"][2][:8])
    return artifact.save(folder, build_network(spec, fitted), fitted, spec, golden_inputs=golden, extra={})


def predictor(loaded: artifact.Artifact, *, max_inputs: int = 2048) -> Predictor:
    return Predictor(loaded, reference="tiny:1", max_inputs=max_inputs, counters=Counters())
