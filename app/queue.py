"""Rings the workers' bell: task names and `enqueue(name, id)`. Knows no task code.

SQL is the truth. A ring that is lost or comes twice does no harm: the sweep rings again, a claim refuses the second.
"""

import logging
from functools import cache

from celery import Celery
from kombu.exceptions import OperationalError
from kombu.utils.url import maybe_sanitize_url

log = logging.getLogger(__name__)

RUN_TRAIN = "rootstock.run_train"
"""Runs one job of the `train` queue; argument: the job's id."""
RUN_DATA = "rootstock.run_data"
"""Runs one job of the `data` queue; argument: the job's id."""

NOT_ANSWERING = "the broker does not answer"
REFUSALS = {
    "invalid username-password pair": "does not accept the password, or the user, of ROOTSTOCK_BROKER_URL",
    "Authentication required": "wants a password: write it into ROOTSTOCK_BROKER_URL, redis://:password@host:6379/0",
    "DB index is out of range": "does not have the database whose number ends ROOTSTOCK_BROKER_URL; it has a 0",
}
"""What a broker says, and what it means for whoever wrote the settings."""

TASKS = {"train": RUN_TRAIN, "data": RUN_DATA}
"""Queue name to task name."""


def make_celery(broker_url: str) -> Celery:
    """A Celery application with the house's broker settings: JSON only, late acknowledgement, no result backend."""
    celery = Celery("rootstock", broker=broker_url, set_as_current=False)
    celery.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_create_missing_queues=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": 30 * 24 * 3600,
            "unacked_restore_interval": 2,
            "unacked_restore_throttle": 1,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
        },
        task_routes={name: {"queue": queue} for queue, name in TASKS.items()},
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    return celery


@cache
def _producer(broker_url: str) -> Celery:
    celery = make_celery(broker_url)
    celery.conf.broker_transport_options |= {"max_retries": 0, "interval_start": 0}  # a caller waits: the sweep retries
    return celery


def enqueue(broker_url: str, queue: str, job_id: str) -> bool:
    """Rings once for `job_id`; False when the broker does not answer (the sweep rings again later)."""
    try:
        _producer(broker_url).send_task(TASKS[queue], args=[job_id], queue=queue, retry=False)
    except (OperationalError, OSError) as error:
        log.warning("broker does not answer, the sweep will ring for %s: %s", job_id, error)
        return False
    return True


def waiting(broker_url: str, queue: str) -> int | None:
    """Rings that wait in `queue`; None when the broker does not answer."""
    try:
        return _count(broker_url, queue)
    except (OperationalError, OSError):
        return None


def trouble(broker_url: str) -> str | None:
    """What is wrong with the broker, for everybody to read; None where it answers. Its address is logged alone."""
    try:
        _count(broker_url, next(iter(TASKS)))
    except (OperationalError, OSError) as error:
        told = worded(error)
        log.error("%s: %s: %s", told, maybe_sanitize_url(broker_url), error)
        return told
    return None


def worded(error: Exception) -> str:
    """What keeps this process from the broker, as whoever wrote the settings may mend it."""
    said = str(error)
    return next((f"the broker {words}" for sign, words in REFUSALS.items() if sign in said), NOT_ANSWERING)


def _count(broker_url: str, queue: str) -> int:
    with _producer(broker_url).connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=2)
        return int(connection.default_channel.queue_declare(queue=queue, passive=False, durable=True).message_count)
