"""Answers for running jobs: claims them, starts their processes, keeps leases, hears cancel and pause, tells the end.

A job whose lease runs out while the database does not answer is handed back when it does. Knows no torch and no Celery.
"""

import logging
import signal
import subprocess
import threading
import time

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.errors import TrainerCrashed
from app.queue import enqueue
from app.registry import jobs, leases
from app.registry.db import Database, is_full
from app.registry.states import Fenced
from app.settings import Settings
from worker.processes.launcher import Launcher, kill, release
from worker.processes.process import LEFT, Order

log = logging.getLogger(__name__)

OUTAGE = (DBAPIError, PoolTimeout)
"""What SQLAlchemy raises while the database cannot be reached."""
LOOK_SECONDS = 0.25
"""How soon the end of a process, or of this worker, is noticed."""
BEAT_SECONDS = 1.0
"""How soon a request to cancel or to pause is heard."""


class Supervisor:
    """Runs jobs for one worker process; one thread of it runs one job at a time."""

    def __init__(self, settings: Settings, database: Database, launcher: Launcher, worker: str) -> None:
        self.settings, self.database, self.launcher, self.worker = settings, database, launcher, worker
        self.stopping = threading.Event()
        """Set when this worker is asked to leave: its jobs are saved and handed back."""

    def run(self, job_id: str, queue: str) -> None:
        """Does the job if it is there to be done: a ring that came late or twice finds nothing to claim."""
        if self.stopping.is_set():
            return  # the sweep rings again, elsewhere
        begun = time.monotonic()
        try:
            with self.database.session() as session:
                claim = leases.claim(session, job_id, self.worker, self.settings.lease_seconds)
        except OUTAGE as error:
            log.warning("%s was not claimed, the sweep will ring again: %s", job_id, error)
            return
        if claim is not None:
            log.info("%s is running: %s, attempt %d", job_id, claim.kind, claim.attempt)
            Watch(self, claim, queue, begun).watch()


class Watch:
    """One claimed job and its process, until the registry knows how it ended."""

    def __init__(self, supervisor: Supervisor, claim: leases.Claim, queue: str, begun: float) -> None:
        self.supervisor, self.claim, self.queue = supervisor, claim, queue
        self.settings = supervisor.settings
        self.begun = begun
        self.lease_ends = begun + self.settings.lease_seconds
        """By our own clock, counted from before the call that extended it: never later than the registry's."""
        self.kill_at: float | None = None
        """When the process, which has been asked to leave, will be killed."""
        self.killed = False
        """True once it was, since it had not left by then."""
        self.silenced = False
        """True when it was killed since the database did not answer for longer than the lease."""

    def watch(self) -> None:
        claim = self.claim
        process = self.supervisor.launcher.launch(Order(claim.job_id, claim.token, claim.kind))
        try:
            if self.accompany(process):
                self.settle(process.returncode)
        finally:
            kill(process)

    def accompany(self, process: "subprocess.Popen[bytes]") -> bool:
        """Keeps the lease until the process has ended; False when the job is another worker's.

        A process whose lease has run out is ended: nobody knows meanwhile whose the job is.
        """
        beat_seconds = min(BEAT_SECONDS, self.settings.lease_seconds / 5)
        next_beat = time.monotonic() + beat_seconds
        while not ended(process, LOOK_SECONDS):
            if self.supervisor.stopping.is_set():
                self.ask_to_leave(process)
            if time.monotonic() >= next_beat:
                next_beat = time.monotonic() + beat_seconds
                try:
                    if self.beat():
                        self.ask_to_leave(process)
                except Fenced:
                    # Also the moment between a job's last write and the end of its process: killing is right then, too.
                    self.log_end()
                    return False
                except OUTAGE as error:
                    log.warning("no heartbeat for %s: %s", self.claim.job_id, error)
                    self.wait_on(error)
            if time.monotonic() > self.lease_ends:
                log.error("the lease of %s has run out while the database did not answer", self.claim.job_id)
                self.silenced = True
                kill(process)
                break
            if self.kill_at is not None and time.monotonic() > self.kill_at:
                log.error("%s did not leave in %g s and is killed", self.claim.job_id, self.settings.stop_seconds)
                self.killed = True
                kill(process)
        return True

    def beat(self) -> str | None:
        """Extends the lease; tells what the job's owner asks for. Raises Fenced."""
        begun, lease = time.monotonic(), self.settings.lease_seconds
        with self.supervisor.database.session() as session:
            requested = leases.heartbeat(session, self.claim.job_id, self.claim.token, lease)
        self.lease_ends = begun + lease
        return requested

    def wait_on(self, error: DBAPIError | PoolTimeout) -> None:
        """Keeps the lease where the database's disk is full: nobody can be given the job then, and it waits for room.

        Whoever takes it back as soon as there is some is heard at the next heartbeat.
        """
        if isinstance(error, DBAPIError) and is_full(error):
            self.lease_ends = time.monotonic() + self.settings.lease_seconds

    def ask_to_leave(self, process: "subprocess.Popen[bytes]") -> None:
        if self.kill_at is None:
            log.info("%s is asked to leave", self.claim.job_id)
            self.kill_at = time.monotonic() + self.settings.stop_seconds
            process.send_signal(signal.SIGTERM)

    def settle(self, status: int) -> None:
        """Writes how the process ended, unless its job has done so, and rings if it is to be taken up again."""
        claim = self.claim
        # one that was asked to leave before it could hear ends by the asking, and has nothing to save
        left = status == LEFT or self.silenced or (status == -signal.SIGTERM and self.kill_at is not None)
        words = describe(status)
        if self.killed:
            words = f"its process did not leave within {self.settings.stop_seconds:g} s after it was asked to"
        elif self.silenced:
            words = "its process was ended, since the database did not answer for longer than a lease"
        while True:
            try:
                with self.supervisor.database.session() as session:
                    if left:
                        now = leases.leave(session, claim.job_id, claim.token)
                    else:
                        now = leases.lose(session, claim.job_id, claim.token, TrainerCrashed(words).body())
                break
            except Fenced:
                self.log_end()  # the usual case: it ended by itself and wrote so
                return
            except OUTAGE as error:
                if self.supervisor.stopping.is_set() and time.monotonic() > self.lease_ends:
                    log.error("nobody could be told how %s ended: %s", claim.job_id, error)
                    return
                time.sleep(LOOK_SECONDS)
        log.info("%s: %s; the job is now %s", claim.job_id, words, now)
        if now == "queued":
            enqueue(self.settings.broker_url or "", self.queue, claim.job_id)

    def log_end(self) -> None:
        """Says how a job ended that needs no settling any more, or that another worker has it."""
        job_id, seconds = self.claim.job_id, time.monotonic() - self.begun
        try:
            with self.supervisor.database.reading() as session:
                status = jobs.load(session, job_id).status
        except OUTAGE as error:
            log.warning("nobody could be asked how %s ended: %s", job_id, error)
            return
        if status == "running":
            log.info("%s is no longer this worker's, after %.1f s", job_id, seconds)
        else:
            log.info("%s is %s, after %.1f s", job_id, status, seconds)


def ended(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    """Waits for the end of the process, `seconds` at most."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    release(process)
    return True


def describe(status: int) -> str:
    """An exit status in words."""
    if status == LEFT:
        return "its process left"
    if status >= 0:
        return f"its process ended with status {status}, see the worker's log"
    name = signal.Signals(-status).name
    cause = ", as happens when memory runs out" if name == "SIGKILL" else ""
    return f"its process was killed by {name}{cause}"
