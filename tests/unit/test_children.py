import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import children
from app.children import Child, Guard, stop_all

STAYS = "import sys, time; print('here', flush=True); time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"
PATIENCE = 30.0


class Family:
    """Children of one guard, and what was said about them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, list[str]()
        self.guard = Guard(PATIENCE, [])
        self.children: list[Child] = []

    def child(self, code: str, stage: int = 0) -> Child:
        name = f"child-{len(self.children)}"
        log = self.folder / f"{name}.log"
        child = Child(name, stage, [sys.executable, "-c", code], log, self.guard, self.said.append)
        self.children.append(child)
        child.start(os.environ, [])
        return child

    def look_until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, self.said
            for child in self.children:
                child.look()
            time.sleep(0.02)

    def heard(self, text: str) -> bool:
        return any(text in line for line in self.said)


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    family = Family(tmp_path)
    yield family
    stop_all(family.children, PATIENCE, lambda: True)
    family.guard.close()


def test_a_child_that_dies_is_started_again_after_longer_and_longer_pauses(family: Family) -> None:
    child = family.child("import sys; sys.exit(3)")
    family.look_until(lambda: child.failures == 2)
    assert family.heard("child-0 died (status 3), starts again in 1 s")
    assert family.heard("child-0 died (status 3), starts again in 2 s")


def test_warnings_in_a_log_are_passed_on_and_the_rest_is_not(family: Family) -> None:
    family.child("import time; print('INFO fine\\n2026 WARNING app: odd\\nERROR bad', flush=True); time.sleep(600)")
    family.look_until(lambda: family.heard("ERROR bad"))
    assert family.said == ["child-0: 2026 WARNING app: odd", "child-0: ERROR bad"]


def test_a_log_that_grows_is_cut_while_the_child_writes_on(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "LOG_BYTES", 1000)
    child = family.child(
        "import time\nfor n in range(100): print(f'ERROR {n:050}', flush=True); time.sleep(0.02)\ntime.sleep(600)"
    )
    family.look_until(lambda: family.heard(f"{99:050}"))
    assert len(set(family.said)) == len(family.said), "one is told twice"
    assert len(family.said) >= 90, "only what is written at the very moment of a cut may be lost"
    assert child.log.stat().st_size < 3000
    assert "ERROR" in child.log.with_suffix(".old.log").read_text()


def test_children_are_stopped_stage_by_stage(family: Family, tmp_path: Path) -> None:
    """The later one stands until the earlier one is gone, which it proves by asking for it while it stops."""
    later = family.child(STAYS, stage=1)
    note = tmp_path / "note"
    code = (
        "import os, signal, sys, time\n"
        "def stop(*_):\n"
        f"    os.kill({later._process.pid if later._process else 0}, 0)\n"
        f"    open({str(note)!r}, 'w').write('later stood')\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "print('here', flush=True)\n"
        "time.sleep(600)\n"
    )
    earlier = family.child(code, stage=0)
    for child in (earlier, later):
        family.look_until(lambda child=child: "here" in child.last_lines())  # type: ignore[misc]
    stop_all([later, earlier], PATIENCE, lambda: False)
    assert note.read_text() == "later stood"
    assert earlier.gone()
    assert later.gone()


def test_a_child_that_does_not_listen_is_killed(family: Family) -> None:
    child = family.child(DEAF)
    family.look_until(lambda: "here" in child.last_lines())
    stop_all([child], 0.2, lambda: False)
    assert child.gone()


def test_the_guard_ends_what_a_killed_supervisor_leaves() -> None:
    guard = Guard(PATIENCE, [])
    left, ended = (subprocess.Popen([sys.executable, "-c", STAYS], start_new_session=True) for _ in range(2))
    for process in (left, ended):
        guard.add(process.pid, 0)
    guard.remove(ended.pid)
    guard._process.kill()
    guard._process.wait()
    guard.look()  # another one, that knows what the first one knew
    reaper = threading.Thread(target=left.wait)  # as init does for orphans; until then the guard sees them
    reaper.start()
    guard.close()  # what happens to its input when the supervisor is killed
    reaper.join()
    assert left.returncode == -15
    assert ended.poll() is None
    ended.kill()
    ended.wait()
