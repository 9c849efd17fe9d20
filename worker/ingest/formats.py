"""Finds the format of a file by its content, and its reader. A name's ending decides nothing."""

from worker.ingest import arrays, idx, tables
from worker.ingest.source import Context, Input, Source

LOOKED_AT = 4096


def open_source(file: Input, wanted: str | None, context: Context) -> Source | None:
    """The file's reader; None when there is none, and the fault says why."""
    file.stream.seek(0)
    first = file.stream.read(LOOKED_AT)
    if not first:
        context.faults.add("empty_file", f"{file.name} is empty: it has 0 bytes", file=file.id)
        return None
    found = detect(first)
    if found is None or (wanted is not None and wanted != found):
        expected = f"format {wanted!r} was asked for" if wanted else "NPY, NPZ, IDX (also .gz) and CSV are read"
        it_is = f"looks like {found}" if found else "has no known format"
        context.faults.add(
            "unknown_format",
            f"{file.name} {it_is}, {expected}; it begins with {first[:8]!r}",
            file=file.id,
        )
        return None
    file.stream.seek(0)
    if found == "npy":
        return arrays.open_npy(file, context)
    if found == "npz":
        return arrays.open_npz(file, context)
    if found == "idx":
        return idx.open_idx(file, context)
    return tables.open_table(file, context)


def detect(first: bytes) -> str | None:
    """npy, npz, idx or csv by the first bytes of a file; None when it is none of them."""
    if first.startswith(arrays.MAGIC):
        return "npy"
    if first.startswith((arrays.ZIP_MAGIC, b"PK\x05\x06")):  # the second is an archive of nothing
        return "npz"
    if idx.is_idx(first) or first.startswith(idx.GZIP_MAGIC):
        return "idx"
    return None if b"\0" in first or first.startswith((b"\x80", b"%PDF", b"PAR1", b"ARROW1")) else "csv"
