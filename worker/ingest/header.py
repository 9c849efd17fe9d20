"""Judges the names of a table's columns. Reads no row."""

from collections import defaultdict
from collections.abc import Sequence

from worker.ingest.faults import Faults, shown
from worker.ingest.source import Input

LISTED = 5


def all_differ(file: Input, names: Sequence[str], faults: Faults) -> bool:
    """Whether every column has a name of its own; else each name that several have becomes a fault."""
    if len(set(names)) == len(names):
        return True
    places: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(names, 1):
        places[name].append(number)
    for name, numbers in sorted(places.items()):
        if len(numbers) == 1:
            continue
        some = ", ".join(map(str, numbers[:LISTED])) + (" …" if numbers[LISTED:] else "")
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
    return False
