import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from app.ml.encoders.mlp import Mlp
from app.ml.modalities.classes import Classes
from app.ml.modalities.vectors import Vectors
from app.ml.objectives.base import Role
from app.ml.objectives.classification import Classification, Classifier
from app.ml.objectives.parts import supervised
from app.ml.objectives.parts.supervised import HEAD_DECAY
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.tensors.batch import Batch
from app.ml.tensors.shapes import Shape

RANDOM = np.random.default_rng(0)
LABELS = np.array(["a", "b", "c"] * 20, dtype=object)
ROWS = (RANDOM.normal(size=(60, 5)) + 3 * np.eye(5)[np.arange(60) % 3]).astype(np.float32)


def network(dimensions: int | None = None, **settings: object) -> tuple[Classifier, Batch]:
    fitted, target = Vectors().fit([ROWS]), Classes().fit([LABELS])
    role = Role(fitted, Mlp(widths=(16, 8)).build(fitted.shape), dimensions)
    built = Classification.model_validate(settings).build({"input": role, "target": Role(target)})
    batch = {"input": fitted.encode(ROWS), "target": target.encode(LABELS)}
    return built, Batch(batch, torch.arange(60))


def test_the_loss_is_smoothed_cross_entropy() -> None:
    built, batch = network(label_smoothing=0.3)
    built.eval()
    classes = batch.roles["target"]["values"]
    logs = built.predict(batch.roles["input"]).log()
    goal = nn.functional.one_hot(classes, 3) * 0.7 + 0.1
    loss = built.loss(batch)
    torch.testing.assert_close(loss.sum, -(goal * logs).sum())
    assert loss.count == 60


def test_metrics_are_accuracy_and_plain_cross_entropy() -> None:
    built, batch = network(label_smoothing=0.3)
    built.eval()
    classes = batch.roles["target"]["values"]
    scores = built.predict(batch.roles["input"])
    metrics = built.metrics([batch])
    assert metrics["accuracy"] == int((scores.argmax(1) == classes).sum()) / 60
    right = scores[torch.arange(60), classes]
    assert metrics["cross_entropy"] == pytest.approx(-right.log().mean().item(), rel=1e-5)


def test_learns_separable_classes() -> None:
    built, batch = network()
    optimizer = torch.optim.AdamW(built.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        built.loss(batch).sum.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert built.eval().metrics([batch])["accuracy"] > 0.95


def test_an_untrained_network_is_undecided() -> None:
    built, batch = network(dropout=0.0)
    assert built.metrics([batch])["cross_entropy"] < 1.5 * math.log(3)


def test_dropout_acts_in_training_only() -> None:
    built, batch = network(dropout=0.5)
    inputs = batch.roles["input"]
    assert not torch.equal(built.predict(inputs), built.predict(inputs))
    built.eval()
    assert torch.equal(built.predict(inputs), built.predict(inputs))


def test_embeds_the_encoders_features_unless_a_width_is_asked() -> None:
    built, batch = network()
    inputs = batch.roles["input"]
    assert torch.equal(built.embed(inputs), built.encoders["input"](inputs).pooled)
    assert network(4)[0].embed(inputs).shape == (60, 4)


def test_the_encoder_of_a_graft_on_a_model_of_texts_moves_slowly() -> None:
    for shape, rates in (
        (Shape("tokens", (64,), vocabulary=100), {"encoder_rate": 0.3}),
        (Shape("vector", (784,)), {}),
    ):
        fresh, reason = Classification().default_training(TrainingData(shape, rows=100, classes=10))
        graft, why = Classification().default_training(TrainingData(shape, rows=100, classes=10, from_base=True))
        assert graft == {**fresh, **rates}
        assert "encoder_rate" not in fresh
        assert why.startswith(reason)


def test_a_head_is_solved_on_rows_of_all_classes_where_they_are_stored_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervised, "HEAD_ROWS", 12)
    built, batch = network()
    built.grafted = True
    order = batch.roles["target"]["values"].argsort(stable=True)

    def stream(most: int | None = None) -> Iterator[Batch]:
        chosen = order[torch.linspace(0, 59, min(most or 60, 60)).round().long()]
        yield from batch.mapped(lambda tensor: tensor[chosen]).parts(5)

    built.begin(stream)
    assert built.eval().metrics([batch])["accuracy"] > 0.8


@pytest.mark.parametrize("widths", [[], [2, 4]])
def test_the_head_of_a_graft_is_solved_before_the_first_step(widths: list[int]) -> None:
    built, batch = network(matryoshka=widths)
    before = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    built.begin(lambda *_: iter([batch]))
    assert all(torch.equal(tensor, before[name]) for name, tensor in built.state_dict().items())

    built.grafted = True
    built.begin(lambda *_: iter(batch.parts(3)))
    changed = {name for name, tensor in built.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"head.weight", "head.bias"}
    assert built.training
    assert all(parameter.grad is None for parameter in built.parameters())

    built.eval()
    assert built.metrics([batch])["accuracy"] > 0.9
    loss = built.loss(batch)
    cost = loss.sum / loss.count + HEAD_DECAY / 2 * built.head.weight.square().sum()
    slopes = torch.autograd.grad(cost, [built.head.weight, built.head.bias])
    assert max(float(slope.abs().max()) for slope in slopes) < 1e-3
