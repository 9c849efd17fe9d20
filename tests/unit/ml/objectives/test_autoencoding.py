from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.errors import DoesNotFit
from app.ml.encoders.mlp import Mlp
from app.ml.modalities.vectors import Vectors
from app.ml.networks.team import Team
from app.ml.objectives import autoencoding
from app.ml.objectives.autoencoding import Autoencoder, Autoencoding
from app.ml.objectives.base import Comparison, Role
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.tensors.batch import Batch
from app.ml.tensors.shapes import Shape

ROWS = np.random.default_rng(0).normal(2, 3, (40, 12)).astype(np.float32)


def network(dimensions: int | None = None, scaling: str = "standard", **settings: Any) -> tuple[Autoencoder, Batch]:
    fitted = Vectors.model_validate({"scaling": scaling}).fit([np.abs(ROWS)])
    encoder = Mlp(widths=(16, 6)).build(fitted.shape)
    built = Autoencoding(**settings).build({"input": Role(fitted, encoder, dimensions)})
    return built, Batch({"input": fitted.encode(np.abs(ROWS))}, torch.arange(40))


def test_the_loss_sums_each_items_mean_squared_error() -> None:
    built, batch = network(3)
    drawn = built.reconstruct(batch.roles["input"])
    expected = ((drawn - batch.roles["input"]["values"]) ** 2).mean(1).sum()
    loss = built.loss(batch)
    torch.testing.assert_close(loss.sum, expected)
    assert loss.count == 40
    assert built.metrics([batch])["mse"] == pytest.approx(expected.item() / 40)


@pytest.mark.parametrize("dimensions", [None, 3])
@pytest.mark.parametrize("plain", [{"activation": "relu", "norm": "none"}, {}])
@pytest.mark.parametrize("scaling", ["standard", "unit"])
def test_what_is_learned_in_one_go_is_what_is_learned_in_turn(
    dimensions: int | None, plain: dict[str, Any], scaling: str
) -> None:
    """From the item to its drawing at once, and by the code: with memory for the gradients, as a trainer gives."""
    fitted = Vectors.model_validate({"scaling": scaling}).fit([np.abs(ROWS)])
    encoder = Mlp(widths=(16, 6), **plain).build(fitted.shape)
    built = Autoencoding().build({"input": Role(fitted, encoder, dimensions)}).train()
    batch = Batch({"input": fitted.encode(np.abs(ROWS))}, torch.arange(40))
    learned: list[list[Tensor]] = []
    assert built.straight
    for straight in (True, False):
        built.straight = straight
        for weight in built.parameters():
            weight.grad = torch.zeros_like(weight)
        loss = built.loss(batch)
        loss.sum.backward()  # type: ignore[no-untyped-call]
        learned.append([loss.sum.detach(), *(weight.grad for weight in built.parameters() if weight.grad is not None)])
    assert torch.equal(learned[0][0], learned[1][0])
    for one, other in zip(*learned, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "straight"), [({}, True), ({"residual": True}, False), ({"code_noise": 0.1}, False)]
)
def test_only_layers_are_learned_in_one_go(settings: dict[str, Any], straight: bool) -> None:
    assert network(3, **settings)[0].straight == straight


@pytest.mark.parametrize("dimensions", [None, 3])
@pytest.mark.parametrize("scaling", ["standard", "unit"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_team_learns_what_is_learned_in_one_go(dimensions: int | None, scaling: str, size: int) -> None:
    """With all weights, and with a layer that does not learn; gradients are added to those that are there."""
    fitted = Vectors.model_validate({"scaling": scaling}).fit([np.abs(ROWS)])
    encoder = Mlp(widths=(16, 6), activation="relu", norm="none").build(fitted.shape)
    built = Autoencoding().build({"input": Role(fitted, encoder, dimensions)}).train()
    batch = Batch({"input": fitted.encode(np.abs(ROWS).repeat(10, 0))}, torch.arange(400))
    assert built.divides
    for frozen in (False, True):
        next(built.parameters()).requires_grad_(not frozen)
        learned: list[list[Tensor]] = []
        for team in (Team(size), None):
            lie_together(built)
            if team is None:
                loss = built.loss(batch)
                (loss.sum * 0.25).backward()  # type: ignore[no-untyped-call]
            else:
                with team.leading():
                    loss = built.learn(batch, 0.25, built.descent(team))
            assert loss.count == 400
            learned.append([loss.sum.detach(), *(w.grad for w in built.parameters() if w.grad is not None)])
        for one, other in zip(*learned, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def lie_together(built: nn.Module) -> None:
    """Gives weights that learn gradients of 0.5 in one memory, with room between them."""
    memory = torch.full((2 * sum(weight.numel() for weight in built.parameters()),), 0.5)
    begin = 0
    for weight in built.parameters():
        weight.grad = memory[begin:][: weight.numel()].view_as(weight) if weight.requires_grad else None
        begin += 2 * weight.numel()


def test_only_rectified_layers_are_divided() -> None:
    assert not network(3)[0].divides


@pytest.mark.parametrize("dimensions", [None, 6])
def test_without_narrowing_the_code_is_the_features(dimensions: int | None) -> None:
    built, batch = network(dimensions)
    assert isinstance(built.bottleneck, nn.Identity)
    assert torch.equal(built.embed(batch.roles["input"]), built.encoders["input"](batch.roles["input"]).pooled)


def test_bounded_data_is_drawn_within_its_bounds() -> None:
    built, batch = network(2, "unit")
    last = [layer for layer in built.decoder.modules() if isinstance(layer, nn.Linear)][-1]
    nn.init.constant_(last.bias, 5.0)
    drawn = built.reconstruct(batch.roles["input"])
    assert 0.9 < drawn.max() <= 1
    assert not network(2)[0].shape.bounded


@pytest.mark.parametrize(("width", "expected"), [(1, 1), (5, 3), (64, 32), (784, 64)])
def test_the_default_code_is_narrower_than_the_item(width: int, expected: int) -> None:
    assert Autoencoding().default_dimensions(TrainingData(Shape("vector", (width,)), rows=100)) == expected


def test_large_pictures_get_convolutions() -> None:
    assert Autoencoding().default_encoder(Shape("vector", (50_000,)), 1000)[0] == "mlp"
    assert Autoencoding().default_encoder(Shape("grid", (1, 28, 28)), 1000)[0] == "mlp"
    assert Autoencoding().default_encoder(Shape("grid", (3, 64, 20)), 1000)[0] == "cnn"


@pytest.mark.parametrize("scaling", ["standard", "unit"])
def test_a_residual_network_begins_with_the_code_of_principal_components(scaling: str) -> None:
    built, batch = network(3, scaling, residual=True)
    built.begin(lambda *_: iter([batch]))
    values = batch.roles["input"]["values"]
    centred = values - values.mean(0)
    directions = torch.linalg.svd(centred, full_matrices=False).Vh[:3]
    code = built.embed(batch.roles["input"])
    assert built.shortcut is not None
    torch.testing.assert_close(
        (code * built.shortcut.scale).abs(), (centred @ directions.T).abs(), rtol=1e-3, atol=1e-3
    )
    drawn = built.reconstruct(batch.roles["input"])
    if scaling == "standard":
        torch.testing.assert_close(drawn, centred @ directions.T @ directions + values.mean(0), rtol=1e-3, atol=1e-3)
    else:
        assert 0 <= drawn.min() <= drawn.max() <= 1


def test_a_code_as_wide_as_the_item_needs_no_shortcut() -> None:
    assert network(3, residual=True)[0].shortcut is not None
    assert network(6, residual=True)[0].shortcut is None


def test_noise_on_the_code_is_a_rows_own_and_for_training_alone() -> None:
    built, batch = network(3, code_noise=0.5)
    built.requires_grad_(False)
    noisy, later = float(built.loss(batch).sum), float(built.loss(replace(batch, epoch=1)).sum)
    halves = sum(float(built.loss(part).sum) for part in batch.parts(2))
    assert noisy == pytest.approx(halves, rel=1e-5), "parts see the noise of the whole batch"
    assert noisy != pytest.approx(later, rel=1e-5)
    assert float(built.eval().loss(batch).sum) != pytest.approx(noisy, rel=1e-5)
    assert float(built.loss(batch).sum) == float(built.loss(replace(batch, epoch=1)).sum)


@pytest.mark.parametrize(
    ("named", "shape", "expected"),
    [
        (False, Shape("vector", (30,)), True),
        (True, Shape("vector", (30,)), False),
        (False, Shape("vector", (5000,)), True),
        (False, Shape("grid", (1, 28, 28)), True),
        (False, Shape("grid", (1, 80, 80)), False),
    ],
)
def test_the_usual_network_of_numbers_and_small_pictures_is_residual(named: bool, shape: Shape, expected: bool) -> None:
    settings, _ = Autoencoding().default_settings(TrainingData(shape, rows=100, named=named))
    assert settings == {
        "residual": expected,
        "code_noise": 0.1 if expected else 0.0,
        "stress": 1.0 if expected else 0.0,
        "shrinkage": 0.0,
    }
    asked = Autoencoding(residual=not expected, code_noise=0.3, stress=0.0)
    assert asked.default_settings(TrainingData(shape, 100))[0] == {
        "residual": not expected,
        "code_noise": 0.3,
        "stress": 0.0,
        "shrinkage": 0.0,
    }


def test_few_rows_of_a_table_are_to_keep_their_distances_and_many_are_not() -> None:
    def stress(rows: int, *, bounded: bool = False, **asked: Any) -> float:
        shape = Shape("vector", (30,), bounded=bounded)
        return float(Autoencoding(**asked).default_settings(TrainingData(shape, rows))[0]["stress"])

    assert [stress(rows) for rows in (100, 1199, 1200)] == [1.0, 1.0, 0.0]
    assert stress(100, bounded=True) == stress(100, residual=False) == stress(100, shrinkage=30.0) == 0
    named = TrainingData(Shape("vector", (30,)), 100, named=True)
    assert Autoencoding(shrinkage=2.0).default_settings(named)[0]["residual"] is True


def taught(**settings: Any) -> tuple[Autoencoder, Tensor]:
    """A residual network after 100 steps, and the rows that it saw."""
    built, batch = network(3, residual=True, **settings)
    built.begin(lambda *_: iter([batch]))
    steps = torch.optim.Adam(built.parameters(), 0.01)
    for _ in range(100):
        steps.zero_grad()
        built.loss(batch).sum.backward()  # type: ignore[no-untyped-call]
        steps.step()
    return built.eval().requires_grad_(False), batch.roles["input"]["values"]


def test_features_beside_components_tell_these_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graft reads the features alone: of digits it knew 80 % by them, where a new network knew 86."""

    def untold(weight: float) -> float:
        monkeypatch.setattr(autoencoding, "TELLING", weight)
        built, values = taught()
        assert built.shortcut is not None
        features, components = built.encoders["input"].pooled({"values": values}), built.shortcut(values)
        return float((features @ built.telling - components).square().mean())

    assert untold(autoencoding.TELLING) < 0.5 * untold(0.0)


def test_a_held_code_stays_nearer_to_the_components() -> None:
    def strayed(shrinkage: float) -> float:
        built, values = taught(shrinkage=shrinkage)
        assert built.shortcut is not None
        return float((built.embed({"values": values}) - built.shortcut(values)).square().mean())

    assert strayed(10.0) < 0.2 * strayed(0.0)


def test_a_stressed_code_keeps_distances() -> None:
    def amiss(stress: float) -> float:
        built, values = taught(stress=stress)
        assert built.shortcut is not None
        apart = torch.pdist(built.embed({"values": values}) * built.shortcut.scale)
        return float((apart - torch.pdist(values)).square().mean())

    assert amiss(10.0) < 0.5 * amiss(0.0)


@pytest.mark.parametrize("residual", [True, False])
def test_a_stressed_code_learns_as_a_whole_what_its_parts_say(residual: bool) -> None:
    """The stress of two codes counts while learning alone."""
    built, batch = network(3, residual=residual, stress=2.0)
    plain, _ = network(3, residual=residual)
    plain.load_state_dict(built.state_dict())
    assert isinstance(built, Comparison)
    whole = built.loss(batch)
    together = built.loss_from(torch.cat([built.represent(part) for part in batch.parts(3)]), batch)
    torch.testing.assert_close(together.sum, whole.sum)
    values = batch.roles["input"]["values"]
    unit = built.shortcut.scale if built.shortcut is not None else 1.0
    amiss = (torch.pdist(built.embed(batch.roles["input"]) * unit) - torch.pdist(values)).square().mean() / 12
    torch.testing.assert_close(whole.sum, plain.loss(batch).sum + 2.0 * 40 * amiss)
    assert torch.equal(built.eval().loss(batch).sum, plain.eval().loss(batch).sum)


def test_equal_rows_are_learned_from() -> None:
    built, batch = network(3, residual=True, stress=1.0)
    same = Batch({"input": {"values": batch.roles["input"]["values"][:1].expand(4, -1)}}, torch.arange(4))
    for one in (
        same,
        replace(same, roles={"input": {"values": same.roles["input"]["values"][:1]}}, rows=torch.arange(1)),
    ):
        built.loss(one).sum.backward()  # type: ignore[no-untyped-call]
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in built.parameters())


def test_text_is_not_stressed() -> None:
    with pytest.raises(DoesNotFit, match="stress: texts"):
        Autoencoding(stress=1.0).check({"input": "tokens"})


def test_shrinkage_without_components_is_refused() -> None:
    with pytest.raises(DoesNotFit, match="shrinkage: 2 asked"):
        Autoencoding(residual=False, shrinkage=2.0).check({"input": "vector"})
