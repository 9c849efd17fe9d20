from app.ml.inference.counters import Counters


def test_counters_add_up() -> None:
    counters = Counters()
    counters.add(rows=2, seconds=0.5)
    counters.add(rows=3)
    assert counters.read() == {"rows": 5, "seconds": 0.5}
