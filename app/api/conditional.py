"""What a client has already and what it lacks: entity tags and byte ranges (RFC 9110, sections 13 and 14).

Knows no storage and no row.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header

from app.api.schemas import ErrorEnvelope
from app.errors import PreconditionFailed, RangeNotSatisfiable

ONE_RANGE = re.compile(r"bytes=[ \t,]*(\d{0,18})-(\d{0,18})[ \t,]*", re.ASCII | re.IGNORECASE)

CONDITIONS: dict[int | str, dict[str, Any]] = {
    304: {"description": "Nothing has changed since `If-None-Match`."},
    412: {"model": ErrorEnvelope, "description": "Something else is there than `If-Match` names."},
}


@dataclass(frozen=True)
class Conditions:
    """Which answer a client has, and which one alone it wants."""

    if_none_match: str | None = None
    if_match: str | None = None

    def known(self, etag: str) -> bool:
        """Whether the client has the answer with this ETag. Raises PreconditionFailed where it wants another one."""
        if self.if_match is not None and not {etag, "*"} & _listed(self.if_match):  # weak tags match nothing here
            message = f"if-match is {self.if_match!r}, and the ETag of what is there is {etag}"
            raise PreconditionFailed(message, param="if-match")
        return bool({etag, "*"} & {each.removeprefix("W/") for each in _listed(self.if_none_match)})


def _listed(etags: str | None) -> set[str]:
    return {each.strip() for each in (etags or "").split(",")}


def _conditions(
    if_none_match: Annotated[
        str | None, Header(description="The ETag of an earlier answer: 304 while nothing changed.")
    ] = None,
    if_match: Annotated[
        str | None, Header(description="The ETag of an earlier answer: 412 where another one stands there now.")
    ] = None,
) -> Conditions:
    return Conditions(if_none_match, if_match)


ConditionsHere = Annotated[Conditions, Depends(_conditions)]


def validators(etag: str) -> dict[str, str]:
    """The headers by which a client may ask later whether its answer still stands."""
    return {"etag": etag, "cache-control": "private, no-cache"}


@dataclass(frozen=True)
class Wanted:
    """What a client says about the bytes that it asks for."""

    range: str | None = None
    if_range: str | None = None
    conditions: Conditions = Conditions()

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
    conditions: ConditionsHere,
    range: Annotated[str | None, Header(description="One range of bytes, as in `bytes=1000-`: only these.")] = None,
    if_range: Annotated[
        str | None, Header(description="The ETag that the client has a part of: all bytes where it is another now.")
    ] = None,
) -> Wanted:
    return Wanted(range, if_range, conditions)


WantedHere = Annotated[Wanted, Depends(_wanted)]
