"""A Rootstock of the demo's own, on a free loopback port and a temporary home, and a client for it. Knows no pixels."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import httpx
from openai import OpenAI

from app.children import Guard
from app.demo.terminal import Bar

START_SECONDS = 180.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.25
ROWS_PER_REQUEST = 500


class DemoError(Exception):
    """The service did not do what the demo needs; the message says what it answered."""


class Client:
    """What the demo asks of a running service: plain HTTP, and the stock SDK where that has the same call."""

    def __init__(self, base_url: str, key: str) -> None:
        self.http = httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {key}"}, timeout=60)
        self.sdk = OpenAI(base_url=f"{base_url}/v1", api_key=key)

    def close(self) -> None:
        self.http.close()
        self.sdk.close()

    def call(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        response = self.http.request(method, path, **kwargs)
        body: dict[str, Any] = response.json()
        if response.is_error:
            raise DemoError(f"{method} {path}: {response.status_code} {body['error']['message']}")
        return body

    def dataset(self, filename: str, content: bytes | IO[bytes], request: dict[str, Any]) -> str:
        """Uploads a file, makes a dataset of it and waits until it is checked; gives the dataset's id."""
        file = self.call("POST", "/v1/files", files={"file": (filename, content)}, data={"purpose": "pretrain"})
        return self.ready({**request, "files": [file["id"]]})

    def ready(self, request: dict[str, Any]) -> str:
        """Makes a dataset and waits until it is checked; gives its id."""
        made = self.call("POST", "/v1/datasets", json=request)
        while made["status"] == "validating":
            time.sleep(POLL_SECONDS)
            made = self.call("GET", f"/v1/datasets/{made['id']}")
        if made["status"] != "ready":
            raise DemoError(f"dataset {request['name']} is {made['status']}: {made['error']}")
        return str(made["id"])

    def train(self, what: str, request: dict[str, Any]) -> dict[str, Any]:
        """Makes a job and watches it to its end; gives the job."""
        job = self.call("POST", "/v1/jobs", json=request)
        with Bar(what) as bar:
            while not job["terminal"]:
                bar.show(job)
                time.sleep(POLL_SECONDS)
                job = self.call("GET", f"/v1/jobs/{job['id']}")
            bar.show(job)
        if job["status"] != "succeeded":
            raise DemoError(f"job {job['id']} ({what}) {job['status']}: {job['error']}")
        return job

    def embeddings(self, model: str, rows: list[Any]) -> list[list[float]]:
        """One vector per row, through the stock SDK."""
        return [
            item.embedding for part in _parts(rows) for item in self.sdk.embeddings.create(model=model, input=part).data
        ]

    def reconstructions(self, model: str, rows: list[Any]) -> list[dict[str, Any]]:
        return self._ask("/v1/reconstructions", {"model": model, "encoding_format": "float"}, rows)

    def predictions(self, model: str, rows: list[Any]) -> list[dict[str, Any]]:
        return self._ask("/v1/predictions", {"model": model}, rows)

    def _ask(self, path: str, body: dict[str, Any], rows: list[Any]) -> list[dict[str, Any]]:
        return [item for part in _parts(rows) for item in self.call("POST", path, json={**body, "input": part})["data"]]


def _parts(rows: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(rows), ROWS_PER_REQUEST):
        yield rows[start : start + ROWS_PER_REQUEST]


@contextlib.contextmanager
def started(**settings: Any) -> Iterator[Client]:
    """A service with these settings that lives as long as the block, in a folder that is removed with it."""
    with tempfile.TemporaryDirectory(prefix="rootstock-demo-") as folder:
        home, port = Path(folder), _free_port()
        command = [sys.executable, "-m", "app.cli", "serve", "--home", folder, "--host", "127.0.0.1"]
        # Neither another database nor another broker than its own, whatever the caller's environment names.
        environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("ROOTSTOCK_")}
        environment |= {f"ROOTSTOCK_{name.upper()}": str(value) for name, value in settings.items()}
        with (home / "serve.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "--port", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches the demo, and the demo stops the service once
            )
        guard = Guard(STOP_SECONDS, [])  # should we be killed, with no time to stop it
        guard.add(process.pid, 0)
        try:
            base_url = f"http://127.0.0.1:{port}"
            _wait_ready(process, base_url, home / "serve.log")
            client = Client(base_url, (home / "api-key").read_text().strip())
            try:
                yield client
            finally:
                client.close()
        finally:
            _stop(process)
            guard.remove(process.pid)
            guard.close()


def _wait_ready(process: subprocess.Popen[bytes], base_url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(timeout=5) as client:  # to make one takes longer than to ask
        while True:
            with contextlib.suppress(httpx.TransportError):
                if client.get(f"{base_url}/readyz").is_success:
                    return
            if process.poll() is not None or time.monotonic() > deadline:
                raise DemoError(f"the service did not start; the end of its log:\n{log.read_text()[-4000:]}")
            time.sleep(0.1)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the service and its children; a second Ctrl-C must not leave half of them behind."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    finally:
        signal.signal(signal.SIGINT, previous)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
