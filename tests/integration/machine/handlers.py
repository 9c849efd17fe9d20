"""Jobs for tests of the machine: they count, save their count, and misbehave as their request says. No learning."""

import os
import time

from app.registry import fenced, jobs
from worker.progress import Reporter, Stopped

STEP_SECONDS = 0.05


def count(reporter: Reporter) -> None:
    """Counts to `steps`, going on from where an earlier attempt saved.

    `crash` ends the process, `deaf` ignores a request to leave, `silent` keeps away from the database until the end.
    """
    with reporter.database.reading() as session:
        job = jobs.load(session, reporter.job_id)
    request = job.request
    reporter.event("message", "at work", data={"pid": os.getpid()})
    if request.get("crash"):
        os._exit(7)
    step = int(job.progress.get("step", 0))
    while step < request["steps"]:
        time.sleep(STEP_SECONDS)
        step += 1
        if not request.get("silent"):
            reporter.progress({"step": step})
        if reporter.stop.is_set() and not request.get("deaf"):
            raise Stopped
    with reporter.database.session() as session:
        fenced.succeed(session, reporter.job_id, reporter.token, metrics={"counted": step})
