from pathlib import Path

import pytest
from celery import Celery

from app.queue import TASKS
from app.registry.db import Database
from app.settings import Settings, SettingsError
from worker.processes.launcher import Launcher
from worker.processes.supervisor import Supervisor
from worker.tasks import build, register


def test_every_name_that_the_application_rings_is_registered(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    celery = Celery(set_as_current=False)
    register(celery, Supervisor(settings, Database(settings.resolved_database_url), Launcher(), "here"))
    assert {name for name in celery.tasks if not name.startswith("celery.")} == set(TASKS.values())


def test_a_worker_without_a_broker_is_told_which_variable_to_set(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ROOTSTOCK_BROKER_URL"):
        build(Settings(home=tmp_path), Launcher())
