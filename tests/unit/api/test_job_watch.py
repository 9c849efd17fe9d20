"""A waiter hears of the change that it has not seen, however many wait, and of no other."""

import asyncio
from pathlib import Path

import pytest

from app.api.job_watch import Stamp, Watcher
from app.registry import events
from app.registry.db import Database
from tests import rows


@pytest.fixture
def database(sqlite_registry: Database) -> Database:
    return sqlite_registry


def test_only_who_has_not_seen_it_is_woken(database: Database) -> None:
    with database.session() as session:
        project = rows.project(session)
        job, other = rows.job(session, project), rows.job(session, project)

    async def wait() -> list[bool]:
        watcher = Watcher(database)
        watcher.start()
        seen = Stamp(job.revision, job.events)
        waiting = [asyncio.create_task(watcher.changed(job.id, seen, 20)) for _ in range(20)]
        idle = asyncio.create_task(watcher.changed(other.id, Stamp(other.revision, other.events), 2))
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in waiting)
        with database.session() as session:
            events.add(session, job.id, type="message", message="grown")
        woken = await asyncio.gather(*waiting, idle, watcher.changed(job.id, seen, 20))
        await watcher.close()
        return woken

    assert asyncio.run(wait()) == [True] * 20 + [False, True]


def test_a_database_that_fails_for_a_while_is_asked_again(database: Database, tmp_path: Path) -> None:
    with database.session() as session:
        job = rows.job(session, rows.project(session))
    absent = Database(f"sqlite:///{tmp_path}/later.db")

    async def wait() -> bool:
        watcher = Watcher(absent)
        watcher.start()
        waiting = asyncio.create_task(watcher.changed(job.id, Stamp(-1, -1), 30))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        await asyncio.to_thread(absent.migrate)
        with absent.session() as session:
            made = rows.job(session, rows.project(session))
        heard = await watcher.changed(made.id, Stamp(-1, -1), 30)
        waiting.cancel()
        await watcher.close()
        return heard

    assert asyncio.run(wait())
    absent.close()
