"""What is computed of validation rows: an autoencoder of numbers is run once over each."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from app.ml.encoders.mlp import Mlp
from app.ml.objectives.autoencoding import Autoencoding
from app.ml.objectives.base import ObjectiveSettings, Role
from app.ml.objectives.denoising import Denoising
from app.ml.objectives.variational import Variational
from app.ml.tensors.batch import Batch
from app.ml.tensors.shapes import Shape
from worker.validation.scoring import SplitScorer

SHAPE = Shape(layout="vector", size=(6,))


@pytest.mark.parametrize("settings", [Autoencoding(), Autoencoding(residual=True), Denoising(), Variational()])
def test_an_autoencoder_of_numbers_is_run_once_over_each_row(settings: ObjectiveSettings) -> None:
    batches = [Batch({"input": {"values": torch.randn(rows, 6)}}, torch.arange(rows)) for rows in (3, 2)]
    run = SimpleNamespace(window_bytes=1000, device="cpu", compare=lambda batch: batch, autocast=nullcontext)
    loader = SimpleNamespace(rows=5, in_order=lambda most: iter(batches))
    role = Role(cast(Any, SimpleNamespace(shape=SHAPE)), Mlp(widths=(8,)).build(SHAPE), 2)
    network = settings.build({"input": role})
    runs: list[object] = []
    cast(Any, network).decoder.register_forward_hook(lambda *called: runs.append(called))
    scores = SplitScorer(cast(Any, run), cast(Any, loader)).score(network)
    assert len(runs) == len(batches)
    with torch.inference_mode():
        metrics = network.eval().metrics(iter(batches))
    assert {name: scores[name] for name in metrics} == pytest.approx(metrics, rel=1e-5)
