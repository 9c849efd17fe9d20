import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from uvicorn.supervisors.multiprocess import SIGNALS

from app.api_processes import ApiProcesses
from app.listening import share
from tests.servers import stands_still, wait_until

PATIENCE = 60


async def application(scope: object, receive: object, send: object) -> None:
    raise AssertionError("nobody asks")


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Handled afterwards as before."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_process_that_dies_while_it_is_asked_whether_it_is_well_is_replaced() -> None:
    configuration = uvicorn.Config(
        f"{__name__}:application", workers=1, lifespan="off", timeout_worker_healthcheck=100 * PATIENCE
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
