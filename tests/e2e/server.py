"""One `rootstock serve` as its user sees it, and the processes under it."""

import io
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.servers import PATIENCE


class Server:
    """One `rootstock serve` on a free port, and what it says."""

    def __init__(self, home: Path, log: Path) -> None:
        self.home, self.log = home, log
        command = [sys.executable, "-m", "app.cli", "serve", "--home", str(home), "--port", "0"]
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        self.wait(lambda: "ready at" in self.said())
        address = re.search(r"ready at (\S+)", self.said())
        assert address is not None
        self.client = httpx.Client(
            base_url=address[1],
            headers={"Authorization": f"Bearer {self.key()}"},
            timeout=PATIENCE,
            limits=httpx.Limits(keepalive_expiry=1.0),  # long before the server, which closes after 5 s
        )

    def said(self) -> str:
        return self.log.read_text()

    def key(self) -> str:
        return (self.home / "api-key").read_text().strip()

    def wait(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def get(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.get(path).raise_for_status().json()
        return answer

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self.client.post(path, json=body)
        assert response.is_success, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def wait_for_job(self, job_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        self.wait(lambda: holds(self.get(f"/jobs/{job_id}")))
        return self.get(f"/jobs/{job_id}")

    def children(self, word: str) -> list[int]:
        """The living processes under this one whose command contains `word`."""
        found = alive(descendants(self.process.pid))
        return [pid for pid, command in found.items() if word in command]

    def child(self, word: str) -> int:
        (pid,) = self.children(word)
        return pid

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0


def descendants(root: int) -> dict[int, str]:
    """The processes under `root` and their commands."""
    listing = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [
        (int(pid), int(parent), command)
        for pid, parent, command in (line.split(None, 2) for line in listing.splitlines())
    ]
    found: dict[int, str] = {}
    parents = {root}
    while parents:
        born = {pid: command for pid, parent, command in rows if parent in parents}
        found |= born
        parents = set(born)
    return found


def alive(pids: dict[int, str]) -> dict[int, str]:
    """Those that run: one that is dead but not yet buried does not."""
    listing = subprocess.run(["ps", "-eo", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    living = {int(pid) for pid, state in (line.split() for line in listing.splitlines()) if not state.startswith("Z")}
    return {pid: command for pid, command in pids.items() if pid in living}


def vectors(server: Server) -> str:
    """The id of a small dataset that is ready."""
    content = io.BytesIO()
    np.save(content, np.random.default_rng(0).random((2000, 16), dtype=np.float32))
    files = {"file": ("vectors.npy", content.getvalue())}
    file = server.client.post("/files", files=files, data={"purpose": "pretrain"}).raise_for_status().json()
    dataset = server.post("/datasets", {"name": "small", "files": [file["id"]], "modality": "vectors"})
    server.wait(lambda: server.get(f"/datasets/{dataset['id']}")["status"] != "validating")
    assert server.get(f"/datasets/{dataset['id']}")["status"] == "ready"
    return str(dataset["id"])
