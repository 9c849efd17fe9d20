"""Everything on one machine: starts broker, workers and API as children and keeps them running.

Knows them by their command lines. All state is under one folder.
"""

import http.client
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from app.broker import prepare
from app.children import Child, Guard, stop_all
from app.home import lock_home, open_home, write_secret
from app.listening import listen
from app.queue import TASKS
from app.settings import PREFIX, Settings
from app.storage import open_storage

WORKERS, API, BROKER = 0, 1, 2
"""Stages of the stop: jobs are saved and handed back while API and broker still stand."""
FEW = 3
"""Deaths of the API after which a server that never was ready gives up."""
LOOK_SECONDS = 0.1
PATIENT_SECONDS = 5.0
"""Time after which a start that waits says what for."""


class StartFailed(Exception):
    """The API died again and again before it was ready once."""


def worker_command(queue: str) -> list[str]:
    """The Celery worker of one queue: trainings one by one, while a small data job need not wait for a large one."""
    slots = {"train": 1, "data": 2}[queue]
    return [
        *(sys.executable, "-m", "celery", "-A", "worker.celery_app", "--skip-checks", "worker"),
        *("-Q", queue, "-n", f"{queue}-{os.getpid()}@%h", "--pool=threads", f"--concurrency={slots}"),
        *("--loglevel=INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"),
    ]


def serve(settings: Settings) -> None:
    """Runs until SIGTERM or Ctrl-C; a second one does not wait for checkpoints.

    Raises SettingsError when the address or the folder is taken, StartFailed when the API cannot start.
    """
    folder, patience = settings.folder, settings.stop_seconds + 10
    open_home(folder)
    open_storage(settings)  # one that cannot be used is told before anything has started
    lock = lock_home(folder, patience, say)
    listener = listen(settings.host, settings.port)
    asked = 0
    stop = threading.Event()

    def leave(number: int, frame: Any) -> None:
        nonlocal asked
        asked += 1
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    guard = Guard(patience, [lock])
    children: list[Child] = []
    try:
        start_workers = start(settings, listener, lock, guard, children)
        keep_running(settings, listener, guard, children, stop, start_workers)
    finally:
        if stop.is_set():
            say("stopping: running jobs are saved and handed back")
        listener.close()  # the API has the last one: whoever calls once it has left is refused, and need not wait
        stop_all(children, patience, lambda: asked > 1)
        guard.close()
        os.close(lock)
        say("stopped")


def start(
    settings: Settings, listener: socket.socket, lock: int, guard: Guard, children: list[Child]
) -> Callable[[], None]:
    """Starts broker and API, and gives what starts the workers: they wait until the API has the cores for itself.

    `children` holds those that have been started, whatever happens meanwhile.
    """
    folder = settings.folder
    environment = os.environ | {PREFIX + "HOME": str(folder)}

    def child(name: str, stage: int, command: list[str], *inherited: int) -> None:
        children.append(Child(name, stage, command, folder / "logs" / f"{name.replace(' ', '-')}.log", guard, say))
        children[-1].start(environment, [lock, *inherited])

    if settings.broker_url is None:
        broker = prepare(folder / "valkey")
        environment[PREFIX + "BROKER_URL"] = broker.url
        child("broker", BROKER, broker.command)
    handle = listener.fileno()
    gate, opener = os.pipe()  # the API imports its libraries while the registry is prepared
    command = [sys.executable, "-m", "app.cli", "api", "--descriptor", str(handle), "--gate", str(gate)]
    child("api", API, command, handle, gate)
    try:
        prepare_registry(settings)
    finally:
        os.close(opener)

    def start_workers() -> None:
        for queue in TASKS:
            child(f"{queue} worker", WORKERS, worker_command(queue))

    return start_workers


def prepare_registry(settings: Settings) -> None:
    """Migrates the database; on first start draws the first key and writes it where only the owner can read it."""
    from app.registry import keys
    from app.registry.db import Database

    database = Database(settings.resolved_database_url)
    try:
        database.migrate()
        with database.session() as session:
            drawn = keys.bootstrap(session, settings.admin_key)
            if drawn is not None and settings.admin_key is None:
                write_secret(settings.folder / "api-key", drawn + "\n")  # before the commit: a drawn key is never lost
                say(f"first start; API key: {drawn}")
    finally:
        database.close()


def keep_running(
    settings: Settings,
    listener: socket.socket,
    guard: Guard,
    children: list[Child],
    stop: threading.Event,
    start_workers: Callable[[], None],
) -> None:
    """Looks after the children until asked to stop; once the API is ready, says so and starts the workers."""
    ready = threading.Event()
    address = listener.getsockname()
    threading.Thread(target=wait_until_ready, args=(address, ready, stop), name="ready", daemon=True).start()
    announced = False
    while not stop.wait(LOOK_SECONDS):
        guard.look()
        for child in children:
            child.look()
            if not announced and child.stage == API and child.failures >= FEW:
                raise StartFailed(f"the API does not start; the end of {child.log}:\n{child.last_lines()}")
        if ready.is_set() and not announced:
            announced = True
            start_workers()
            announce(settings, address)


def announce(settings: Settings, address: tuple[Any, ...]) -> None:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    key = settings.folder / "api-key"
    say(f"ready at http://{host}:{address[1]}/v1")
    say(
        f"data in {settings.folder}, logs in {settings.folder / 'logs'}"
        + (f", API key in {key}" if key.exists() else "")
    )


def wait_until_ready(address: tuple[Any, ...], ready: threading.Event, stop: threading.Event) -> None:
    """Asks `/readyz` until it says yes; where that takes long, says what it answers instead."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])  # noqa: S104 - to compare, not to bind
    begun, said = time.monotonic(), ""
    while not stop.is_set():
        connection = http.client.HTTPConnection(host, address[1], timeout=5)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            if answer.status == http.client.OK:
                ready.set()
                return
            why = json.loads(answer.read())["error"]["message"]
            if time.monotonic() - begun > PATIENT_SECONDS and why != said:
                say(f"not ready yet: {why}")
                said = why
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)


def say(line: str) -> None:
    print(f"rootstock: {line}", flush=True)
