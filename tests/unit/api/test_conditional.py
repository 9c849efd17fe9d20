"""Which part of how many bytes a client means (RFC 9110, section 14)."""

import pytest

from app.api.conditional import Conditions, Wanted
from app.errors import PreconditionFailed, RangeNotSatisfiable

ETAG = '"abc"'


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-", (10, 1000)),
        ("bytes=10-19", (10, 20)),
        ("bytes=990-5000", (990, 1000)),
        ("bytes=-500", (500, 1000)),
        ("bytes=-5000", (0, 1000)),
        ("Bytes= 1-2 ,", (1, 3)),
    ],
)
def test_one_range_is_a_part(asked: str, part: tuple[int, int]) -> None:
    assert Wanted(asked).part(ETAG, 1000) == part


@pytest.mark.parametrize(
    "asked",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-4",
        "bytes=0-1,5-6",
        "bytes=a-b",
        "bytes=+1-2",
        "bytes=1-2x",
        "rows=0-1",
        f"bytes={'9' * 9999}-",
        "bytes=\u0661-\u0662",
    ],
)
def test_what_is_not_one_range_means_the_whole(asked: str | None) -> None:
    assert Wanted(asked).part(ETAG, 1000) is None


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=1000-2000", "bytes=-0", "bytes=999999999999-"])
def test_a_range_behind_the_end_is_refused(asked: str) -> None:
    with pytest.raises(RangeNotSatisfiable, match="1000 bytes"):
        Wanted(asked).part(ETAG, 1000)


def test_nothing_has_no_part() -> None:
    assert Wanted("bytes=-5").part(ETAG, 0) is None
    with pytest.raises(RangeNotSatisfiable):
        Wanted("bytes=0-").part(ETAG, 0)


def test_who_has_a_part_of_something_else_gets_the_whole() -> None:
    assert Wanted("bytes=5-", ETAG).part(ETAG, 10) == (5, 10)
    for other in ('"xyz"', f"W/{ETAG}", "Wed, 21 Oct 2026 07:28:00 GMT", ""):
        assert Wanted("bytes=5-", other).part(ETAG, 10) is None
        assert Wanted("bytes=50-", other).part(ETAG, 10) is None, "not even refused"


def test_an_etag_is_known_among_several_and_as_a_weak_one() -> None:
    assert Conditions(f'"x", W/{ETAG}').known(ETAG)
    assert Conditions("*").known(ETAG)
    assert not Conditions('"x"').known(ETAG)
    assert not Conditions().known(ETAG)


def test_who_wants_another_answer_gets_none() -> None:
    for wanted in (ETAG, f'"x", {ETAG}', "*"):
        assert not Conditions(if_match=wanted).known(ETAG)
        assert Conditions(ETAG, if_match=wanted).known(ETAG)
    for other in ('"x"', f"W/{ETAG}", ""):
        with pytest.raises(PreconditionFailed, match='"abc"'):
            Conditions(ETAG, if_match=other).known(ETAG)
