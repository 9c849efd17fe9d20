"""The handler of a `batch` job: a file of requests in, a file of answers and one of refusals out, shard by shard.

What a shard gave is committed before the next one begins, so that a restart answers nothing twice; bytes are written
first, under keys that hold the job's token.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from app.registry import batches, jobs, objects
from app.registry.tables import Batch
from app.storage import Stored
from worker.answering import MOST_LINE, Answering
from worker.progress import Reporter, Stopped

SHARD_LINES = 500
SHARD_BYTES = 16 << 20


def run(reporter: Reporter) -> None:
    """Answers the batch that the job names. Raises Stopped when asked to leave, and Fenced."""
    with reporter.database.reading() as session:
        job = jobs.load(session, reporter.job_id)
        batch = batches.get(session, job.project_id, job.request["batch"])
        content = objects.held(session, batch.input_file_id)["content"]
        done = batches.done(session, batch.id)
    answering = Answering(reporter, batch)
    total, read, begun = sum(part.size_bytes for part in content), 0, time.monotonic()
    for number, lines in enumerate(shards(reporter.storage.open(content))):
        read += sum(map(len, lines))
        if number < done:
            continue
        if reporter.stop.is_set():
            raise Stopped
        output, errors = answering.answer(lines)
        given = {batches.SHARD: put(reporter, batch, number, batches.SHARD, [str(number).encode()])}
        for name, rows in ((batches.OUTPUT, output), (batches.ERRORS, errors)):
            if rows:
                given[name] = put(reporter, batch, number, name, rows)
        counts = {"total": len(lines), "completed": len(output), "failed": len(errors)}
        elapsed, share = time.monotonic() - begun, read / max(1, total)
        progress: dict[str, Any] = {
            "percentage_done": round(100 * min(1.0, share), 1),
            "step": number + 1,
            "elapsed_time": elapsed,
            "estimated_remaining_seconds": elapsed * (1 - share) / share,
        }
        with reporter.database.session() as session:
            batches.add_shard(session, batch, reporter.token, number, progress, given, counts)
    with reporter.database.reading() as session:
        made = {name: batches.parts(session, batch.id, name) for name in (batches.OUTPUT, batches.ERRORS)}
    whole = {name: hashed(reporter.storage.open(parts)) for name, parts in made.items() if parts}
    with reporter.database.session() as session:
        batches.finish(session, batch, reporter.token, whole)


def shards(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Lines that hold something, some hundreds at a time: always the same ones of the same file."""
    rest, lines, size = b"", list[bytes](), 0
    for chunk in chain(chunks, [b"\n"]):
        whole, end, tail = chunk.rpartition(b"\n")
        if not end:
            rest = (rest + tail)[: MOST_LINE + 1]  # enough of a line that is too long to be refused for it
            continue
        for line in (rest + whole).split(b"\n"):
            if line.strip():
                lines.append(line)
                size += len(line)
            if len(lines) == SHARD_LINES or size >= SHARD_BYTES:
                yield lines
                lines, size = [], 0
        rest = tail
    if lines:
        yield lines


def put(reporter: Reporter, batch: Batch, number: int, name: str, rows: Sequence[bytes]) -> Stored:
    return reporter.storage.put(f"batches/{batch.id}/{reporter.token}/{name}-{number}.jsonl", b"".join(rows))


def hashed(chunks: Iterable[bytes]) -> tuple[str, int]:
    """sha256 and number of bytes."""
    found, size = hashlib.sha256(), 0
    for chunk in chunks:
        found.update(chunk)
        size += len(chunk)
    return found.hexdigest(), size
