"""What a job's worker writes of it: its spec, how far it is, how it ended. All of it under the worker's fencing token.

Raises Fenced where the token is stale or the job no longer runs: another worker has it, or its owner ended it.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.registry.metrics import finite
from app.registry.states import Fenced, holder, move
from app.registry.tables import Job


def succeed(
    session: Session,
    job_id: str,
    token: int,
    *,
    version_id: str | None = None,
    output_file_id: str | None = None,
    metrics: dict[str, Any] | None = None,
) -> Job:
    """Ends the job well, even when a cancel was requested meanwhile: the first terminal write wins.

    Raises Fenced when the token is stale or the job no longer runs.
    """
    values: dict[str, Any] = {"version_id": version_id, "output_file_id": output_file_id}
    values |= {} if metrics is None else {"metrics": finite(metrics)}
    return _end(session, job_id, token, "succeeded", message="succeeded", level="info", **values)


def fail(session: Session, job_id: str, token: int, error: dict[str, Any]) -> Job:
    """Ends the job with `error`, the body of a named error.

    Raises Fenced when the token is stale or the job no longer runs.
    """
    error = finite(error)
    return _end(session, job_id, token, "failed", message=error["message"], level="error", error=error)


def _end(session: Session, job_id: str, token: int, to: str, *, message: str, level: str, **values: Any) -> Job:
    job = move(session, to, holder(job_id, token), event=f"job.{to}", message=message, level=level, **values)
    if job is None:
        raise Fenced(job_id, token)
    return job


def set_spec(session: Session, job_id: str, token: int, spec: dict[str, Any], choices: list[Any]) -> None:
    """Stores what the request was resolved to; raises Fenced."""
    _write(session, job_id, token, spec=spec, choices=choices)


def set_progress(
    session: Session, job_id: str, token: int, progress: dict[str, Any], metrics: dict[str, Any] | None = None
) -> None:
    """Stores how far the job is and, if given, its latest metrics; raises Fenced."""
    values = {} if metrics is None else {"metrics": finite(metrics)}
    _write(session, job_id, token, progress=finite(progress), **values)


def _write(session: Session, job_id: str, token: int, **values: Any) -> None:
    statement = sa.update(Job).where(holder(job_id, token)).values(revision=Job.revision + 1, **values)
    written = session.scalar(statement.returning(Job.id), execution_options={"synchronize_session": False})
    if written is None:
        raise Fenced(job_id, token)
