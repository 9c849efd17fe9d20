"""Outlives the embedded supervisor only to end its children, should it be killed with no time to do so itself.

Standard input is its leash, and says what there is to end: `add <stage> <pid>` and `remove <pid>`, a process per line.
When the stream ends, what is left is asked to stop, stage by stage, and then killed. Knows nothing else.
"""

import contextlib
import os
import signal
import sys
import time


def main() -> None:
    patience = float(sys.argv[1])  # seconds that a stage gets before it is killed
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # its one reason to end is the end of the stream
    stages: dict[int, int] = {}
    for line in sys.stdin:
        match line.split():
            case ["add", stage, pid]:
                stages[int(pid)] = int(stage)
            case ["remove", pid]:
                stages.pop(int(pid), None)
    for stage in sorted(set(stages.values())):
        end([pid for pid, its in stages.items() if its == stage], patience)


def end(pids: list[int], patience: float) -> None:
    for pid in pids:
        send(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
