"""What happened to a job, numbered without gaps so that a replay skips none. Knows no reader."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import NotFound
from app.registry.metrics import finite
from app.registry.page import Page, paginate
from app.registry.states import Fenced, holder
from app.registry.tables import Event, Job


def add(
    session: Session,
    job_id: str,
    *,
    type: str,
    message: str,
    level: str = "info",
    data: dict[str, Any] | None = None,
    token: int | None = None,
) -> Event:
    """Adds an event under the job's next number; the UPDATE holds the job's row, so numbers commit in their order.

    A worker gives its `token`. Raises Fenced when that is stale, NotFound for an unknown job.
    """
    where = Job.id == job_id if token is None else holder(job_id, token)
    statement = sa.update(Job).where(where).values(events=Job.events + 1).returning(Job.events)
    number = session.scalar(statement, execution_options={"synchronize_session": False})
    if number is None:
        raise NotFound(f"no job {job_id!r}") if token is None else Fenced(job_id, token)
    event = Event(job_id=job_id, number=number, type=type, level=level, message=message, data=finite(data or {}))
    session.add(event)
    session.flush()
    return event


def after(session: Session, job_id: str, number: int, limit: int) -> list[Event]:
    """The next `limit` events behind `number`, in order."""
    statement = sa.select(Event).where(Event.job_id == job_id, Event.number > number)
    return list(session.scalars(statement.order_by(Event.number).limit(limit)))


def list_page(session: Session, job_id: str, *, limit: int, after: int | None, descending: bool) -> Page[Event]:
    """A page of events; `after` is an event's number."""
    statement = sa.select(Event).where(Event.job_id == job_id)
    return paginate(session, statement, Event.number, limit=limit, after=after, descending=descending)
