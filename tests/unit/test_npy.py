import io
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as numpy_format

from app.npy import Header, read_header

ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)


def written(values: Any, version: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    numpy_format.write_array(file, values, version)
    return file.getvalue()


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
@pytest.mark.parametrize("values", [ROWS, np.asfortranarray(ROWS), ROWS[0], ROWS[:0], np.zeros((), ">i8")])
def test_both_versions_of_a_header_are_read_to_where_the_numbers_begin(values: Any, version: tuple[int, int]) -> None:
    file = io.BytesIO(written(values, version))
    fortran = values.flags.f_contiguous and not values.flags.c_contiguous
    assert read_header(file) == Header(values.dtype, values.shape, fortran)
    assert file.read() == values.tobytes("A")


@pytest.mark.parametrize("version", [b"\x03\x00", b"\x09\x09", b"\x01\x01"])
def test_other_versions_are_named(version: bytes) -> None:
    content = written(ROWS)
    with pytest.raises(ValueError, match=rf"version {version[0]}\.{version[1]} is not read; 1\.0 and 2\.0 are"):
        read_header(io.BytesIO(content[:6] + version + content[8:]))


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        (b"(2, 3)", b"(-2,3)"),
        (b"{'descr':", b"((((((((("),
        (b"'descr'", b"1234567"),
        (b"<f4", b"<z9"),
        (b"\x93", b"\x94"),
    ],
)
def test_whatever_is_wrong_is_one_kind_of_error_in_a_few_words(there: bytes, instead: bytes) -> None:
    for content in (written(ROWS).replace(there, instead, 1), written(ROWS)[:30], b""):
        with pytest.raises(ValueError, match=r"^(?s:.){1,200}$"):
            read_header(io.BytesIO(content))


def test_what_is_said_of_a_name_does_not_tell_where_things_lie() -> None:
    content = written(ROWS).replace(b"False", b"Falsx", 1)
    with pytest.raises(ValueError, match="malformed node") as raised:
        read_header(io.BytesIO(content))
    assert "0x" not in str(raised.value)
