"""The handler of an `embed` job: a dataset in, a file of its embeddings out, shard by shard.

What a shard gave is committed before the next one begins, so that a restart computes nothing twice and no row is there
twice; bytes are written first, under keys that hold the job's token.
"""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from app.dataset import Dataset, open_dataset
from app.dataset_options import SPLITS
from app.errors import DoesNotFit, InferenceFailed
from app.ml.jobs.embed import EmbedJob, role_read
from app.ml.jobs.evaluate import refusing
from app.ml.jobs.network import NetworkSpec
from app.ml.operations.embed import Embed, EmbedRequest
from app.registry import fenced, files, jobs, objects
from app.registry.tables import Dataset as DatasetRow
from app.registry.tables import Job
from worker.handlers import computing
from worker.handlers.batch import hashed
from worker.handlers.columnar import put_parquet
from worker.progress import Reporter

SHARD_ROWS = 2048
SHARD = "shard"
OPERATION = Embed()


@dataclass(frozen=True)
class Piece:
    """Rows of a dataset that lie side by side: what one shard embeds."""

    split: str
    batch: int
    begin: int
    end: int


def run(reporter: Reporter) -> None:
    """Embeds the dataset that the job names. Raises Stopped when asked to leave, and Fenced."""
    with reporter.database.reading() as session:
        job = jobs.load(session, reporter.job_id)
        used = jobs.datasets_of(session, job.id)
        row = session.get_one(DatasetRow, used[0].dataset_id)
        held = objects.held(session, row.id)
        kept = objects.shards(session, job.id, SHARD)
    spec = EmbedJob.model_validate(job.spec)
    model = computing.load(reporter.database, reporter.storage, job.project_id, spec.model)
    dataset = open_dataset({name: reporter.storage.local(parts[0]) for name, parts in held.items()})
    modality = model.loaded.roles[model.loaded.request_role]
    with refusing(model.reference, "embed", row.id):
        role = role_read(NetworkSpec.model_validate(model.loaded.spec), dataset.profile)
    wanted: list[str] = list(SPLITS) if spec.split is None else [spec.split]
    todo = list(pieces(dataset, wanted))
    total, finished, begun = sum(piece.end - piece.begin for piece in todo), 0, time.monotonic()
    if not total:
        raise DoesNotFit(f"the dataset's split {spec.split!r} has no rows", param="split")
    done = len(kept)
    before = sum(piece.end - piece.begin for piece in todo[:done])
    digest = hashed(reporter.storage.open(kept if spec.format == "jsonl" else []))
    asked = EmbedRequest(model=spec.model, input=None, dimensions=spec.dimensions)

    for number, piece in enumerate(todo):
        if number < done:
            continue
        reporter.leave_if_asked()
        split = dataset.splits[piece.split]
        column = split.read(role, piece.batch)[piece.begin : piece.end]
        answers = computing.compute(model, OPERATION.ability, modality.encode(column), reporter.leave_if_asked).numpy()
        numbers = split.read("row", piece.batch)[piece.begin : piece.end]
        if not np.isfinite(answers).all():
            bad = int(numbers[~np.isfinite(answers).all(axis=1)][0])
            raise InferenceFailed(f"model {model.reference} answered row {bad} with a number that is not finite")
        answers = OPERATION.adapt(asked, model.loaded.network, answers)
        content = packed(numbers, piece.split, answers, spec.format)
        digest.update(content)
        finished += len(answers)
        elapsed = time.monotonic() - begun
        share = (before + finished) / total
        progress: dict[str, Any] = {
            "percentage_done": round(100 * share, 1),
            "step": before + finished,
            "max_steps": total,
            "elapsed_time": elapsed,
            "estimated_remaining_seconds": elapsed * (total - before - finished) / finished,
            "samples_per_second": round(finished / elapsed, 1),
        }
        reporter.when_there_is_room(partial(keep, reporter, number, content, progress))
    name = f"{row.name}-{model.reference.replace(':', '-')}"
    reporter.when_there_is_room(partial(finish, reporter, job, name, spec.format, digest.hexdigest(), total))


def pieces(dataset: Dataset, splits: list[str]) -> Iterator[Piece]:
    """All rows, always in the same pieces."""
    for name in splits:
        for number, size in enumerate(dataset.splits[name].sizes):
            for begin in range(0, size, SHARD_ROWS):
                yield Piece(name, number, begin, min(begin + SHARD_ROWS, size))


def packed(rows: NDArray[np.int64], split: str, embeddings: NDArray[np.float32], form: str) -> bytes:
    """A shard: JSON lines as they will be, else an Arrow stream."""
    if form == "jsonl":
        lines = (
            orjson.dumps({"row": int(row), "split": split, "embedding": one}, option=orjson.OPT_SERIALIZE_NUMPY)
            for row, one in zip(rows, embeddings, strict=True)
        )
        return b"".join(itertools.chain.from_iterable((line, b"\n") for line in lines))
    sink = pa.BufferOutputStream()
    width = embeddings.shape[1]
    values = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.reshape(-1)), width)
    names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(rows), np.int32)), pa.array([split]))
    table = pa.table({"row": pa.array(rows), "split": names.cast(pa.string()), "embedding": values})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def keep(reporter: Reporter, number: int, content: bytes, progress: dict[str, Any]) -> None:
    """Stores a shard; may be tried again. Raises Fenced."""
    stored = reporter.storage.put(reporter.key("embeddings", f"{number}"), content)
    with reporter.database.session() as session:
        fenced.set_progress(session, reporter.job_id, reporter.token, progress)
        objects.hold(session, reporter.job_id, {f"{SHARD}-{number:09d}": stored})


def finish(reporter: Reporter, job: Job, name: str, form: str, sha256: str, rows: int) -> None:
    """Makes one file of the shards, which have that hash as they are, and ends the job well, both or neither.

    May be tried again. Raises Fenced.
    """
    with reporter.database.reading() as session:
        parts = shards = objects.shards(session, job.id, SHARD)
    if form == "parquet":
        tables = (pa.ipc.open_stream(b"".join(reporter.storage.open([shard]))).read_all() for shard in shards)
        stored = put_parquet(reporter, reporter.key("embeddings", "all.parquet"), tables)
        parts, sha256 = [stored], stored.sha256
    with reporter.database.session() as session:
        file = files.create(
            session,
            project_id=job.project_id,
            filename=f"{name}.{form}",
            purpose="batch_output",
            objects=parts,
            sha256=sha256,
            size_bytes=sum(part.size_bytes for part in parts),
        )
        fenced.succeed(session, job.id, reporter.token, output_file_id=file.id, metrics={"rows": rows})
