"""The worker as Celery sees it: one thin task per name in `app.queue`, the sweep beside them, a hand-back at the end.

A message holds a job's id and nothing else. Jobs run in processes of their own; this one never imports torch.
"""

import os
import socket
from typing import Any

from celery import Celery, signals

from app.queue import RUN_DATA, RUN_TRAIN, make_celery
from app.registry.db import Database
from app.settings import Settings, SettingsError
from app.storage import open_storage
from app.sweep import Sweeper
from worker import acknowledging, reconnecting
from worker.processes.launcher import Launcher
from worker.processes.supervisor import Supervisor

AFTER_SECONDS = 60.0
"""From the start of a worker that does not train to that of its spare: what is asked first is nearly always an ingest,
which needs none, and a training after it, which would feel that another process imports beside it."""
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def build(settings: Settings, launcher: Launcher) -> Celery:
    """The application of one worker process, whose jobs run in the processes of `launcher`.

    Raises SettingsError without a broker.
    """
    if settings.broker_url is None:
        raise SettingsError("ROOTSTOCK_BROKER_URL is not set; a worker needs the redis://… server that the API rings")
    acknowledging.install()
    reconnecting.install()
    celery = make_celery(settings.broker_url)
    celery.conf.worker_enable_remote_control = False  # nobody here speaks it, and it costs connections
    celery.conf.worker_log_format = celery.conf.worker_task_log_format = LOG_FORMAT
    database = Database(settings.resolved_database_url)
    supervisor = Supervisor(settings, database, launcher, f"{socket.gethostname()}:{os.getpid()}")
    sweeper = Sweeper(settings, database, open_storage(settings))
    register(celery, supervisor)

    @signals.worker_ready.connect(weak=False)  # type: ignore[untyped-decorator]
    def ready(sender: Any, **_: Any) -> None:
        trains = "train" in sender.app.amqp.queues.consume_from
        launcher.keep_spare(after=0.0 if trains else AFTER_SECONDS)
        sweeper.start()

    @signals.worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]
    def stopping(**_: Any) -> None:
        supervisor.stopping.set()

    @signals.worker_shutdown.connect(weak=False)  # type: ignore[untyped-decorator]
    def stopped(**_: Any) -> None:
        sweeper.stop()
        launcher.close()
        database.close()

    return celery


def register(celery: Celery, supervisor: Supervisor) -> None:
    """Makes the tasks known to the worker."""

    @celery.task(name=RUN_TRAIN)  # type: ignore[untyped-decorator]
    def run_train(job_id: str) -> None:
        supervisor.run(job_id, "train")

    @celery.task(name=RUN_DATA)  # type: ignore[untyped-decorator]
    def run_data(job_id: str) -> None:
        supervisor.run(job_id, "data")
