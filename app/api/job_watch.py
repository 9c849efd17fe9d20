"""One task per process that looks which watched jobs have changed and wakes whoever waits; a waiter holds no thread."""

import asyncio
import contextlib
import logging
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from app.registry import overview
from app.registry.db import Database

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.25


class Stamp(NamedTuple):
    """A job has changed when one of these has."""

    revision: int
    events: int


class Watcher:
    """Started and closed with the application, on its event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[asyncio.Future[None], tuple[str, Stamp]] = {}
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def changed(self, job_id: str, seen: Stamp, timeout: float) -> bool:
        """Waits until the job is no longer as `seen`; False when `timeout` seconds have passed."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = (job_id, seen)
        self._wanted.set()
        try:
            await asyncio.wait_for(future, timeout)
        except TimeoutError:
            return False
        finally:
            del self._waiting[future]
        return True

    async def _watch(self) -> None:
        while True:
            await self._wanted.wait()
            if not self._waiting:
                self._wanted.clear()
                continue
            try:
                await self._look()
            except Exception:
                log.exception("cannot look for changed jobs; trying again")
            await asyncio.sleep(PAUSE_SECONDS)

    async def _look(self) -> None:
        watched = {job_id for job_id, _ in self._waiting.values()}
        found = await run_in_threadpool(self._read, watched)
        for future, (job_id, seen) in self._waiting.items():
            if job_id in found and found[job_id] != seen and not future.done():
                future.set_result(None)

    def _read(self, job_ids: set[str]) -> dict[str, tuple[int, int]]:
        with self._database.reading() as session:
            return overview.stamps(session, job_ids)
