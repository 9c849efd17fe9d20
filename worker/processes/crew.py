"""A job on several devices, seen from the job's own process: a crew of members, started by `torchrun`.

The process stays between the supervisor and the crew. The members inherit their standard input from it: what is
written there asks them to leave, and its end ends them. How the job ended, the first member writes into a file, since
`torchrun` knows success and failure alone. Knows no network.
"""

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ORDER, STATUS = "CREW_ORDER", "CREW_STATUS"
"""Variables of a member: the order, and the file for the exit status."""
LEAVE = b"leave\n"
LOOK_SECONDS = 0.1


def lead(order: bytes, devices: int, stop: threading.Event) -> int:
    """Has a crew carry out the order; gives its first member's exit status, or that of `torchrun` where it failed."""
    with tempfile.TemporaryDirectory(prefix="rootstock-crew-") as folder:
        status = Path(folder, "status")
        environment = os.environ | {
            "OMP_NUM_THREADS": threads_each(devices),
            ORDER: order.decode(),
            STATUS: str(status),
        }
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={devices}"]
        launch += ["--log-dir", folder]  # else a folder stays behind for every job
        process = subprocess.Popen([*launch, "-m", "worker.processes.member"], stdin=subprocess.PIPE, env=environment)
        assert process.stdin is not None
        while process.poll() is None:
            if stop.wait(LOOK_SECONDS):
                process.stdin.write(LEAVE)
                process.stdin.flush()
                process.wait()
        process.stdin.close()
        return int(status.read_text()) if process.returncode == 0 else 1


def threads_each(devices: int) -> str:
    """A member's share of the threads that a job has by itself: more than there are cores would wait for each other."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return str(max(1, (int(asked) if asked.isdecimal() else os.cpu_count() or 1) // devices))
