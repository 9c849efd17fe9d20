"""A Celery worker like the real one, but for its jobs' process."""

import sys

from app.settings import settings
from worker.processes.launcher import Launcher
from worker.tasks import build

HANDLERS = "tests.integration.machine.handlers"
COMMAND = (sys.executable, "-m", "tests.integration.machine.process")

celery = build(settings(), Launcher(COMMAND, preload=HANDLERS))
