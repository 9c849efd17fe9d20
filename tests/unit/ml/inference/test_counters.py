import pytest

from app.ml.inference.counters import Counters, Histogram, Timings


def test_counters_add_up() -> None:
    counters = Counters()
    counters.add(rows=2, seconds=0.5)
    counters.add(rows=3)
    assert counters.read() == {"rows": 5, "seconds": 0.5}


def test_requests_that_took_the_same_are_counted_like_others() -> None:
    alike, other = Timings(0.0002, 0.002, 0.02), Timings(0.0002, 0.3, 0.02)
    together, alone = Counters(), Counters()
    together.answered(7, [alike, alike, other, alike])
    for rows, timings in ((1, alike), (2, alike), (3, other), (1, alike)):
        alone.answered(rows, [timings])
    assert together.read() == alone.read() == {"requests_total": 4, "items_total": 7}
    for name, found in together.stages().items():
        assert found.counts == alone.stages()[name].counts
        assert sum(found.counts) == 4
        assert found.seconds == pytest.approx(alone.stages()[name].seconds)


def test_a_histogram_counts_every_duration_once() -> None:
    alone, together = Histogram(), Histogram()
    for seconds in ([0.001, 0.001, 0.0011], [0.002, 0.0001, 99.0], [0.3]):
        together.add(*seconds)
        for each in seconds:
            alone.add(each)
    assert together.counts == alone.counts
    assert together.seconds == pytest.approx(alone.seconds)
