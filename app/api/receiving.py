"""A request's body as it arrives, and its client as it leaves. Knows no route."""

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from app.errors import TooSlow

PERMIT = "permit"
"""Under this name the state of a request has the permit that was got for it before it was read."""
PATIENCE_SECONDS = 0.05
"""A request that takes longer is watched for its client's leaving; to watch the others would cost more than they do."""


async def read_body(receive: Receive, seconds: float) -> bytes:
    """The whole body. Raises TooSlow when it takes longer, ClientDisconnect when the client leaves in the middle."""
    chunks: list[bytes] = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunks.append(message.get("body", b""))
                if not message.get("more_body", False):
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
    except TimeoutError:
        size = sum(map(len, chunks))
        raise TooSlow(f"the body was not complete after {seconds:g} s; {size} bytes had arrived") from None


class DisconnectWatch:
    """What is awaited in this context ends with ClientDisconnect when the client goes. Its body must have been read."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._listener: asyncio.Task[None] | None = None
        self._gone = False

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._timer = self._loop.call_later(PATIENCE_SECONDS, self._begin)

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()
        if self._gone and kind is asyncio.CancelledError:
            assert self._task is not None
            self._task.uncancel()
            raise ClientDisconnect from None

    def _begin(self) -> None:
        self._listener = self._loop.create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        assert self._task is not None
        self._task.cancel()
