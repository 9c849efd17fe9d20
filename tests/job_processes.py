"""A job's own process, started by the real command as a worker does."""

import os
import subprocess
from pathlib import Path

from app.registry.tables import Job
from tests.workshop import Workshop
from worker.processes.launcher import COMMAND
from worker.processes.process import Order


def begin(
    workshop: Workshop, job: Job, folder: Path, *, devices: int = 1, **variables: str
) -> tuple[int, "subprocess.Popen[bytes]"]:
    """Claims the job and starts its process; `folder` holds the workshop's `home` and `objects`."""
    token = workshop.claim(job.id).token
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROOTSTOCK_")} | {
        "ROOTSTOCK_HOME": str(folder / "home"),
        "ROOTSTOCK_DATABASE_URL": workshop.settings.resolved_database_url,
        "ROOTSTOCK_STORAGE_URL": (folder / "objects").as_uri(),
        "ROOTSTOCK_DEVICES": str(devices),
        **variables,
    }
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, env=environment, start_new_session=True)
    assert process.stdin is not None
    process.stdin.write(Order(job.id, token, "pretrain").line())
    process.stdin.flush()
    return token, process
