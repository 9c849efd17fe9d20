"""Sums by key, merged in blocks, and bounded."""

import numpy as np
import pytest

from app.ml.words import counting
from app.ml.words.counting import Tally


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "PENDING", 1000)


def test_sums_are_those_of_all_entries() -> None:
    draw = np.random.default_rng(0)
    keys = draw.integers(0, 500, 20_000) * (2**57 // 500)
    weights = np.repeat(draw.integers(1, 64, 40), 500)
    tally = Tally(1000)
    for first in range(0, 20_000, 500):
        tally.add(keys[first : first + 500], int(weights[first]))
    found, sums = tally.result()
    assert found.tolist() == sorted(set(keys.tolist()))
    assert sums.tolist() == [weights[keys == key].sum() for key in found]
    assert tally.forgotten == 0


def test_beyond_its_bound_it_forgets_the_rare() -> None:
    draw = np.random.default_rng(0)
    tally = Tally(300)
    for _ in range(20):
        keys = np.concatenate([np.arange(50), draw.integers(100, 1_000_000, 400)])
        tally.add(keys)
    found, sums = tally.result()
    assert len(found) <= 300
    assert found[:50].tolist() == list(range(50))
    assert (sums[:50] == 20).all()
    assert tally.forgotten >= 1
