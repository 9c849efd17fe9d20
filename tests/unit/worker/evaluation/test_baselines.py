"""Easy alternatives, and figures of a space, against their definitions."""

import math

import pytest
import torch

from worker.evaluation.baselines import mfcc, pca, unigram
from worker.evaluation.geometry import effective_rank, uniformity


def test_pca_rebuilds_what_has_few_directions() -> None:
    rows = torch.randn(50, 3) @ torch.randn(3, 20) + 4
    components, mean = pca(rows, 3)
    torch.testing.assert_close((rows - mean) @ components @ components.T + mean, rows, rtol=1e-3, atol=1e-3)
    wide = torch.randn(30, 2) @ torch.randn(2, 3000)
    components, mean = pca(wide, 2)
    torch.testing.assert_close((wide - mean) @ components @ components.T + mean, wide, rtol=1e-3, atol=1e-3)


def test_mfcc_of_a_steady_sound_do_not_move() -> None:
    steady = torch.randn(4, 1, 40, 1).expand(-1, -1, -1, 25)
    features = mfcc(steady)
    assert features.shape == (4, 80)
    assert features[:, 20:].abs().max() < 1e-5
    assert features[:, :20].abs().min() > 0
    rising = torch.arange(25.0).expand(1, 1, 40, 25)
    assert mfcc(rising)[0, 20] == pytest.approx(40 * (21 + 2 * (0.5 + 0.8)) / 25), "less at both ends"


def test_perplexity_of_counts_alone() -> None:
    train = {"values": torch.tensor([[5, 5, 5, 6]]), "mask": torch.tensor([[True, True, True, False]])}
    test = {"values": torch.tensor([[5, 6]]), "mask": torch.ones(1, 2, dtype=torch.bool)}
    expected = math.exp(-(math.log(4 / 10) + math.log(1 / 10)) / 2)
    assert unigram(train, test, 7) == {"perplexity": pytest.approx(expected), "token_accuracy": 0.5}


def test_effective_rank_counts_dimensions() -> None:
    assert effective_rank(torch.eye(8)[:, :5]) == pytest.approx(5)
    assert effective_rank(torch.randn(100, 1) @ torch.randn(1, 8)) == pytest.approx(1, abs=0.01)
    assert effective_rank(torch.zeros(10, 4)) == pytest.approx(1)


def test_uniformity_tells_a_point_from_a_sphere() -> None:
    assert uniformity(torch.ones(20, 4)) == pytest.approx(0, abs=1e-5)
    assert uniformity(torch.randn(500, 64)) == pytest.approx(-4, abs=0.2)
    assert uniformity(torch.ones(1, 4)) == 0
