"""Finds the format of a file by its content, and its reader. A name's ending decides between prose and tables only."""

from collections.abc import Callable, Sequence

from app.dataset_options import DatasetOptions
from worker.ingest.archives import (
    array_splits,
    containers,
    documents,
    encoded,
    foreign,
    images,
    items,
    lone,
    recordings,
)
from worker.ingest.archives.containers import Archive
from worker.ingest.readers import (
    arrays,
    arrow,
    attributes,
    chats,
    decoding,
    dialect,
    encoding,
    idx,
    jsonl,
    lines,
    measured,
    parquet,
    sparse,
    tables,
)
from worker.ingest.readers.spaced import is_spaced, to_csv
from worker.ingest.readers.unpack import packed_with, unpack
from worker.ingest.recognition import AUDIO, TAB, detect, is_prose
from worker.ingest.source import Context, Head, Input, Source

LOOKED_AT = 4096
PROSE_LOOKED_AT, MOST_LOOKED_AT = 65_536, 1 << 22
"""Of what may be a table or texts, and as many more until it holds two lines: one has as many cells as itself."""
ARCHIVES = ("zip", "tar")
BOXES = ("coco", "yolo", "voc")
TEXTS = ("csv", "tsv", "txt", "jsonl", "arff", "ts")


def open_sources(file: Input, options: DatasetOptions, context: Context) -> list[Source]:
    """The file's reader, or those of the tables in an archive; none when there are none, and the fault says why."""
    found = _open(file, options, context)
    if isinstance(found, list):
        each = options.model_copy(update={"format": None})
        return [source for table in found for source in open_sources(table, each, context)]
    return [] if found is None else [found]


def _open(file: Input, options: DatasetOptions, context: Context) -> Source | list[Input] | None:
    wanted: str | None = options.format
    first = _first(file)
    packing = packed_with(first)
    if packing is not None:
        inner = unpack(file, packing, context)
        if inner is None:
            return None
        file, first = inner, _first(inner)
    if len(first) == file.size and not first.strip():
        holds = f"{file.size:,} bytes of white space" if first else "0 bytes"
        context.faults.add("empty_file", f"{file.name} is empty: it has {holds}", file=file.id)
        return None
    codec = _codec(file, first, options, context)
    if codec is not None:
        text = decoding.decode(file, codec, context)
        if text is None:
            return None
        file, first = text, _first(text)
    stranger = foreign.recognise(first, file.stream, file.name)
    if stranger is not None:
        context.faults.add("unknown_format", f"{file.name} {stranger}", file=file.id)
        return None
    if wanted in BOXES:
        wanted = next((kind for kind in ARCHIVES if kind == detect(first)), wanted)  # archives hold their files
    found = detect(first, wanted)
    beside = file.name if file.name in options.columns.named() else None
    if wanted is None and found == "csv":
        if beside is None and sparse.is_sparse(first):
            return sparse.open_sparse(file, context)
        if beside is None and is_spaced(first):
            context.inferred["encoding"].append(f"{file.name} has numbers between spaces; format txt reads it as text")
            table = to_csv(file, context)
            if table is None:
                return None
            file = table
        elif is_prose(_first_lines(file), file.name):
            found = "txt"
    if found == "zip" and containers.holds_arrays(file.stream):
        found = "npz"
    if found is None or (wanted is not None and wanted != found):
        expected = (
            f"format {wanted!r} was asked for"
            if wanted not in BOXES and wanted
            else f"format {wanted!r} is one of files in a ZIP or TAR"
            if wanted
            else f"{', '.join(('csv', 'tsv', 'txt', *READERS, *ARCHIVES, AUDIO))} are read, also .gz and .zst"
        )
        it_is = f"looks like {found}" if found else "has no known format"
        context.faults.add(
            "unknown_format",
            f"{file.name} {it_is}, {expected}; it begins with {first[:8]!r}",
            file=file.id,
        )
        return None
    file.stream.seek(0)
    if found == "txt":
        return lines.open_lines(file, beside, paragraphs=options.text_unit == "paragraph")
    if found in ARCHIVES:
        archive = items.open_archive(file, found, context)
        if options.format not in BOXES and not lone.holds_items(archive):
            return None if context.faults.total else _without_items(archive, options, context)
        heard = options.modality != "audio" and recordings.holds_recordings(archive)
        if heard and options.modality != "auto":
            context.faults.add(
                "no_input",
                f"{file.name} holds recordings, which modality audio reads, not {options.modality}",
                file=file.id,
            )
            return None
        if options.modality == "audio" or heard:
            return recordings.open_recordings(archive, options.sample_rate, context)
        return images.open_pictures(archive, options, context)
    if found == AUDIO:
        return recordings.open_recording(file, options.sample_rate, context)
    if found in ("csv", "tsv"):
        delimiters = TAB if found == "tsv" else dialect.DELIMITERS
        source: Source | None = tables.open_table(
            file, context, delimiters, decimal=options.decimal, header=options.header
        )
    else:
        source = READERS[found](file, context)
    if source is None:
        return None
    source = chats.open_chats(source, context)
    head = media_column(source.heads, options)
    if head is None or context.faults.total:
        return source
    return encoded.open_cells(source, head, options, context)


def _without_items(archive: Archive, options: DatasetOptions, context: Context) -> Source | list[Input]:
    """Texts kept as files, or the tables of an archive."""
    rows = lone.find_tables(archive)
    texts = documents.tell_texts(archive, rows)
    if texts is not None:
        return documents.open_documents(archive, texts, options, context)
    by_name = options.split is None and options.columns.split is None
    return lone.unpack(archive, rows, context, by_name=by_name)


def _codec(file: Input, first: bytes, options: DatasetOptions, context: Context) -> str | None:
    """What a text is written in: its mark says it, then the options, then its zeros; None for what is no text."""
    certain = encoding.certain(first)
    if options.encoding is None or first.startswith(tuple(encoding.MARKS)):
        if certain not in (None, encoding.OURS):
            context.inferred["encoding"].append(f"{file.name} is {encoding.shown_as(str(certain))}")
        return certain or (encoding.OURS if detect(first) in TEXTS else None)
    if options.encoding == "utf-16":
        return certain or ("utf-16-le" if detect(first) in (None, *TEXTS) else None)
    return options.encoding if detect(first) in TEXTS else None


def media_column(heads: Sequence[Head], options: DatasetOptions) -> Head | None:
    """The column of pictures or recordings as files that is asked for, or the first one where no other input is."""
    asked = options.columns
    held = {head.name: head for head in heads if head.medium}
    for name in (asked.image, asked.audio, asked.left, asked.right):
        if name in held:
            return held[name]
    others = (asked.features, asked.image, asked.text, asked.audio, asked.source, asked.left)
    if any(other is not None for other in others):
        return None
    return next((head for head in held.values() if options.modality in ("auto", head.medium)), None)


def _open_npz(file: Input, context: Context) -> Source:
    return array_splits.by_split(arrays.open_npz(file, context))


def _first(file: Input, size: int = LOOKED_AT) -> bytes:
    file.stream.seek(0)
    return file.stream.read(size)


def _first_lines(file: Input) -> bytes:
    size = PROSE_LOOKED_AT
    while (first := _first(file, size)).count(b"\n") < 2 and size < min(file.size, MOST_LOOKED_AT):
        size *= 4
    return first


READERS: dict[str, Callable[[Input, Context], Source | None]] = {
    "jsonl": jsonl.open_lines,
    "parquet": parquet.open_parquet,
    "arrow": arrow.open_arrow,
    "npy": arrays.open_npy,
    "npz": _open_npz,
    "idx": idx.open_idx,
    "arff": attributes.open_described,
    "ts": measured.open_series,
}
