"""Judges the names of a table's columns. Reads no row."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from worker.ingest.faults import Faults, shown
from worker.ingest.source import Input

LISTED = 5


def all_differ(file: Input, names: Sequence[str], faults: Faults, passed: Collection[int] = ()) -> bool:
    """Whether every column has a name of its own, those at the places `passed` aside; else each name that several have
    becomes a fault."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        if place not in passed:
            places[name].append(place)
    repeated = {name: there for name, there in places.items() if len(there) > 1}
    for name, there in sorted(repeated.items()):
        some = listed(there)
        if name:
            problem = f"are all called {name!r}; give each a name of its own"
        else:
            first = shown(next(filter(None, names), ""))
            problem = (
                f"have no name; does the header begin with {first}? Name every column in it, and delete empty columns "
                "and what stands before it"
            )
        message = f"{file.name}: columns {some} of {len(names)} {problem}"
        faults.add("duplicate_column", message, file=file.id, column=name)
    return not repeated


def listed(places: Sequence[int]) -> str:
    """Places of columns, from 0, as a client counts them."""
    return ", ".join(str(place + 1) for place in places[:LISTED]) + (" …" if places[LISTED:] else "")
