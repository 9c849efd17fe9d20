"""Looks into a stored dataset for a few rows. Knows no request and no registry row but the objects' own."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app.dataset import open_dataset
from app.ml.pictures import encode_uri
from app.registry.tables import StoredObject
from app.storage import Storage


def read_rows(
    storage: Storage, held: Mapping[str, Sequence[StoredObject]], split: str, begin: int, limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """Up to `limit` rows of `split` from place `begin`, and whether more follow."""
    files = {name: storage.local(parts[0]) for name, parts in held.items()}
    opened = open_dataset(files).splits[split]
    rows: list[dict[str, Any]] = []
    first = 0
    for batch, size in enumerate(opened.sizes):
        low, high = max(begin, first), min(begin + limit, first + size)
        if low < high:
            inputs, targets, sources = (opened.read(role, batch) for role in ("input", "target", "row"))
            for place in range(low, high):
                item = inputs[place - first]
                rows.append(
                    {
                        "id": str(place),
                        "row": int(sources[place - first]),
                        "input": encode_uri(item) if item.dtype == np.uint8 else item.tolist(),
                        "target": targets[place - first],
                    }
                )
        first += size
    return rows, begin + limit < first
