"""Objectives that compare two views: their losses, and what they learn."""

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.nn.functional import normalize

from app.errors import DoesNotFit
from app.ml.decomposition.components import Shortcut
from app.ml.encoders.cnn import Cnn
from app.ml.encoders.mlp import Mlp
from app.ml.modalities.image import Image
from app.ml.modalities.vectors import Vectors
from app.ml.objectives.autoencoding import Autoencoding
from app.ml.objectives.base import Role
from app.ml.objectives.contrastive import Contrast, Contrastive, TwoViews
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.objectives.vicreg import Decorrelated, Vicreg
from app.ml.tensors.batch import Batch
from app.ml.tensors.shapes import Shape
from tests.networks import rows

ROWS = rows(64, 3) @ rows(3, 20, seed=1)


def network(settings: Any) -> tuple[TwoViews, Batch]:
    torch.manual_seed(0)
    fitted = Vectors().fit([ROWS])
    built: TwoViews = settings.build({"input": Role(fitted, Mlp(widths=(32,)).build(fitted.shape), 8)})
    return built, Batch({"input": fitted.encode(ROWS)}, torch.arange(len(ROWS)), 3)


def test_the_contrastive_loss_is_nt_xent() -> None:
    built, _ = network(Contrastive(temperature=0.5))
    assert isinstance(built, Contrast)
    pairs = torch.randn(3, 2, 5)
    points = [normalize(pairs[row, view], dim=0) for row in range(3) for view in range(2)]  # a0 b0 a1 b1 a2 b2
    expected = 0.0
    for place, point in enumerate(points):
        others = [math.exp(float(point @ other) / 0.5) for number, other in enumerate(points) if number != place]
        expected -= math.log(math.exp(float(point @ points[place ^ 1]) / 0.5) / sum(others))
    loss = built.compare(pairs)
    assert loss.sum.item() == pytest.approx(expected / 2, rel=1e-5)
    assert loss.count == 3
    assert built.compare(pairs[:1]).sum.item() == 0


def test_vicreg_counts_distance_narrowness_and_likeness() -> None:
    built, _ = network(Vicreg())
    assert isinstance(built, Decorrelated)
    spread = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])  # deviations above 1, no covariance
    same = torch.stack([spread, spread], 1)
    assert built.compare(same).sum.item() == 0
    shifted = torch.stack([spread, spread + 2], 1)
    assert built.compare(shifted).sum.item() == pytest.approx(25 * 4 * 4)
    alike = torch.stack([spread[:, :1].expand(-1, 2)] * 2, 1)
    assert built.compare(alike).sum.item() == pytest.approx(4 * 2 * (4 / 3) ** 2 / 2)
    collapsed = torch.ones(4, 2, 2)
    assert built.compare(collapsed).sum.item() == pytest.approx(4 * 25 * (1 - 0.01))
    assert built.compare(same[:1]).sum.isfinite()


@pytest.mark.parametrize("settings", [Contrastive(), Vicreg()], ids=lambda settings: str(settings.name))
def test_views_come_together_and_rows_stay_apart(settings: Any) -> None:
    built, batch = network(settings)
    optimizer = torch.optim.AdamW(built.parameters(), lr=3e-3)
    with torch.inference_mode():
        before = built.eval().metrics([batch])
    built.train()
    for step in range(60):
        loss = built.loss(Batch(batch.roles, batch.rows, step))
        optimizer.zero_grad()
        (loss.sum / loss.count).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.inference_mode():
        after = built.eval().metrics([batch])
        embedded = built.embed(batch.roles["input"])
    assert embedded.shape == (64, 8)
    assert embedded.std(0).min() > 0.05
    assert after["alignment"] < 0.9 * before["alignment"]
    assert after["uniformity"] < -1


def test_batches_are_large_where_rows_allow() -> None:
    sizes = [
        Contrastive().default_training(TrainingData(Shape("vector", (20,)), rows=n))[0] for n in (50, 1000, 60_000)
    ]
    assert [values["batch_size"] for values in sizes] == [16, 128, 512]
    assert [values["epochs"] for values in sizes] == [200, 200, 10]


@pytest.mark.parametrize("given", [{"temperature": 0}, {"corruption": 1}, {"corruption": 0}])
def test_impossible_settings_are_refused(given: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Contrastive.model_validate(given)


@pytest.mark.parametrize("settings", [Contrastive(components=5), Vicreg(components=5)], ids=lambda each: str(each.name))
def test_components_stand_behind_what_was_learned_and_are_not_compared(settings: Any) -> None:
    built, batch = network(settings)
    built.requires_grad_(False).eval()
    inputs = batch.roles["input"]
    before = built.represent(batch)
    built.begin(lambda *_: iter([batch]))
    embedding = built.embed(inputs)
    assert embedding.shape == (len(ROWS), 8)
    assert built.learned(inputs).shape == (len(ROWS), 4), "components take half of what is asked for at most"
    centred = inputs["values"] - inputs["values"].mean(0)
    directions = torch.linalg.svd(centred, full_matrices=False).Vh[:3]
    likeness = normalize(embedding[:, 4:7], dim=0).T @ normalize(centred @ directions.T, dim=0)
    torch.testing.assert_close(likeness.abs(), torch.eye(3), atol=1e-3, rtol=0)
    assert torch.equal(before, built.represent(batch))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (Shape("grid", (1, 28, 28)), {"components": 64, "components_of": "patches"}),
        (Shape("grid", (3, 224, 224)), {"components": 64, "components_of": "patches"}),
        (Shape("grid", (1, 5, 28)), {"components": 64, "components_of": "values"}),
        (Shape("grid", (1, 40, 100), aligned=True), {"components": 64, "components_of": "values"}),
        (Shape("grid", (1, 40, 1000), aligned=True), {"components": 0}),
        (Shape("vector", (100,)), {"components": 0}),
    ],
)
def test_pictures_and_short_recordings_have_components_by_default(shape: Shape, expected: dict[str, Any]) -> None:
    for settings in (Contrastive(), Vicreg()):
        assert settings.default_settings(TrainingData(shape, rows=1000))[0] == expected
    asked = Contrastive(components=7).default_settings(TrainingData(shape, rows=1000))[0]
    assert asked == {"components_of": "values", **expected, "components": 7}


def picture_network(size: tuple[int, ...], **settings: Any) -> Any:
    shape = Shape("grid", size)
    pixels = torch.rand(64, *size, generator=torch.Generator().manual_seed(0))
    fitted = Image().fit([(pixels * 255).byte().permute(0, 2, 3, 1).numpy()])
    encoder = Cnn(preset="nano").build(shape)
    built = Contrastive(**settings).build({"input": Role(fitted, encoder, None)})
    return built, Batch({"input": {"values": pixels}}, torch.arange(64))


def test_components_of_patches_stand_behind_what_was_learned_of_pictures() -> None:
    built, batch = picture_network((1, 12, 12), components=10, components_of="patches")
    built.requires_grad_(False).eval()
    built.begin(lambda *_: iter([batch]))
    embedding = built.embed(batch.roles["input"])
    assert embedding.shape == (64, 64 + 10)
    assert embedding[:, 64:].std(0).min() > 0.05


def test_a_model_from_before_there_were_patches_is_built_as_it_was() -> None:
    built, _ = picture_network((1, 12, 12), components=10)
    assert isinstance(built.shortcut, Shortcut)


def test_patches_are_of_pictures_that_are_large_enough() -> None:
    with pytest.raises(DoesNotFit, match="are of pictures"):
        Contrastive(components=5, components_of="patches").check({"input": "vector"})
    with pytest.raises(DoesNotFit, match="8 by 8 at least"):
        picture_network((1, 6, 12), components=5, components_of="patches")


@pytest.mark.parametrize(
    ("shape", "seconds"),
    [
        (Shape("grid", (1, 28, 28)), None),
        (Shape("grid", (3, 128, 128)), 600),
        (Shape("grid", (1, 40, 100), aligned=True), None),
    ],
)
def test_large_pictures_have_a_time_budget_by_default(shape: Shape, seconds: float | None) -> None:
    for settings in (Contrastive(), Vicreg()):
        assert settings.default_training(TrainingData(shape, rows=1000))[0].get("max_seconds") == seconds


@pytest.mark.parametrize("settings", [Contrastive(components=4), Vicreg(components=4), Autoencoding(residual=True)])
def test_text_has_no_components(settings: Any) -> None:
    with pytest.raises(DoesNotFit):
        settings.check({"input": "tokens"})
