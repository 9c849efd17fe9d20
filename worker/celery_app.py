"""What `celery -A worker.celery_app worker` imports: the worker of this process's settings."""

from app.settings import settings
from worker.processes.launcher import Launcher
from worker.tasks import build

celery = build(settings(), Launcher())
