import orjson
import pytest

from app.bounded_json import DEEPEST, loads, place


def nested(depth: int, inner: str = "1", opening: str = "[", closing: str = "]") -> str:
    return opening * depth + inner + closing * depth


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"), ("[0, ", "]")])
def test_what_is_nested_deeper_than_the_bound_is_refused(opening: str, closing: str) -> None:
    levels = opening.count("[") + opening.count("{")
    text = nested(DEEPEST // levels, opening=opening, closing=closing)
    assert loads(text) == loads(text.encode()) == orjson.loads(text)
    for depth in (DEEPEST // levels + 1, 1000 // levels):
        with pytest.raises(orjson.JSONDecodeError, match="nested more than 100 deep"):
            loads(nested(depth, opening=opening, closing=closing))


def test_many_rows_and_brackets_in_strings_are_not_deep() -> None:
    for value in ([[1.0] * 3] * 2000, ["[" * 500] * 2, {"]{": "}" * 300, "a": [[]] * 300}):
        assert loads(orjson.dumps(value)) == value


def test_a_string_with_brackets_hides_no_depth() -> None:
    with pytest.raises(orjson.JSONDecodeError, match="nested"):
        loads(f'["{"]" * 500}", {nested(500)}]')


def test_what_is_no_json_is_refused_as_ever() -> None:
    with pytest.raises(orjson.JSONDecodeError):
        loads("[" * 3000)


def test_a_mistake_has_a_place() -> None:
    text = '{"model": "digits", "input": [1, 2,, 3], "dimensions": 8}'
    with pytest.raises(orjson.JSONDecodeError) as caught:
        loads(text)
    assert place(caught.value) == f"at character 35, near {text[15:55]!r}"
