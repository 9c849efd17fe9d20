import importlib
import os
import subprocess
import sys

import pytest

from tests.servers import PATIENCE
from worker.processes import launcher
from worker.processes.process import HANDLERS, LEFT, Order
from worker.processes.supervisor import describe

TORCH = "import sys; import {module}; print(sorted(name for name in sys.modules if name == 'torch'))"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = str(tmp_path_factory.mktemp("home"))
    return os.environ | {"ROOTSTOCK_HOME": home, "ROOTSTOCK_BROKER_URL": "redis://127.0.0.1:1/0"}


def test_an_order_survives_its_line() -> None:
    order = Order("job-1", 7, "pretrain")
    assert Order.read(order.line()) == order
    assert order.line().count(b"\n") == 1


@pytest.mark.parametrize("handler", sorted(set(HANDLERS.values())))
def test_handlers_exist(handler: str) -> None:
    module, _, name = handler.partition(":")
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize(
    "module", ["worker.celery_app", "worker.processes.process", HANDLERS["ingest"].partition(":")[0]]
)
def test_what_need_not_wait_for_torch_does_not_import_it(module: str, environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", TORCH.format(module=module)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_end_of_the_leash_kills_the_process(environment: dict[str, str]) -> None:
    process = subprocess.Popen(launcher.COMMAND, stdin=subprocess.PIPE, env=environment, start_new_session=True)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(PATIENCE) == -9


@pytest.mark.parametrize("rank", ["0", "1"])
def test_the_end_of_the_leash_kills_a_member_that_waits_for_the_others(environment: dict[str, str], rank: str) -> None:
    nobody = {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    crew = environment | nobody | {"TORCHELASTIC_RUN_ID": "test", "TORCHELASTIC_USE_AGENT_STORE": "True"}
    process = subprocess.Popen([sys.executable, "-m", "worker.processes.member"], stdin=subprocess.PIPE, env=crew)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(PATIENCE) == -9


@pytest.mark.parametrize(("status", "words"), [(LEFT, "left"), (1, "status 1"), (-9, "SIGKILL"), (-11, "SIGSEGV")])
def test_an_exit_status_in_words(status: int, words: str) -> None:
    assert words in describe(status)
