"""`rootstock api --workers 2`: connections are spread among its processes, and one that is killed is started again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from app.settings import PREFIX
from tests.e2e.server import descendants
from tests.servers import PATIENCE, free_port

CONNECTIONS = 16


@pytest.fixture
def api(tmp_path: Path, migrated_sqlite: Path) -> Iterator[tuple[str, int]]:
    """Its URL, and the process above the others."""
    (tmp_path / "registry.db").write_bytes(migrated_sqlite.read_bytes())
    port = free_port()
    command = [sys.executable, "-m", "app.cli", "api", "--workers", "2", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | {f"{PREFIX}HOME": str(tmp_path)}, stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(PATIENCE)


def processes(url: str) -> set[str]:
    """Who answers: the ids of one process's requests begin alike."""
    found: set[str] = set()
    with httpx.Client(timeout=PATIENCE, limits=httpx.Limits(max_keepalive_connections=0)) as client:
        for _ in range(CONNECTIONS):
            try:
                found.add(client.get(f"{url}/livez").headers["x-request-id"][:-8])
            except httpx.TransportError:
                time.sleep(0.1)
    return found


def seen(url: str, holds: Callable[[set[str]], bool]) -> set[str]:
    """Who answers, once that is so: any of the connections may happen to go to one process."""
    deadline = time.monotonic() + PATIENCE
    while not holds(found := processes(url)):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return found


def test_connections_are_spread_and_a_process_that_dies_is_started_again(api: tuple[str, int]) -> None:
    url, parent = api
    before = seen(url, lambda found: len(found) == 2)
    serving = [pid for pid, command in descendants(parent).items() if "spawn_main" in command]
    assert len(serving) == 2
    os.kill(serving[0], signal.SIGKILL)
    after = seen(url, lambda found: len(found - before) == 1 and len(found) == 2)
    assert len(after & before) == 1, "and the other one goes on"
