"""The checkpoints of a job: bytes exist once a row committed under the job's token names them. Knows no tensor."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.registry import objects as stored
from app.registry.ids import new_id
from app.registry.metrics import finite
from app.registry.page import Page, paginate
from app.registry.states import hold
from app.registry.tables import Checkpoint


def add(
    session: Session,
    job_id: str,
    token: int,
    *,
    step: int,
    metrics: Mapping[str, Any],
    objects: Mapping[str, stored.Bytes | Sequence[stored.Bytes]],
) -> Checkpoint:
    """Registers a checkpoint whose bytes are already stored.

    Raises Fenced when the token is stale.
    """
    hold(session, job_id, token)
    size = stored.total_bytes(objects)
    checkpoint = Checkpoint(
        id=new_id("ckpt-"), job_id=job_id, token=token, step=step, metrics=finite(metrics), size_bytes=size
    )
    session.add(checkpoint)
    session.flush()
    stored.hold(session, checkpoint.id, objects)
    return checkpoint


def newest(session: Session, job_id: str) -> list[Checkpoint]:
    """All checkpoints of the job, the one to go on from first."""
    statement = sa.select(Checkpoint).where(Checkpoint.job_id == job_id)
    order = (Checkpoint.step.desc(), Checkpoint.token.desc(), Checkpoint.id.desc())
    return list(session.scalars(statement.order_by(*order)))


def list_page(session: Session, job_id: str, *, limit: int, after: str | None, descending: bool) -> Page[Checkpoint]:
    statement = sa.select(Checkpoint).where(Checkpoint.job_id == job_id)
    return paginate(session, statement, Checkpoint.id, limit=limit, after=after, descending=descending)


def drop(session: Session, checkpoint_id: str) -> None:
    """Removes a checkpoint; its bytes die in the sweep. Repeating does no harm."""
    stored.release(session, checkpoint_id)
    session.execute(sa.delete(Checkpoint).where(Checkpoint.id == checkpoint_id))
