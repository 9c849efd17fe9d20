"""The checkpoints of a job: bytes exist once a row committed under the job's token names them. Knows no tensor."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import CheckpointGone, NotFound
from app.registry import objects as stored
from app.registry.ids import is_id, new_id
from app.registry.metrics import finite
from app.registry.page import Page, behind, paginate
from app.registry.states import hold
from app.registry.tables import Checkpoint, Job

PREFIX = "ckpt-"
PUBLISH = "publish"
"""Kind of the jobs that make a model of a checkpoint. Such a job holds the checkpoint's bytes until it has ended."""
NEWEST_FIRST = (Checkpoint.step.desc(), Checkpoint.token.desc(), Checkpoint.id.desc())
"""How a job's checkpoints are ordered. Clocks tell two of the same millisecond no more."""


def add(
    session: Session,
    job_id: str,
    token: int,
    *,
    step: int,
    metrics: Mapping[str, Any],
    objects: Mapping[str, stored.Bytes | Sequence[stored.Bytes]],
    write_seconds: float | None = None,
) -> Checkpoint:
    """Registers a checkpoint whose bytes are already stored, which took `write_seconds`.

    Raises Fenced when the token is stale.
    """
    hold(session, job_id, token)
    checkpoint = Checkpoint(
        id=new_id(PREFIX),
        job_id=job_id,
        token=token,
        step=step,
        metrics=finite(metrics),
        size_bytes=stored.total_bytes(objects),
        write_seconds=write_seconds,
    )
    session.add(checkpoint)
    session.flush()
    stored.hold(session, checkpoint.id, objects)
    return checkpoint


def newest(session: Session, job_id: str) -> list[Checkpoint]:
    """All checkpoints of the job, the one to go on from first."""
    statement = sa.select(Checkpoint).where(Checkpoint.job_id == job_id)
    return list(session.scalars(statement.order_by(*NEWEST_FIRST)))


def get(session: Session, job_id: str, checkpoint_id: str) -> Checkpoint:
    """Raises CheckpointGone for one that is kept no longer, NotFound for an id that no checkpoint of the job had."""
    found = session.scalar(sa.select(Checkpoint).where(Checkpoint.job_id == job_id, Checkpoint.id == checkpoint_id))
    if found is not None:
        return found
    kept = [row.id for row in newest(session, job_id)]
    if kept and is_id(checkpoint_id, PREFIX) and job_id.removeprefix("job-") < checkpoint_id.removeprefix(PREFIX):
        raise CheckpointGone(f"{job_id} no longer keeps {checkpoint_id}; what it keeps is {' and '.join(kept)}")
    raise NotFound(f"{job_id} has no checkpoint {checkpoint_id!r}")


def publications(session: Session, checkpoint_ids: Collection[str]) -> Sequence[Job]:
    """The jobs that make models of these checkpoints, or did, oldest first."""
    source = Job.spec["checkpoint"].as_string()
    return session.scalars(sa.select(Job).where(Job.kind == PUBLISH, source.in_(checkpoint_ids)).order_by(Job.id)).all()


def list_page(session: Session, job_id: str, *, limit: int, after: str | None, descending: bool) -> Page[Checkpoint]:
    statement = sa.select(Checkpoint).where(Checkpoint.job_id == job_id)
    return paginate(session, statement, Checkpoint.id, limit=limit, after=behind(after, PREFIX), descending=descending)


def supersede(session: Session, job_id: str, kept: int) -> list[str]:
    """Drops all but the newest `kept` checkpoints of the job and forgets the bytes that nothing else holds.

    Returns the keys of these, which are to be removed once that is committed: left to the sweep, an hour's checkpoints
    would lie on the disk.
    """
    dropped = newest(session, job_id)[kept:]
    keys = [part.key for row in dropped for parts in stored.held(session, row.id).values() for part in parts]
    for row in dropped:
        drop(session, row.id)
    return stored.forget(session, keys)


def drop(session: Session, checkpoint_id: str) -> None:
    """Removes a checkpoint; its bytes die in the sweep. Repeating does no harm."""
    stored.release(session, checkpoint_id)
    session.execute(sa.delete(Checkpoint).where(Checkpoint.id == checkpoint_id))
