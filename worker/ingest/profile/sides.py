"""Says whether drawn splits part rows that look as if they belonged together. Changes no split.

Legend: `N` rows.
"""

from collections.abc import Sequence
from itertools import takewhile
from math import prod

import numpy as np
from numpy.typing import NDArray

from worker.ingest.faults import counted, some
from worker.ingest.groups import Group
from worker.ingest.layout import Joined
from worker.ingest.splitting.splits import OUT, TRAIN, Places

MOST_ROWS = 1 << 20
"""Of a column of numbers, the first ones: of names, all are there already."""
BLOCK = 1 << 14


def parted(groups: Sequence[Group], places: Places) -> list[str]:
    """A warning where values of the likely group are on both sides of splits that were drawn."""
    first = groups[0]
    name = first.plan.likely_group
    if name is None:
        return []
    if name in first.table.names:
        coded = first.table.names[name]
        codes, names = coded.codes, coded.names
    elif name in first.plan.parts["input"].numbers:
        given = _numbers(first.table, name)
        values, numbers = np.unique(given, return_inverse=True)
        codes, names = np.where(np.isnan(given), -1, numbers), [f"{value:.15g}" for value in values.tolist()]
    else:  # in a file that nothing was read of
        return []
    places = places[: len(codes)]
    learned, judged = (np.zeros(len(names) + 1, np.bool_) for _ in range(2))  # the last is of rows that have none
    learned[codes[places == TRAIN]] = True
    judged[codes[(places != TRAIN) & (places != OUT)]] = True
    both = np.flatnonzero((learned & judged)[:-1])
    if not len(both):
        return []
    return [
        f"{counted(len(both), 'value')} of {name!r} on both sides of the splits, such as "
        f"{some([names[code] for code in both[:3].tolist()])}: if its rows belong together, results are too good; "
        f'columns {{"group": "{name}"}} keeps each on one side'
    ]


def _numbers(table: Joined, name: str) -> NDArray[np.float64]:
    """A feature's values [N], of MOST_ROWS at most."""
    before = takewhile(lambda segment: segment[0] != name, table.segments("input"))
    place, rows = sum(prod(shape) for _, _, shape in before), min(table.rows, MOST_ROWS)
    parts = [
        table.numbers("input", start, min(start + BLOCK, rows))[:, place].astype(np.float64)
        for start in range(0, rows, BLOCK)
    ]
    table.release()
    return np.concatenate(parts)
