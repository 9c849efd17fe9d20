import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from uvicorn.supervisors.multiprocess import SIGNALS

from app.api_processes import ApiProcesses
from app.listening import share
from tests.servers import wait_until

PATIENCE = 60


async def application(scope: object, receive: object, send: object) -> None:
    raise AssertionError("nobody asks")


def stands_still(pid: int | None) -> bool:
    """Whether all threads of a process are stopped: a signal takes its time."""
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Handled afterwards as before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_process_that_dies_while_it_is_asked_whether_it_is_well_is_replaced() -> None:
    configuration = uvicorn.Config(
        "tests.unit.test_siblings:application", workers=1, lifespan="off", timeout_worker_healthcheck=100 * PATIENCE
    )
    with share("127.0.0.1", 0) as listener:
        siblings = ApiProcesses(configuration, [listener])
        siblings.init_processes()
        [first] = siblings.processes
        try:
            assert first.ping(PATIENCE)
            assert first.pid is not None
            os.kill(first.pid, signal.SIGSTOP)  # so that no answer comes
            wait_until(lambda: stands_still(first.pid), "the stop")
            keeping = threading.Thread(target=siblings.keep_subprocess_alive, daemon=True)
            keeping.start()
            time.sleep(0.5)
            assert keeping.is_alive()
            os.kill(first.pid, signal.SIGKILL)
            wait_until(lambda: siblings.processes != [first], "another process")
            keeping.join(PATIENCE)
        finally:
            for process in siblings.processes:
                process.process.kill()
                process.process.join()
