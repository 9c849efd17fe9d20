"""What files of foreign formats are told, by the marks that they bear. Knows no format."""

from collections.abc import Sequence

Mark = tuple[int, bytes, str]
"""Where in a file which bytes stand, and what such a file is."""


def stranger(content: bytes, marks: Sequence[Mark], formats: Sequence[str], kind: str, command: str) -> str:
    """What content is that is of none of the `formats` of its `kind`, and what to do about it."""
    if not content:
        return "empty: it has 0 bytes"
    known = ", ".join(formats)
    name = next((name for place, mark, name in marks if content[place:].startswith(mark)), None)
    if name is None:
        return f"no {known} {kind}: it begins with {content[:8]!r}"
    return f"{name}, which is not read; convert it to {known}, for instance with {command}"
