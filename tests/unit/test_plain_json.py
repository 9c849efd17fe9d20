"""What is read quickly is what the careful reader reads; all else is left to it."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import plain_json

FINITE = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
ROW = st.lists(FINITE, min_size=1, max_size=5)
ROWS = st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(FINITE, min_size=width, max_size=width), min_size=1))
ANYTHING = st.recursive(
    st.none() | st.booleans() | FINITE | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=12,
)


@given(ROW | ROWS)
def test_vectors_and_lists_of_vectors_are_read(given_: Any) -> None:
    read = plain_json.read(
        json.dumps({"model": "m:1", "input": given_, "dimensions": 3, "user": None}).encode(), "input"
    )
    assert read is not None
    assert read[0] == {"model": "m:1", "dimensions": 3, "user": None}
    assert np.array_equal(read[1], np.array(given_, dtype=np.float64))


@given(ROW | ROWS)
def test_vectors_of_an_object_within_another_are_read(given_: Any) -> None:
    body = {"custom_id": "1", "body": {"model": "m:1", "input": given_}, "url": None}
    read = plain_json.read(json.dumps(body).encode(), "input", within="body")
    assert read is not None
    assert read[0] == {**body, "body": {"model": "m:1"}}
    assert np.array_equal(read[1], np.array(given_, dtype=np.float64))


@settings(max_examples=300)
@given(ANYTHING)
def test_whatever_is_read_is_an_array_of_numbers(given_: Any) -> None:
    read = plain_json.read(json.dumps({"model": "m", "input": given_}).encode(), "input")
    if read is not None:
        assert read[1].tolist() == given_
        assert read[1].ndim in (1, 2)
        assert read[1].size > 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1]",
        b'{"input":[[[1],[2]],[[3],[4]]]}',
        b'{"input":[[],[1,2]]}',
        b'{"input":[1,[2,3],[]]}',
        b'{"input":[true,1]}',
        b'{"input":[NaN]}',
        b'{"input":[1e999]}',
        b'{"input":[1],"input":[2]}',
        b'{"model":"a","model":"b","input":[1]}',
        b'{"input":[1],"user":{"a":[1]}}',
        b'{"model":"m"}',
        b'{"input":[1]} x',
        b'{"model":"\xff","input":[1]}',
    ],
)
def test_anything_else_is_left_to_the_careful_reader(body: bytes) -> None:
    assert plain_json.read(body, "input") is None
    assert plain_json.read(b'{"body":' + body + b"}", "input", within="body") is None
    assert plain_json.read(b'{"input":[1]}', "input") is not None


@pytest.mark.parametrize(
    "body",
    [
        b'{"body":{"input":[1]},"body":{"input":[2]}}',
        b'{"id":[1],"body":{"input":[2]}}',
        b'{"id":{"a":1},"body":{"input":[2]}}',
        b'{"body":[{"input":[1]}]}',
        b'{"body":null}',
        b'{"input":[1]}',
    ],
)
def test_what_stands_around_it_is_plain_or_left_to_the_careful_reader(body: bytes) -> None:
    assert plain_json.read(body, "input", within="body") is None
    assert plain_json.read(b'{"id":"1","body":{"input":[1]}}', "input", within="body") is not None
