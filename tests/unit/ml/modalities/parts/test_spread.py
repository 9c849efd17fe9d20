import numpy as np
import pytest

from app.ml.modalities.parts.spread import Reservoir, Spread

ROWS = np.random.default_rng(1).normal(7, 3, (5000, 4)).astype(np.float32)


def test_spread_agrees_with_numpy_on_pieces_of_any_size() -> None:
    spread = Spread()
    for piece in np.split(ROWS, [1, 17, 17, 3000]):
        spread.add(piece)
    assert spread.rows == 5000
    assert spread.mean == pytest.approx(ROWS.astype(np.float64).mean(0), rel=1e-12)
    assert spread.deviation == pytest.approx(ROWS.astype(np.float64).std(0), rel=1e-12)
    assert np.array_equal(spread.low, ROWS.min(0))
    assert np.array_equal(spread.high, ROWS.max(0))


def test_a_small_spread_far_from_zero_is_not_lost_in_rounding() -> None:
    rows = (1e7 + np.arange(8)[:, None]).astype(np.float32)
    spread = Spread()
    spread.add(rows[:3])
    spread.add(rows[3:])
    assert spread.deviation == pytest.approx(np.arange(8).std())


def test_a_reservoir_that_holds_all_is_exact() -> None:
    reservoir = Reservoir()
    reservoir.add(ROWS[:100])
    reservoir.add(ROWS[100:])
    median, deviation = reservoir.middle()
    assert median == pytest.approx(np.median(ROWS, axis=0))
    assert deviation == pytest.approx(ROWS.std(0), rel=0.05)


def test_a_full_reservoir_stays_bounded_and_samples_early_and_late_rows_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reservoir, "VALUES", 1000)
    reservoir = Reservoir()
    rows = np.arange(100_000, dtype=np.float32)[:, None]
    for piece in np.split(rows, 50):
        reservoir.add(piece)
    quarter_spread = reservoir.middle()[1] * 1.349
    assert reservoir.middle()[0] == pytest.approx([50_000], rel=0.1)
    assert quarter_spread == pytest.approx([50_000], rel=0.1)
