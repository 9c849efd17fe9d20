"""Which column plays what in a dataset: the result of what was asked and what was found. Knows no rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from worker.ingest.source import Head, Wanted

INPUTS = ("input", "source", "left")
"""Roles of which a dataset has one."""


@dataclass
class Part:
    """What one role is made of."""

    modality: str
    columns: list[str]
    """The role's source columns: several only for vectors."""
    categories: list[str] = field(default_factory=list)
    """Those of them that hold names instead of numbers."""
    shape: list[int] = field(default_factory=list)
    """Of an item: [W], or [H, W, C]; empty where items differ in size."""
    scaled: bool = False
    """True when pictures were scaled to that shape."""
    channels_first: bool = False
    """True when the source has [C, H, W]."""
    about: dict[str, Any] = field(default_factory=dict)
    """What else the readers know of it."""

    @property
    def numbers(self) -> list[str]:
        """Columns that are read as numbers."""
        return [name for name in self.columns if name not in self.categories]


@dataclass
class Plan:
    """What plays what."""

    parts: dict[str, Part] = field(default_factory=dict)
    """By role."""
    split: str | None = None
    group: str | None = None
    likely_group: str | None = None
    """Nobody named it as group, but it is called like one: the profile says whether drawn splits part its rows."""
    ignored: list[str] = field(default_factory=list)
    inferred: dict[str, Any] = field(default_factory=dict)

    @property
    def modality(self) -> str:
        """Of the dataset: of what goes in."""
        return next(self.parts[role].modality for role in INPUTS if role in self.parts)

    def wanted(self, heads: dict[str, Head]) -> tuple[list[str], Wanted]:
        """What to read of files with these columns: the roles that take numbers from there, and the columns."""
        roles, numbers, names, ragged = [], [], [], []
        numbered = {name for part in self.parts.values() for name in part.numbers}
        for role, part in self.parts.items():
            here = [name for name in part.columns if name in heads]
            if part.modality in ("vectors", "image", "numbers"):
                beside = tuple(name for name in here if name not in part.categories)
                if beside:
                    roles.append(role)
                    numbers.append(beside)
                names += [name for name in here if name in part.categories]
            elif part.modality == "classes":
                names += here
            else:
                ragged += here
        apart = [self.split, self.group, None if self.likely_group in numbered else self.likely_group]
        names += [name for name in apart if name in heads and name is not None]
        exact = self.likely_group in numbered & heads.keys()  # whether two of its values differ is all that is asked
        return roles, Wanted(numbers, list(dict.fromkeys(names)), list(dict.fromkeys(ragged)), exact)

    def used(self) -> Iterator[str]:
        """Every column that plays a part."""
        for part in self.parts.values():
            yield from part.columns
        yield from (name for name in (self.split, self.group) if name is not None)
