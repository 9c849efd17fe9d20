"""The files that a batch gives: of what it was answered and what it was refused. Knows no job's states."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.registry import files
from app.registry import objects as stored
from app.registry.tables import Batch, Job

OUTPUT, ERRORS = "output", "errors"


def give(session: Session, batch: Batch, name: str, parts: Sequence[stored.Bytes], sha256: str, ending: str) -> None:
    """Makes a file of `parts`, whose whole has that hash, and gives it to the batch."""
    file = files.create(
        session,
        project_id=batch.project_id,
        filename=f"{batch.id}_{name}.{ending}",
        purpose="batch_output",
        objects=parts,
        sha256=sha256,
        size_bytes=sum(part.size_bytes for part in parts),
    )
    if name == OUTPUT:
        batch.output_file_id = file.id
    else:
        batch.error_file_id = file.id
    session.flush()


def files_of_ended(session: Session, job: Job) -> None:
    """Keeps what a batch was answered whose job ended before its last shard."""
    for batch in session.scalars(sa.select(Batch).where(Batch.job_id == job.id)).all():
        for name, sha256 in (batch.hashes or {}).items():
            if parts := stored.shards(session, job.id, name):
                give(session, batch, name, parts, sha256, "jsonl")
