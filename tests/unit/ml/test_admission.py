import pytest

from app.errors import Overloaded
from app.ml.admission import Counters, Permits


def test_one_more_than_the_limit_is_refused_and_a_returned_permit_is_given_again() -> None:
    permits = Permits(2)
    with permits, permits:
        with pytest.raises(Overloaded, match="at most 2") as refusal, permits:
            pass
        assert refusal.value.status == 429
        assert refusal.value.retry_after == 1
        assert permits.taken == 2
    with permits:
        assert permits.taken == 1
    assert permits.refused == 1


def test_a_failed_request_gives_its_permit_back() -> None:
    permits = Permits(1)
    with pytest.raises(ZeroDivisionError), permits:
        raise ZeroDivisionError
    assert permits.taken == 0


def test_counters_add_up() -> None:
    counters = Counters()
    counters.add(rows=2, seconds=0.5)
    counters.add(rows=3)
    assert counters.read() == {"rows": 5, "seconds": 0.5}
