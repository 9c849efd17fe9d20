"""Decides what trainings do that were asked for while their data were still being checked, once those are ready.

A worker would do so itself, but may be free only in hours: whoever asked for what cannot be hears of it here.
"""

from pydantic import ValidationError

from app.errors import Invalid
from app.ml.jobs.train import JobRequest
from app.ml.resolving.defaults import resolve
from app.registry import undecided
from app.registry.db import Database


def decide_waiting(database: Database) -> None:
    """Resolves each, or fails it with the reason. Any number of processes may do so at once."""
    with database.reading() as session:
        waiting = undecided.waiting(session)
    for job in waiting:
        try:
            made = resolve(JobRequest.validate_python(job.request), job.profiles, job.base, name=job.name)
        except ValidationError:  # asked of another release; the worker that takes it will say so
            continue
        except Invalid as error:
            with database.session() as session:
                undecided.refuse(session, job.id, error.body())
        else:
            with database.session() as session:
                undecided.decide(session, job.id, made.spec.model_dump(mode="json"), list(made.choices))
