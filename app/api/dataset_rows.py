"""Looks into a stored dataset for a few rows. Knows no request and no registry row but the objects' own."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.dataset import open_dataset
from app.ml.audio import sounds
from app.ml.image import pictures
from app.ragged import Ragged
from app.registry.tables import StoredObject
from app.storage import Storage

SHOWN_SECONDS = 5
"""Of a recording, its beginning."""


def read_rows(
    storage: Storage, held: Mapping[str, Sequence[StoredObject]], split: str, begin: int, limit: int
) -> tuple[list[dict[str, Any]], bool]:
    """Up to `limit` rows of `split` from place `begin`, and whether more follow."""
    files = {name: storage.local(parts[0]) for name, parts in held.items()}
    dataset = open_dataset(files)
    opened, profile = dataset.splits[split], dataset.profile
    rows: list[dict[str, Any]] = []
    first = 0
    for batch, size in enumerate(opened.sizes):
        low, high = max(begin, first), min(begin + limit, first + size)
        if low < high:
            columns = {role: opened.read(role, batch) for role in ("row", "target", *opened.modalities)}
            for place in range(low, high):
                shown = {
                    role: show(
                        column.row(place - first) if isinstance(column, Ragged) else column[place - first], facts
                    )
                    for role, column in columns.items()
                    if (facts := {"modality": opened.modalities.get(role), **(profile.get(role) or {})})
                }
                rows.append({"id": str(place), **shown})
        first += size
    return rows, begin + limit < first


def show(item: Any, facts: Mapping[str, Any]) -> Any:
    """One raw item in JSON."""
    modality = facts["modality"]
    if modality == "image":
        return pictures.encode_uri(item)
    if modality == "audio":
        return sounds.encode_uri(item[: SHOWN_SECONDS * facts["rate"]], facts["rate"])
    if modality == "tags":
        names = facts["labels"]
        return [names[position] for position in item.tolist()]
    if modality == "boxes":
        names = facts["labels"]
        return [{"label": names[int(position)], "box": box} for position, *box in item.tolist()]
    if modality == "numbers":
        return None if item != item else float(item)  # NaN is a value withheld
    if modality == "vectors":
        names = [column.get("categories") for column in facts.get("columns", [{}] * len(item))]
        return [
            None if value != value else value if known is None else known[int(value)]
            for value, known in zip(item.tolist(), names, strict=True)
        ]
    return item if item is None or isinstance(item, str) else item.tolist()
