"""The header of an NPY file: what its array is and where its numbers begin. Knows no meaning of them."""

import re
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.lib import format as numpy_format

READERS = {(1, 0): numpy_format.read_array_header_1_0, (2, 0): numpy_format.read_array_header_2_0}
"""3.0 differs in the names of fields alone, and an array of fields is no array of numbers."""
MOST_SAID = 200
ADDRESS = re.compile(" at 0x[0-9a-f]+")
"""Where the parser's object lies in memory is of no use to a client, and none of its business."""


@dataclass(frozen=True)
class Header:
    """An array whose numbers follow."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    """Whether the first axis varies fastest."""


def read_header(stream: IO[bytes]) -> Header:
    """Leaves the stream behind the header. Raises ValueError, in a few words, where there is none that can be used."""
    try:
        version = numpy_format.read_magic(stream)
        if version not in READERS:
            raise ValueError(f"NPY version {version[0]}.{version[1]} is not read; 1.0 and 2.0 are")
        shape, fortran, dtype = READERS[version](stream)
        if min(shape, default=0) < 0:
            raise ValueError(f"the shape is {list(shape)}")
    except Exception as error:  # NumPy reads the header as Python, whose parser and tokenizer raise what they like
        raise ValueError(ADDRESS.sub("", str(error))[:MOST_SAID]) from None
    return Header(dtype, shape, fortran)
