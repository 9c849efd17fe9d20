"""Regression and tagging: figures as scikit-learn has them, baselines of the same rows, and learning."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score, f1_score, mean_absolute_error, r2_score, root_mean_squared_error

from app.ml.encoders.mlp import Mlp
from app.ml.modalities.numbers import Numbers
from app.ml.modalities.tags import Tags
from app.ml.modalities.vectors import Vectors
from app.ml.networks.ridge import ridge
from app.ml.objectives.base import Objective, Role
from app.ml.objectives.regression import Regression
from app.ml.objectives.tagging import Tagging
from app.ml.tensors.batch import Batch
from app.ragged import Ragged

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(64, 5)).astype(np.float32)
VALUES = (ROWS @ [30, -20, 10, 0, 0] + 500 + RANDOM.normal(size=64)).astype(np.float32)
HAS = ROWS[:, :3] > [0.0, 0.5, -0.5]


def regression(**settings: object) -> tuple[Objective, Batch]:
    fitted, target = Vectors().fit([ROWS]), Numbers().fit([VALUES])
    role = Role(fitted, Mlp(widths=(16, 8)).build(fitted.shape))
    built = Regression.model_validate(settings).build({"input": role, "target": Role(target)})
    return built, Batch({"input": fitted.encode(ROWS), "target": target.encode(VALUES)}, torch.arange(64))


def tagging() -> tuple[Objective, Batch]:
    tags = Ragged.of([np.flatnonzero(row).astype(np.int32) for row in HAS])
    fitted, target = Vectors().fit([ROWS]), Tags(labels=("a", "b", "c")).fit([tags])
    role = Role(fitted, Mlp(widths=(16, 8)).build(fitted.shape))
    built = Tagging().build({"input": role, "target": Role(target)})
    return built, Batch({"input": fitted.encode(ROWS), "target": target.encode(tags)}, torch.arange(64))


def learn(network: Objective, batch: Batch, steps: int = 100) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        network.loss(batch).sum.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.eval()


@pytest.mark.parametrize("error", ["huber", "squared"])
@torch.inference_mode(False)
def test_regression_learns_and_is_judged_in_the_unit_of_the_data(error: str) -> None:
    network, batch = regression(error=error, dropout=0.0)
    learn(network, batch)
    with torch.inference_mode():
        metrics = network.metrics([batch])
        given = network.predict(batch.roles["input"])[:, 0].numpy() * VALUES.std() + VALUES.mean()  # type: ignore[operator]
        baseline = network.baselines([batch], [batch])
    assert metrics["rmse"] == pytest.approx(root_mean_squared_error(VALUES, given), rel=1e-3)
    assert metrics["mae"] == pytest.approx(mean_absolute_error(VALUES, given), rel=1e-3)
    assert metrics["r2"] == pytest.approx(r2_score(VALUES, given), rel=1e-3)
    assert metrics["r2"] > 0.9
    assert baseline["mean"] == pytest.approx(
        {"rmse": VALUES.std(), "mae": np.abs(VALUES - VALUES.mean()).mean(), "r2": 0}, rel=1e-4, abs=1e-6
    )


def test_ridge_is_that_of_scikit_learn() -> None:
    values = torch.from_numpy(VALUES)[:, None]
    slopes, level = ridge(torch.from_numpy(ROWS[:48]), values[:48])
    given = (torch.from_numpy(ROWS[48:]) @ slopes + level)[:, 0]
    theirs = {
        power: Ridge(alpha=10.0**power * 48).fit(ROWS[:48].astype(float), VALUES[:48]).predict(ROWS[48:])
        for power in range(-6, 3)
    }
    assert any(np.allclose(given, their, rtol=1e-4) for their in theirs.values())
    assert np.abs(given.numpy() - VALUES[48:]).mean() < 2
    slopes, level = ridge(torch.ones(3, 4), torch.tensor([[1.0], [2.0], [3.0]]))
    torch.testing.assert_close(torch.ones(1, 4) @ slopes + level, torch.tensor([[2.0]]))


def test_ridge_of_more_numbers_than_rows_lies_in_what_the_rows_span() -> None:
    wide = np.repeat(ROWS[:12], 8, 1) + RANDOM.normal(size=(12, 40)).astype(np.float32) / 4
    slopes, level = ridge(torch.from_numpy(wide), torch.from_numpy(VALUES[:12])[:, None])
    given = (torch.from_numpy(wide) @ slopes + level)[:, 0].numpy()
    theirs = (Ridge(alpha=10.0**power * 12).fit(wide.astype(float), VALUES[:12]) for power in range(-6, 3))
    assert any(np.allclose(slopes[:, 0].numpy(), each.coef_, atol=1e-3) for each in theirs)
    assert np.abs(given - VALUES[:12]).mean() < VALUES.std()


@torch.inference_mode(False)
def test_the_head_of_a_graft_begins_as_ridge_regression_of_what_it_reads() -> None:
    network, batch = regression(residual=False, matryoshka=[4])
    network.grafted = True
    network.begin(lambda most=None: iter([batch]))
    network.eval()
    with torch.no_grad():
        read = network.norm(network.embed(batch.roles["input"]))  # type: ignore[operator]
        nested = network.norm(network.embed(batch.roles["input"]) * (torch.arange(8) < 4))  # type: ignore[operator]
    slopes, level = ridge(torch.cat([read, nested]), batch.roles["target"]["values"].repeat(2, 1))
    torch.testing.assert_close(network.predict(batch.roles["input"]), read @ slopes + level)  # type: ignore[operator]


def test_a_residual_network_begins_as_ridge_regression_and_learns_what_that_misses() -> None:
    network, batch = regression(residual=True)
    network.begin(lambda most=None: iter([batch]))
    network.eval()
    assert network.begins_solved
    inputs, values = batch.roles["input"], batch.roles["target"]["values"]
    slopes, level = ridge(inputs["values"], values)
    torch.testing.assert_close(network.predict(inputs), inputs["values"] @ slopes + level)  # type: ignore[operator]
    bent = {"values": values + (inputs["values"][:, :1] > 0).float()}
    before = network.loss(Batch({"input": inputs, "target": bent}, batch.rows)).sum.item()
    network.train()
    learn(network, Batch({"input": inputs, "target": bent}, batch.rows))
    assert network.loss(Batch({"input": inputs, "target": bent}, batch.rows)).sum.item() < before / 3
    torch.testing.assert_close(network.slopes, slopes)


def test_the_loss_is_huber_in_deviations() -> None:
    network, batch = regression()
    network.eval()
    with torch.inference_mode():
        far = (network.predict(batch.roles["input"]) - batch.roles["target"]["values"]).abs()  # type: ignore[operator]
        expected = torch.where(far < 1, far.square() / 2, far - 0.5).sum()
        torch.testing.assert_close(network.loss(batch).sum, expected)


def test_tagging_learns_and_is_judged_as_by_scikit_learn() -> None:
    network, batch = tagging()
    learn(network, batch)
    with torch.inference_mode():
        metrics, baseline = network.metrics([batch]), network.baselines([batch], [batch])
        scores = network.predict(batch.roles["input"]).numpy()  # type: ignore[operator]
    assert metrics["average_precision"] == pytest.approx(
        average_precision_score(HAS, scores, average="macro"), rel=1e-5
    )
    assert metrics["f1"] == pytest.approx(f1_score(HAS, scores >= 0.5, average="micro"), rel=1e-5)
    assert metrics["average_precision"] > 0.9
    shares = np.broadcast_to(HAS.mean(0), HAS.shape)
    assert baseline["frequency"]["average_precision"] == pytest.approx(HAS.mean(), rel=1e-5)
    assert baseline["frequency"]["f1"] == pytest.approx(f1_score(HAS, shares >= 0.5, average="micro"), rel=1e-5)


@pytest.mark.parametrize(("make", "figure", "least"), [(regression, "r2", 0.4), (tagging, "average_precision", 0.8)])
def test_the_head_of_a_graft_knows_what_the_features_tell(
    make: Callable[[], tuple[Objective, Batch]], figure: str, least: float
) -> None:
    network, batch = make()
    drawn = network.eval().metrics([batch])[figure]
    network.grafted = True
    network.begin(lambda *_: iter([batch]))
    solved = network.eval().metrics([batch])[figure]
    assert solved > max(drawn, least)
