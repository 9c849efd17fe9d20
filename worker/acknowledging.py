"""How a worker that cannot acknowledge a message goes on.

A worker takes one message at a time. Kombu counts one whose acknowledgement failed as taken for ever, so that a worker
whose broker was away when a job ended would never ask for another, nor notice that its connection is gone.
"""

from kombu.transport import redis, virtual

CONNECTION_ERRORS = redis.get_redis_error_classes().connection_errors  # type: ignore[no-untyped-call]


class FreeingQoS(redis.QoS):
    """Counts a message as done even if the broker cannot be told: it is delivered again, and its job has ended."""

    def ack(self, delivery_tag: str) -> None:
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except CONNECTION_ERRORS:
            virtual.QoS.ack(self, delivery_tag)  # type: ignore[no-untyped-call]
            raise


def install() -> None:
    """For all connections of this process."""
    redis.Channel.QoS = FreeingQoS
