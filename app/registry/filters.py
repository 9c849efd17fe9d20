"""Filters of lists that several nouns share. Knows no noun."""

import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute

from app.errors import OutOfRange

KEY = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def metadata_equals(
    column: InstrumentedAttribute[dict[str, Any]], wanted: Mapping[str, str] | None
) -> list[sa.ColumnElement[bool]]:
    """The conditions that the JSON object in `column` has all pairs of `wanted`."""
    for key in wanted or {}:
        if KEY.fullmatch(key) is None:  # keys become part of a JSON path
            raise OutOfRange(f"metadata[{key}]: a key to filter by has 1 to 64 of A-Z a-z 0-9 _.:-", param="metadata")
    return [column[key].as_string() == value for key, value in (wanted or {}).items()]
