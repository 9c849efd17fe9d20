"""The handler of a `batch` job: a file of requests in, a file of answers and one of refusals out, shard by shard.

What a shard gave is committed before the next one begins, so that a restart answers nothing twice; bytes are written
first, under keys that hold the job's token.
"""

import base64
import codecs
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, count
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from app.registry import batches, jobs, objects
from app.registry.tables import Batch
from app.storage import Stored
from worker.handlers.answering import MOST_LINE, Answering, Line
from worker.handlers.columnar import put_parquet
from worker.progress import Reporter

SHARD_LINES = 500
SHARD_BYTES = 16 << 20
KINDS = (batches.OUTPUT, batches.ERRORS)


def run(reporter: Reporter) -> None:
    """Answers the batch that the job names. Raises Stopped when asked to leave, and Fenced."""
    with reporter.database.reading() as session:
        job = jobs.load(session, reporter.job_id)
        batch = batches.get(session, job.project_id, job.request["batch"])
        content = objects.held(session, batch.input_file_id)["content"]
        done = batches.done(session, batch)
        before = {name: objects.shards(session, job.id, name) for name in KINDS}
    hashes = {name: hashed(reporter.storage.open(parts)) for name, parts in before.items()}
    answering = Answering(reporter, batch)
    total, read, begun = sum(part.size_bytes for part in content), 0, time.monotonic()
    for number, lines in enumerate(shards(reporter.storage.open(content))):
        read += sum(len(line.content) for line in lines)
        if number < done:
            answering.remember(lines)
            continue
        reporter.leave_if_asked()
        output, errors = answering.answer(lines)
        counts = {"total": len(lines), "completed": len(output), "failed": len(errors)}
        elapsed, share = time.monotonic() - begun, read / max(1, total)
        progress: dict[str, Any] = {
            "percentage_done": round(100 * min(1.0, share), 1),
            "step": number + 1,
            "elapsed_time": elapsed,
            "estimated_remaining_seconds": elapsed * (1 - share) / share,
        }
        rows = {batches.SHARD: [str(number).encode()], batches.OUTPUT: output, batches.ERRORS: errors}
        for name in KINDS:
            for row in rows[name]:
                hashes[name].update(row)
        so_far = {name: found.hexdigest() for name, found in hashes.items()}
        reporter.when_there_is_room(partial(keep, reporter, batch, number, rows, progress, counts, so_far))
    so_far = {name: found.hexdigest() for name, found in hashes.items()}
    reporter.when_there_is_room(partial(finish, reporter, batch, so_far, job.request.get("output_format"), answering))


def keep(
    reporter: Reporter,
    batch: Batch,
    number: int,
    rows: Mapping[str, Sequence[bytes]],
    progress: dict[str, Any],
    counts: Mapping[str, int],
    hashes: Mapping[str, str],
) -> None:
    """Stores what a shard gave, by name; may be tried again."""
    given = {name: put(reporter, batch, number, name, part) for name, part in rows.items() if part}
    with reporter.database.session() as session:
        batches.add_shard(session, batch, reporter.token, number, progress, given, counts, hashes)


def finish(
    reporter: Reporter, batch: Batch, hashes: Mapping[str, str], output_format: str | None, answering: Answering
) -> None:
    """Makes files of what the shards gave and ends the job well, both or neither; may be tried again."""
    with reporter.database.reading() as session:
        made = {name: objects.shards(session, reporter.job_id, name) for name in KINDS}
    whole = {name: batches.Whole(parts, hashes[name], "jsonl") for name, parts in made.items() if parts}
    if batches.OUTPUT in whole and output_format == "parquet":
        opened = (b"".join(reporter.storage.open([part])) for part in made[batches.OUTPUT])
        tables = (tabled(content.splitlines(), answering) for content in opened)
        stored = put_parquet(reporter, f"batches/{batch.id}/{reporter.token}/output.parquet", tables)
        whole[batches.OUTPUT] = batches.Whole([stored], stored.sha256, "parquet")
    with reporter.database.session() as session:
        batches.finish(session, batch, reporter.token, whole)


def shards(chunks: Iterable[bytes]) -> Iterator[list[Line]]:
    """Lines that hold something, some hundreds at a time: always the same ones of the same file."""
    rest, lines, size, numbers = b"", list[Line](), 0, count(1)
    chunks = iter(chunks)
    first = next(chunks, b"").removeprefix(codecs.BOM_UTF8)
    for chunk in chain([first], chunks, [b"\n"]):
        whole, end, tail = chunk.rpartition(b"\n")
        if not end:
            rest = (rest + tail)[: MOST_LINE + 1]  # enough of a line that is too long to be refused for it
            continue
        for content in (rest + whole).split(b"\n"):
            line = Line(next(numbers), content)
            if content.strip():
                lines.append(line)
                size += len(content)
            if len(lines) == SHARD_LINES or size >= SHARD_BYTES:
                yield lines
                lines, size = [], 0
        rest = tail
    if lines:
        yield lines


def tabled(lines: Sequence[bytes], answering: Answering) -> pa.Table:
    """Answers as columns, a row for every item."""
    items = [
        (answer["custom_id"], item["index"], item)
        for answer in map(orjson.loads, lines)
        for item in answer["response"]["body"]["data"]
    ]
    names, indices = [item[0] for item in items], [item[1] for item in items]
    columns: dict[str, Any] = {"custom_id": pa.array(names, pa.string()), "index": pa.array(indices, pa.int32())}
    if answering.operation.name == "embed":
        given = [item["embedding"] for _, _, item in items]
        vectors = [np.frombuffer(base64.b64decode(v), "<f4") if isinstance(v, str) else v for v in given]
        columns["embedding"] = pa.array(vectors, pa.list_(pa.float32()))
    else:
        columns["answer"] = pa.array([orjson.dumps(item).decode() for _, _, item in items], pa.string())
    return pa.table(columns)


def put(reporter: Reporter, batch: Batch, number: int, name: str, rows: Sequence[bytes]) -> Stored:
    return reporter.storage.put(f"batches/{batch.id}/{reporter.token}/{name}-{number}.jsonl", b"".join(rows))


def hashed(chunks: Iterable[bytes]) -> "hashlib._Hash":
    """The sha256 of what has come."""
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
    return found
