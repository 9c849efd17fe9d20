import time
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from app.disk import has_room
from app.queue import waiting
from app.registry import checkpoints, datasets, fenced, jobs, keys, leases, objects
from app.registry.db import Database
from app.registry.tables import Job
from app.settings import Settings
from app.storage import Storage, storage_at
from app.sweep import Sweeper, remove_kept_long_enough, remove_orphans, ring_again, take_back
from tests import rows
from tests.little_room import little_room
from tests.servers import wait_until


@pytest.fixture
def settings(tmp_path: Path, valkey_url: str) -> Settings:
    return Settings(home=tmp_path, broker_url=valkey_url, sweep_seconds=0.1, orphan_seconds=0)


@pytest.fixture
def folder(tmp_path: Path) -> Storage:
    return storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", 2**20)


def queue_job(database: Database) -> Job:
    with database.session() as session:
        keys.bootstrap(session)
        project_id = keys.all(session)[0].project_id
        return jobs.create(session, project_id=project_id, kind="pretrain", queue="train", request={})


def test_a_job_that_nobody_was_told_of_is_rung_once(database: Database, settings: Settings) -> None:
    queue_job(database)
    time.sleep(settings.sweep_seconds)
    for _ in range(3):
        ring_again(settings, database)
    assert settings.broker_url is not None
    assert waiting(settings.broker_url, "train") == 1


def test_a_job_that_runs_is_not_rung(database: Database, settings: Settings) -> None:
    job = queue_job(database)
    with database.session() as session:
        assert leases.claim(session, job.id, "here", 60) is not None
    time.sleep(settings.sweep_seconds)
    take_back(settings, database)
    ring_again(settings, database)
    assert settings.broker_url is not None
    assert waiting(settings.broker_url, "train") == 0


def test_a_job_whose_worker_fell_silent_is_taken_back_and_rung(database: Database, settings: Settings) -> None:
    job = queue_job(database)
    with database.session() as session:
        leases.claim(session, job.id, "here", -1)
    take_back(settings, database)
    with database.reading() as session:
        taken = jobs.load(session, job.id)
    assert (taken.status, taken.attempt) == ("queued", 2)
    assert settings.broker_url is not None
    assert waiting(settings.broker_url, "train") == 1


def test_a_sweep_without_a_broker_still_takes_back(database: Database, tmp_path: Path) -> None:
    job = queue_job(database)
    with database.session() as session:
        leases.claim(session, job.id, "here", -1)
    settings = Settings(home=tmp_path, broker_url="redis://127.0.0.1:1/0")
    take_back(settings, database)
    ring_again(settings, database)
    with database.reading() as session:
        assert jobs.load(session, job.id).status == "queued"


def test_bytes_die_when_nothing_refers_to_them(database: Database, storage: Storage, tmp_path: Path) -> None:
    kept, released = storage.put("files/kept", b"kept"), storage.put("files/released", b"released")
    storage.put("files/unknown", b"never came to a row")
    with database.session() as session:
        objects.hold(session, "file-1", {"content": kept})
        objects.hold(session, "file-2", {"content": released})
        objects.release(session, "file-2")
    remove_orphans(Settings(home=tmp_path, orphan_seconds=3600), database, storage)
    assert {key for key, _ in storage.listing()} == {"files/kept", "files/released", "files/unknown"}
    time.sleep(1.1)  # stores tell an object's age in whole seconds
    remove_orphans(Settings(home=tmp_path, orphan_seconds=0), database, storage)
    assert {key for key, _ in storage.listing()} == {"files/kept"}
    with database.reading() as session:
        assert objects.known(session, ["files/kept", "files/released"]) == {"files/kept"}


def test_a_clock_that_is_hours_ahead_removes_nothing_on_its_way(
    database: Database, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.put("files/new", b"its row is about to be written")
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() + 7200)
    remove_orphans(Settings(home=tmp_path, orphan_seconds=3600), database, storage)
    assert [key for key, _ in storage.listing()] == ["files/new"]


def test_only_what_nothing_needs_is_kept_no_longer(database: Database, tmp_path: Path) -> None:
    with database.session() as session:
        project = rows.project(session)
        unused = rows.file(session, project)
        older, busy, newer = (rows.dataset(session, project) for _ in range(3))
        alone = rows.dataset(session, rows.project(session, "elsewhere"))
        failed, validating = rows.dataset(session, project, "failed"), rows.dataset(session, project, "validating")
        rows.job(session, project, datasets=[busy])
        ended, running = rows.job(session, project), rows.job(session, project)
        saved = {job.id: save(session, job) for job in (ended, running)}
        fenced.succeed(session, ended.id, 1)

    assert remove_kept_long_enough(Settings(home=tmp_path), database) == [], "nobody said that anything goes"
    names = [name for name in Settings.model_fields if name.startswith("keep_")]
    settings = [Settings.model_validate({"home": tmp_path, **dict.fromkeys(names, age)}) for age in (3600, 0)]
    assert remove_kept_long_enough(settings[0], database) == [], "nothing is that old"
    gone = remove_kept_long_enough(settings[1], database)

    assert [each.id for each in gone] == [unused.id, failed.id, older.id, saved[ended.id]]
    with database.reading() as session:
        for kept in (busy, newer, alone, validating):
            assert datasets.get(session, kept.project_id, kept.id).id == kept.id
        assert [row.id for row in checkpoints.newest(session, running.id)] == [saved[running.id]]


def save(session: Session, job: Job) -> str:
    token = rows.claim(session, job).token
    saved = checkpoints.add(session, job.id, token, step=1, metrics={}, objects={"state": rows.stored()})
    return saved.id


def test_a_lease_that_ended_on_a_full_disk_says_nothing_of_its_worker(
    sqlite_registry: Database, settings: Settings, folder: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who could not write that it lives has a lease's time to do so once there is room."""
    job = queue_job(sqlite_registry)
    with sqlite_registry.session() as session:
        claimed = leases.claim(session, job.id, "here", -1)
    assert claimed is not None
    sweeper = Sweeper(settings.model_copy(update={"lease_seconds": 60.0}), sqlite_registry, folder)
    found: list[bool] = []

    def looks(at: Path) -> bool:
        """At the beginning of each sweep."""
        found.append(has_room(at))
        return found[-1]

    monkeypatch.setattr("app.sweep.has_room", looks)
    try:
        with little_room(2**19):
            sweeper.start()
            wait_until(lambda: found[2:] != [], "sweeps of a full disk")
        wait_until(lambda: found[-2:] == [True, True], "a whole sweep with room again")
        with sqlite_registry.session() as session:
            assert leases.heartbeat(session, job.id, claimed.token, 30) is None
    finally:
        sweeper.stop()


def test_the_thread_goes_on_after_a_sweep_that_failed(
    settings: Settings, folder: Storage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(f"sqlite:///{tmp_path}/late.db")
    sweeper = Sweeper(settings, database, folder)
    sweeper.start()
    try:
        while "a sweep failed" not in caplog.text:  # there are no tables yet
            time.sleep(0.05)
        database.migrate()
        queue_job(database)
        assert settings.broker_url is not None
        while waiting(settings.broker_url, "train") == 0:
            time.sleep(0.05)
    finally:
        sweeper.stop()
        database.close()
