"""A disk that is full, and then no longer: a named error, nothing half-written, and the same request succeeds."""

import resource
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from app.registry.tables import Upload
from app.settings import MIB, Settings
from tests.ingest_bench import Bench
from tests.integration.api.conftest import House, serve
from tests.integration.api.faults import refused
from tests.little_room import little_room
from tests.picture_archives import picture, to_zip
from tests.servers import PATIENCE
from worker.ingest.run import run

ROOM = 2 * MIB
"""Bytes that one file may hold; enough for the registry."""
LARGE = b"a,b\n" + b"1.5,2.5\n" * 400_000
CAPTIONS = "file_name,caption\n" + "".join(f"{n}.png,{'word ' * 2_400}\n" for n in range(200))
ARCHIVE = to_zip({**{f"{n}.png": picture(n) for n in range(200)}, "metadata.csv": CAPTIONS.encode()})
"""Whose metadata file, unpacked, does not fit; packed it does."""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with serve(Settings(home=tmp_path, sweep_seconds=3600)) as running:
        yield running


@pytest.fixture
def bench(house: House, tmp_path: Path) -> Bench:
    return Bench(house.database, house.storage, tmp_path)


@pytest.fixture
def client(house: House, bench: Bench) -> Iterator[httpx.Client]:
    with house.client(house.key(bench.project_id, "read", "train")) as made:
        yield made


def test_an_upload_to_a_full_disk_is_refused_and_leaves_nothing(house: House, client: httpx.Client) -> None:
    opening = {"filename": "d.csv", "purpose": "pretrain", "bytes": len(LARGE), "mime_type": "text/csv"}
    upload = client.post("/v1/uploads", json=opening).json()["id"]
    requests: list[dict[str, Any]] = [
        {"url": "/v1/files", "data": {"purpose": "pretrain"}, "files": {"file": ("d.csv", LARGE)}},
        {"url": f"/v1/uploads/{upload}/parts", "files": {"data": ("part", LARGE)}},
        {"url": "/v1/datasets", "data": {"name": "d"}, "files": {"file": ("d.csv", LARGE)}},
    ]
    with little_room(ROOM):
        for request in requests:
            message = refused(client.post(**request), 507, "insufficient_storage")
            assert "File too large" in message
            assert "larger disk" in message
            assert list(house.storage.listing()) == []
        assert client.get("/v1/files").json()["data"] == []
        assert client.get("/v1/datasets").json()["data"] == []
        small = client.post("/v1/files", data={"purpose": "pretrain"}, files={"file": ("s.csv", LARGE[:1000])})
        assert small.status_code == 200
    for request in requests:
        assert client.post(**request).is_success


def test_a_registry_that_is_full_refuses_by_name(house: House, client: httpx.Client) -> None:
    """SQLite's own bound stands for the disk: its refusal (SQLITE_FULL) is the one that it gives for ENOSPC."""
    opening = {"filename": "d" * 200, "purpose": "pretrain", "bytes": 1, "mime_type": "text/csv"}

    def bound(connection: sqlite3.Connection, *how: Any) -> None:
        connection.execute("PRAGMA max_page_count=1")  # as many as there are already

    def unbound(connection: sqlite3.Connection, *how: Any) -> None:
        connection.execute("PRAGMA max_page_count=4294967294")

    sa.event.listen(house.database.engine, "checkout", bound)
    made = 0
    while (answer := client.post("/v1/uploads", json=opening)).is_success:
        made += 1
    assert "database" in refused(answer, 507, "insufficient_storage")
    assert client.get("/v1/files").is_success
    sa.event.remove(house.database.engine, "checkout", bound)
    sa.event.listen(house.database.engine, "checkout", unbound)
    client.post("/v1/uploads", json=opening).raise_for_status()
    with house.database.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Upload)) == made + 1


@pytest.mark.parametrize(
    ("name", "content", "rows"), [("d.csv", LARGE, 400_000), ("d.zip", ARCHIVE, 200)], ids=["table", "archive"]
)
def test_an_ingest_on_a_full_disk_fails_by_name_and_can_be_tried_again(
    bench: Bench, client: httpx.Client, name: str, content: bytes, rows: int
) -> None:
    dataset = bench.create({name: content}, profile="basic")
    with bench.process() as process:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (ROOM, resource.RLIM_INFINITY))
        bench.order(process, dataset, 600.0)
        assert process.wait(PATIENCE) == 0

    job, failed = bench.job(dataset), client.get(f"/v1/datasets/{dataset.id}").json()
    assert job.error is not None
    assert (job.status, job.error["code"]) == ("failed", "insufficient_storage")
    assert (failed["status"], failed["error"]) == ("failed", job.error)
    assert str(bench.settings.folder / "scratch") in job.error["message"]
    assert list((bench.settings.folder / "scratch").iterdir()) == []
    assert list(bench.storage.listing("datasets")) == []

    client.post(f"/v1/jobs/{job.id}/retry").raise_for_status()
    assert bench.look(dataset).status == "validating"
    run(bench.claim(dataset, threading.Event()))
    ready = bench.look(dataset)
    assert (ready.status, ready.rows, ready.error) == ("ready", rows, None)
