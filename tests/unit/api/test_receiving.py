"""Bodies that come slowly or not at all, and clients that leave."""

import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from app.api.receiving import DisconnectWatch, read_body
from app.errors import TooSlow


class Client:
    """Sends `messages`, one per call, and then stays silent until it leaves."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages = list(messages)
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self._messages:
            return self._messages.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}


def piece(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_is_read_to_its_end() -> None:
    async def story() -> list[bytes]:
        whole = await read_body(Client(piece(b"abc", more=False)).receive, 1)
        return [whole, await read_body(Client(piece(b"ab"), piece(b""), piece(b"c", more=False)).receive, 1)]

    assert asyncio.run(story()) == [b"abc", b"abc"]


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    with pytest.raises(TooSlow, match="2 bytes had arrived") as slow:
        asyncio.run(read_body(Client(piece(b"ab")).receive, 0.05))
    assert slow.value.status == 408


def test_a_client_that_leaves_within_its_body_is_noticed() -> None:
    async def story() -> None:
        client = Client(piece(b"ab"))
        client.left.set()
        await read_body(client.receive, 1)

    with pytest.raises(ClientDisconnect):
        asyncio.run(story())


def test_a_client_that_leaves_ends_what_is_done_for_it() -> None:
    async def story() -> bool:
        client = Client()
        work: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.01, client.left.set)
        with pytest.raises(ClientDisconnect), DisconnectWatch(client.receive):
            await asyncio.wait_for(work, 60)  # whose own end is a TimeoutError
        await asyncio.sleep(0)  # the task itself has not been cancelled
        return work.cancelled()

    assert asyncio.run(story())


def test_work_that_is_done_or_cancelled_by_others_is_left_alone() -> None:
    async def patient() -> None:
        with DisconnectWatch(Client().receive):
            await asyncio.sleep(30)

    async def story() -> str:
        with DisconnectWatch(Client().receive):
            await asyncio.sleep(0.1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(patient(), 0.1)
        return "done"

    assert asyncio.run(story()) == "done"
