"""`rootstock serve` as a whole: what it promises when it starts, when something dies, and when it stops."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.e2e.server import Server, alive, descendants, vectors
from tests.servers import PATIENCE, wait_until


def test_what_a_start_promises(start: Callable[[], Server]) -> None:
    server = start()
    assert server.key() in server.said()
    assert server.get("/models")["data"] == []
    assert httpx.get(f"{server.client.base_url}models", timeout=60).status_code == 401
    assert (server.home / "api-key").stat().st_mode & 0o777 == 0o600
    assert server.home.stat().st_mode & 0o777 == 0o700
    second = subprocess.run(
        [sys.executable, "-m", "app.cli", "serve", "--home", str(server.home), "--port", "0"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert f"process id {server.process.pid}" in second.stderr

    family = descendants(server.process.pid)
    assert len(family) >= 5
    server.stop()
    assert alive(family) == {}

    again = start()
    assert again.key() not in again.said()
    assert again.get("/models")["data"] == []


def test_a_start_that_waits_says_what_for(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "app.cli", "serve", "--home", str(tmp_path / "home"), "--port", "0"]
    nowhere = {**os.environ, "ROOTSTOCK_BROKER_URL": "redis://127.0.0.1:1/0"}
    said = tmp_path / "said"
    with said.open("wb") as output:
        process = subprocess.Popen(command, env=nowhere, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_until(
            lambda: "rootstock: not ready yet: the broker does not answer\n" in said.read_text(), "what it waits for"
        )
        assert "ready at" not in said.read_text()
    finally:
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_what_dies_is_started_again(start: Callable[[], Server]) -> None:
    server = start()
    for word, name in (("app.cli api", "api"), ("valkey-server", "broker"), ("-Q data", "data worker")):
        os.kill(server.child(word), signal.SIGKILL)
        server.wait(lambda: f"{name} died (SIGKILL), starts again in" in server.said())  # noqa: B023 - called at once
    guard = server.child("app.guard")
    os.kill(guard, signal.SIGKILL)
    server.wait(lambda: server.children("app.guard") not in ([], [guard]))
    vectors(server)  # an upload, a ring and a data job: everything that died is needed
    family = descendants(server.process.pid)
    server.stop()
    assert alive(family) == {}


def test_a_killed_supervisor_leaves_nothing_behind(start: Callable[[], Server]) -> None:
    server = start()
    server.wait(
        lambda: any("worker.processes.process" in command for command in descendants(server.process.pid).values())
    )
    family = descendants(server.process.pid)
    server.process.kill()
    server.wait(lambda: alive(family) == {})
    assert start().get("/models")["data"] == []
