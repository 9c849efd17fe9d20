"""Batches: files of requests that a job answers shard by shard. Knows no request and no answer.

What a shard gave is linked to the job in the transaction that counts it, under the job's token: a restart goes on with
the next shard, and no request is answered twice. However the job ends, its shards become files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import NotFound, WrongState
from app.registry import batch_files, fenced, files, jobs
from app.registry import objects as stored
from app.registry.batch_files import ERRORS as ERRORS
from app.registry.batch_files import OUTPUT as OUTPUT
from app.registry.filters import metadata_equals
from app.registry.ids import new_id
from app.registry.moves import TERMINAL
from app.registry.page import Page, behind, paginate
from app.registry.tables import Batch, Job

SHARD = "shard"


def create(
    session: Session,
    *,
    project_id: str,
    endpoint: str,
    input_file_id: str,
    metadata: Mapping[str, str],
    max_attempts: int,
    output_format: str = "jsonl",
) -> tuple[Batch, Job]:
    """A batch and the job that answers it. Raises NotFound for a file that the project does not have."""
    files.get(session, project_id, input_file_id)
    batch = Batch(
        id=new_id("batch_"),
        project_id=project_id,
        endpoint=endpoint,
        input_file_id=input_file_id,
        status="validating",
        counts={"total": 0, "completed": 0, "failed": 0},
        metadata_=dict(metadata),
    )
    session.add(batch)
    session.flush()
    job = jobs.create(
        session,
        project_id=project_id,
        kind="batch",
        queue="data",
        request={"kind": "batch", "batch": batch.id, "output_format": output_format},
        max_attempts=max_attempts,
    )
    batch.job_id = job.id
    session.flush()
    return batch, job


def get(session: Session, project_id: str, batch_id: str) -> Batch:
    batch = session.scalar(sa.select(Batch).where(Batch.id == batch_id, Batch.project_id == project_id))
    if batch is None:
        raise NotFound(f"no batch {batch_id!r}")
    return batch


def list_page(
    session: Session,
    project_id: str,
    *,
    limit: int,
    after: str | None,
    descending: bool,
    metadata: Mapping[str, str] | None = None,
) -> Page[Batch]:
    wanted = metadata_equals(Batch.metadata_, metadata)
    statement = sa.select(Batch).where(Batch.project_id == project_id, *wanted)
    return paginate(session, statement, Batch.id, limit=limit, after=behind(after, "batch_"), descending=descending)


def delete(session: Session, project_id: str, batch_id: str) -> None:
    """Removes a batch; its files stay. Raises WrongState while its job has not ended."""
    batch = get(session, project_id, batch_id)
    job = jobs.get(session, project_id, batch.job_id or "")
    if job.status not in TERMINAL:
        raise WrongState(f"batch {batch_id} is answered by {job.id}, which is {job.status}; cancel it first")
    session.delete(batch)
    session.flush()


def done(session: Session, batch: Batch) -> int:
    """Shards that are answered."""
    return len([name for name in stored.held(session, _job_id(batch)) if name.startswith(SHARD)])


def add_shard(
    session: Session,
    batch: Batch,
    token: int,
    number: int,
    progress: dict[str, Any],
    given: Mapping[str, stored.Bytes],
    counts: Mapping[str, int],
    hashes: Mapping[str, str],
) -> None:
    """What shard `number` gave: `shard` (always), and `output` and `errors` where there are any.

    `hashes` are the sha256 of all `output` and of all `errors` up to this shard. Raises Fenced.
    """
    fenced.set_progress(session, _job_id(batch), token, progress)
    held = session.get_one(Batch, batch.id)
    held.counts = {key: held.counts[key] + counts[key] for key in held.counts}
    held.hashes = dict(hashes)
    stored.hold(session, _job_id(batch), {f"{name}-{number:09d}": part for name, part in given.items()})


@dataclass(frozen=True)
class Whole:
    """The content of a file that a batch gives."""

    objects: Sequence[stored.Bytes]
    sha256: str
    ending: str


def finish(session: Session, batch: Batch, token: int, given: Mapping[str, Whole]) -> None:
    """Makes files of `given`, by name, and ends the job well. Raises Fenced."""
    held = session.get_one(Batch, batch.id)
    for name, whole in given.items():
        batch_files.give(session, held, name, whole.objects, whole.sha256, whole.ending)
    fenced.succeed(session, _job_id(batch), token, metrics=dict(held.counts))


def _job_id(batch: Batch) -> str:
    assert batch.job_id is not None, f"{batch.id} was made without its job; this is a bug"
    return batch.job_id
