"""Says once what keeps a worker from its broker, which Celery says anew with every attempt.

Said again when it is something else, or once the broker has answered in between.
"""

import logging

from celery.worker.consumer.consumer import CONNECTION_ERROR

from app.queue import worded

CONNECTED = "Connected to %s"


class Once(logging.Filter):
    """Lets a fault through that differs from the last one, in words that say what would be right."""

    def __init__(self) -> None:
        super().__init__()
        self._told: str | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg == CONNECTED:
            self._told = None
        if record.msg != CONNECTION_ERROR or not isinstance(record.args, tuple):
            return True
        address, error, _ = record.args
        if str(error) == self._told:
            return False
        self._told = str(error)
        told = worded(error) if isinstance(error, Exception) else error
        record.msg, record.args = "%s: %s: %s; this worker goes on trying", (told, address, error)
        return True


def install() -> None:
    """For every logger of Celery's that speaks of the broker."""
    once = Once()
    for module in ("consumer", "connection"):
        logging.getLogger(f"celery.worker.consumer.{module}").addFilter(once)
