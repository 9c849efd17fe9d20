"""Probes against scikit-learn's on the same features, intervals against their formula."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from worker.evaluation.probes import (
    STRENGTHS,
    Labelled,
    _fitted,
    _scores,
    interval,
    linear_right,
    nearest_right,
    scaled,
    within_span,
)


def digits(rows: int = 900) -> Labelled:
    pixels, labels = load_digits(return_X_y=True)
    features, classes = torch.tensor(pixels, dtype=torch.float32), torch.tensor(labels, dtype=torch.int64)
    return Labelled(features[:rows], features[rows : rows + 500], classes[:rows], classes[rows : rows + 500])


def test_neighbours_are_those_of_scikit_learn() -> None:
    rows = digits()
    found = {
        divided: float(
            (
                KNeighborsClassifier(10, metric="cosine")
                .fit(*(part.numpy() for part in (scaled(rows.train, rows.test, divided=divided)[0], rows.train_labels)))
                .predict(scaled(rows.train, rows.test, divided=divided)[1].numpy())
                == rows.test_labels.numpy()
            ).mean()
        )
        for divided in (True, False)
    }
    assert float(nearest_right(rows).float().mean()) == pytest.approx(max(found.values()), abs=0.005)


def test_the_classifier_is_that_of_scikit_learn() -> None:
    rows = digits(300)
    train, _ = scaled(rows.train, rows.test, divided=True)
    train = train * 8
    weights = _fitted(train, rows.train_labels, 10, (0.1, 0.01))
    for place, strength in enumerate((0.1, 0.01)):
        theirs = LogisticRegression(C=1 / (300 * strength), max_iter=2000, tol=1e-8).fit(train, rows.train_labels)
        shares = torch.softmax(train @ weights[place, :-1] + weights[place, -1], 1)
        np.testing.assert_allclose(shares.numpy(), theirs.predict_proba(train), atol=0.02)


def test_wide_features_are_told_in_the_span_of_few_rows_as_they_are_in_all_columns() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (90,), generator=random)
    rows = torch.randn(90, 400, generator=random) / 20 + torch.randn(3, 400, generator=random)[labels] / 60
    plain, span = (rows[:60], rows[60:]), within_span(rows[:60], rows[60:])
    assert [part.shape[1] for part in span] == [60, 60]
    found = [_scores(_fitted(train, labels[:60], 3, STRENGTHS[:4]), test) for train, test in (plain, span)]
    torch.testing.assert_close(*found, atol=1e-2, rtol=1e-2)
    assert found[0][0].argmax(1).equal(found[1][0].argmax(1))
    wide = torch.randn(60, 60)
    assert within_span(wide, wide)[0] is wide


def test_digits_are_told_by_a_linear_classifier_and_noise_is_not() -> None:
    rows = digits()
    assert linear_right(rows).float().mean() > 0.9
    noise = Labelled(torch.rand_like(rows.train), torch.rand_like(rows.test), rows.train_labels, rows.test_labels)
    assert linear_right(noise).float().mean() < 0.2
    assert nearest_right(noise).float().mean() < 0.2


def test_columns_of_other_units_change_nothing() -> None:
    rows = digits()
    units = torch.logspace(-3, 3, 64)
    moved = Labelled(rows.train * units + 5, rows.test * units + 5, rows.train_labels, rows.test_labels)
    assert (linear_right(rows) == linear_right(moved)).float().mean() > 0.99
    assert nearest_right(moved).float().mean() > 0.85


@pytest.mark.parametrize("train", [torch.ones(30, 4), torch.zeros(1, 4), torch.full((30, 4), 1e30)])
def test_features_that_say_nothing_break_nothing(train: torch.Tensor) -> None:
    rows = Labelled(train, torch.ones(5, 4), torch.arange(len(train)) % 3, torch.arange(5) % 3)
    for right in (linear_right(rows), nearest_right(rows)):
        assert right.shape == (5,)


def test_an_interval_is_as_wide_as_its_rows_allow() -> None:
    values = torch.arange(1000) % 5 == 0
    low, high = interval(values)
    assert low < 0.2 < high
    assert high - low == pytest.approx(2 * 1.96 * (0.2 * 0.8 / 1000) ** 0.5, rel=0.1)
    assert min(STRENGTHS) > 0
