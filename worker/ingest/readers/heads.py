"""Says what a column is by its type and its first rows: of Arrow, of JSON, of a delimited text. Reads no file."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from app.ml.text.scripts import count_words
from worker.ingest.readers.dialect import ABSENT, Dialect, Written, are_numbers, is_number
from worker.ingest.signatures import encoded_medium, medium
from worker.ingest.source import Head
from worker.ingest.stages import BETWEEN, is_labels, is_turns, whole_files

FLOAT = np.dtype(np.float64)
TEXT = np.dtype(np.str_)
OTHER = np.dtype(np.object_)
"""Of a column that can be neither number nor name."""
MOST_AXES = 32
"""Of an item of an array; NumPy's own bound is not much further, and nothing that is learned from has as many."""


def arrow_head(name: str, sample: pa.Array) -> Head:
    """What a column is, by its type and its first rows."""
    kind = sample.type
    if is_labels(kind):
        return labels_head(name)
    if is_turns(kind):
        return Head(name, "table", OTHER, distinct=2, sampled=2, encoded="json")
    shape: list[int] = []
    while _is_list(kind):
        sample = sample.drop_null()
        if not len(sample):
            return Head(name, "table", OTHER, distinct=2, sampled=2)
        shape.append(len(sample[0]))
        sample, kind = sample.flatten(), kind.value_type
    number = _number(kind)
    if shape:
        if number is not None and all(shape) and len(shape) <= MOST_AXES:
            return Head(name, "array", number, tuple(shape))
        return Head(name, "table", OTHER, distinct=2, sampled=2)
    if number is not None:
        present = sample.drop_null()
        return number_head(name, number, present.to_pylist())
    files = whole_files(sample)
    for file in [] if files is None else files.drop_null()[:1].to_pylist():
        if held := medium(file):
            return Head(name, "table", OTHER, distinct=2, sampled=2, medium=held, encoded="bytes")
    if not _is_text(kind):
        return Head(name, "table", OTHER, distinct=2, sampled=2)
    present = sample.drop_null()
    texts = [as_name(value) for value in present.to_pylist()]
    return text_head(name, texts)


def json_head(name: str, values: list[Any]) -> Head:
    """A column holds numbers when most of its values do: the others are then faults, with a row to look at."""
    filled = [value for value in values if value is not None]
    if 2 * sum(isinstance(value, int | float) for value in filled) >= len(filled):
        return number_head(name, FLOAT, [value for value in filled if isinstance(value, int | float)])
    lists = [value for value in filled if isinstance(value, list)]
    if 2 * len(lists) >= len(filled):
        shape = []
        value: Any = lists[0]
        while isinstance(value, list) and value:
            shape.append(len(value))
            value = value[0]
        if isinstance(value, int | float) and len(shape) <= MOST_AXES:
            return Head(name, "array", FLOAT, tuple(shape))
        if 2 * sum(all(isinstance(text, str) for text in each) for each in lists) >= len(filled):
            return labels_head(name)
    texts = [value for value in filled if isinstance(value, str)]
    if 2 * len(texts) < len(filled):
        return Head(name, "table", OTHER, distinct=2, sampled=2)
    return text_head(name, texts)


def cells_head(name: str, cells: list[str], dialect: Dialect) -> tuple[Head, Written | None]:
    """A column holds numbers when most of its cells do: the others are then faults, with a row to look at.

    The second is how these are written, None for plain ones.
    """
    if not dialect.certain and are_numbers(cells):  # at once: most columns of most tables
        return number_head(name, FLOAT, cells, dialect.doubt(cells)), None
    filled = [cell for cell in cells if cell.strip()]
    known = [cell for cell in filled if cell.strip().casefold() not in ABSENT]
    numbers = sum(map(is_number, known))
    style = dialect.written(known, numbers) if known else None
    if style is None and (2 * numbers < len(known) or (filled and not known)):
        return text_head(name, filled), None
    note = dialect.doubt(known)
    if style:
        note = f"numbers like {known[0]!r}, with {dialect.decimal!r} before fractions; decimal says otherwise"
    return number_head(name, FLOAT, known, note), style


def counts_up(values: Sequence[Any]) -> bool:
    """Whether whole numbers go up by one from row to row."""
    try:
        whole = [int(value) for value in values]
    except (ValueError, TypeError, OverflowError):
        return False
    return len(whole) > 1 and whole == list(range(whole[0], whole[0] + len(whole)))


def number_head(name: str, dtype: np.dtype[Any], values: Sequence[Any], note: str = "") -> Head:
    """A column of numbers, by the first of them; they may be texts."""
    distinct, counts = len(set(values)), counts_up(values)
    fractions = any(map(_has_fraction, values))
    return Head(
        name, "table", dtype, distinct=distinct, sampled=len(values), fractions=fractions, counts=counts, note=note
    )


def _has_fraction(value: Any) -> bool:
    try:
        return bool(float(value) % 1 > 0)
    except (ValueError, TypeError, OverflowError):
        return False


def labels_head(name: str) -> Head:
    """A column of lists of texts."""
    return Head(name, "table", OTHER, ragged="tags", distinct=2, sampled=2, about={"between": BETWEEN})


def text_head(name: str, texts: Sequence[str]) -> Head:
    """A column of texts, by the first of them."""
    words = sum(map(count_words, texts)) / max(1, len(texts))
    held = encoded_medium(texts[0]) if texts else ""
    more: dict[str, Any] = {"medium": held, "encoded": "base64"} if held else {}
    example = texts[0] if texts else ""
    return Head(name, "table", TEXT, distinct=len(set(texts)), sampled=len(texts), words=words, example=example, **more)


def as_name(value: object) -> str:
    """A cell of a column of names."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        return _is_text(kind) or _number(kind) is not None
    views = pa.types.is_string_view(kind)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or views or pa.types.is_temporal(kind))


def _number(kind: pa.DataType) -> np.dtype[Any] | None:
    """The type of numbers that a column holds; None when it holds something else."""
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        found: np.dtype[Any] = np.dtype(kind.to_pandas_dtype())
        return found
    return FLOAT if pa.types.is_decimal(kind) or pa.types.is_null(kind) else None
