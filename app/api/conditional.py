"""What a client has already and what it lacks: entity tags and byte ranges (RFC 9110, sections 13 and 14).

Knows no storage and no row.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header

from app.errors import RangeNotSatisfiable

ONE_RANGE = re.compile(r"bytes=[ \t,]*(\d{0,18})-(\d{0,18})[ \t,]*", re.ASCII | re.IGNORECASE)

IfNoneMatch = Annotated[str | None, Header(description="The ETag of an earlier answer: 304 while nothing changed.")]
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Nothing has changed since `If-None-Match`."}}


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether the client has the answer with this ETag."""
    known = {each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")}
    return etag in known or "*" in known


def validators(etag: str) -> dict[str, str]:
    """The headers by which a client may ask later whether its answer still stands."""
    return {"etag": etag, "cache-control": "private, no-cache"}


@dataclass(frozen=True)
class Wanted:
    """What a client says about the bytes that it asks for."""

    range: str | None = None
    if_range: str | None = None
    if_none_match: str | None = None

    def part(self, etag: str, size: int) -> tuple[int, int] | None:
        """Begin and end of the part of `size` bytes that is wanted; None for the whole.

        Several ranges, other units and what is no range are answered with the whole, as is a client that has a part of
        something else than `etag`. Raises RangeNotSatisfiable for a range that begins behind the end.
        """
        match = ONE_RANGE.fullmatch(self.range or "")
        if match is None or self.if_range not in (None, etag):
            return None
        first, last = match.groups()
        if first:
            begin, end = int(first), min(int(last) + 1, size) if last else size
            if last and int(last) < int(first):
                return None
        elif last:
            begin, end = max(size - int(last), 0), size
            if size == 0 < int(last):
                return None
        else:
            return None
        if begin >= size:
            raise RangeNotSatisfiable(f"range is {self.range!r}, and there are {size} bytes", param="range")
        return begin, end


def _wanted(
    range: Annotated[str | None, Header(description="One range of bytes, as in `bytes=1000-`: only these.")] = None,
    if_range: Annotated[
        str | None, Header(description="The ETag that the client has a part of: all bytes where it is another now.")
    ] = None,
    if_none_match: IfNoneMatch = None,
) -> Wanted:
    return Wanted(range, if_range, if_none_match)


WantedHere = Annotated[Wanted, Depends(_wanted)]
