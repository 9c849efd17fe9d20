"""Repairs what a crash leaves behind: takes back expired leases, rings lost bells again, removes what is kept no
longer, remembered requests and orphaned bytes.

Runs in every API and worker process; any number of them may sweep at once.
"""

import contextlib
import logging
import random
import shutil
import threading
import time
from collections.abc import Callable
from itertools import islice

from sqlalchemy.exc import DBAPIError

from app.disk import has_room
from app.errors import NotReady
from app.queue import TASKS, enqueue, trouble, waiting
from app.registry import idempotency, leases, objects, retention
from app.registry.db import Database, refusal
from app.settings import Settings
from app.storage import Storage

log = logging.getLogger(__name__)

BATCH = 1000
SCRATCH_SECONDS = 24 * 3600.0


def clear_up(settings: Settings, database: Database, storage: Storage) -> None:
    """Lets go of whatever is kept no longer."""
    forget_requests(database)
    remove_kept_long_enough(settings, database)
    remove_orphans(settings, database, storage)
    remove_scratch(settings)


def take_back(settings: Settings, database: Database) -> None:
    """Frees the jobs of workers that have fallen silent."""
    with database.session() as session:
        expired = [(job.id, job.queue, job.status) for job in leases.expire(session)]
    for job_id, queue, status in expired:
        log.warning("%s was taken back from a worker that fell silent; it is now %s", job_id, status)
        if status == "queued" and settings.broker_url:
            enqueue(settings.broker_url, queue, job_id)


def ring_again(settings: Settings, database: Database) -> None:
    """Rings for jobs that wait although no message does; a queue that has messages needs no help."""
    for queue in TASKS:
        if settings.broker_url and waiting(settings.broker_url, queue) == 0:
            with database.session() as session:
                lost = leases.to_ring(session, queue, idle_seconds=settings.sweep_seconds)
            for job_id in lost:
                enqueue(settings.broker_url, queue, job_id)


def forget_requests(database: Database) -> None:
    """Forgets the answers to requests that nobody may repeat any more."""
    with database.session() as session:
        idempotency.forget_old(session)


def remove_kept_long_enough(
    settings: Settings, database: Database, project_id: str | None = None
) -> list[retention.Due]:
    """Removes what the settings keep no longer, of one project or of all, and says what. Its bytes become orphans."""
    with database.reading() as session:
        listed = retention.due(session, settings.retention, project_id)
    removed = []
    for each in listed:
        with database.session() as session:  # one by one: what is in use now stops none of the others
            gone = retention.remove(session, each)
        if gone:
            log.info("%s %s was removed after %.0f s: %s", each.kind, each.id, each.age_seconds, each.reason)
            removed.append(each)
    return removed


def remove_orphans(settings: Settings, database: Database, storage: Storage) -> None:
    """Removes bytes that nothing refers to: those with a row first, then those that no row ever came to know."""
    age = settings.orphan_seconds
    while True:
        with database.session() as session:
            keys = objects.orphans(session, age, BATCH)
            forgotten = objects.forget(session, keys)
        storage.delete(forgotten)
        if len(keys) < BATCH:
            break
    stored = storage.listing()
    while listed := dict(islice(stored, BATCH)):
        with database.reading() as session:
            unknown = objects.unknown(session, listed, age)
        storage.delete(unknown)


def remove_scratch(settings: Settings) -> None:
    """Removes what processes of this machine left that were killed: nobody has written to it for a day."""
    for left in settings.scratch.glob("*"):
        with contextlib.suppress(FileNotFoundError):  # it was no leftover
            newest = max(path.stat().st_mtime for path in (left, *left.rglob("*")))
            if time.time() - newest > SCRATCH_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
                log.info("%s was removed: a process that was killed had left it", left)


class Sweeper:
    """A thread that sweeps until it is stopped; bytes, which cost a listing, less often than jobs.

    Leases that ran out while the database took no writes say nothing of their workers, who get another one to be heard.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        storage: Storage,
        also: Callable[[Database], None] = lambda database: None,
    ) -> None:
        """`also` is what this kind of process sees to besides."""
        self.settings, self.database, self.storage, self.also = settings, database, storage, also
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _look(self) -> None:
        """Says at the start what is wrong with store and broker; both are asked again whenever they are needed."""
        with contextlib.suppress(NotReady):
            self.storage.check()
        if self.settings.broker_url:
            trouble(self.settings.broker_url)

    def _run(self) -> None:
        settings = self.settings
        pause = max(settings.sweep_seconds, settings.orphan_seconds / 4)
        next_orphans, trusted = time.monotonic() + pause, 0.0
        told: str | None = None
        self._look()
        while not self._stopped.wait(settings.sweep_seconds * random.uniform(0.8, 1.2)):
            if self.database.folder is not None and not has_room(self.database.folder):
                trusted = time.monotonic() + settings.lease_seconds
            try:
                if time.monotonic() >= trusted:
                    take_back(settings, self.database)
                ring_again(settings, self.database)
                if time.monotonic() >= next_orphans:
                    clear_up(settings, self.database, self.storage)
                    next_orphans = time.monotonic() + pause
                self.also(self.database)
            except Exception as error:
                if isinstance(error, DBAPIError):
                    trusted = time.monotonic() + settings.lease_seconds
                problem = refusal(error)
                if problem is None:
                    log.exception("a sweep failed; the next one comes in %g s", settings.sweep_seconds)
                elif problem != told:
                    log.warning("a sweep failed, and others follow every %g s: %s", settings.sweep_seconds, problem)
                told = problem
            else:
                told = None
