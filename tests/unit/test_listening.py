import asyncio
import contextlib
import pickle
import select
import socket
import sys
from collections.abc import Callable

import pytest
import uvloop

from app.listening import ROOM_BYTES, doors, listen, share


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux makes room so")
@pytest.mark.parametrize("make", [listen, share])
def test_a_connection_has_room_for_a_body_and_wakes_its_process_with_the_first_byte(
    make: Callable[[str, int], socket.socket],
) -> None:
    with make("127.0.0.1", 0) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= ROOM_BYTES
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1


def test_a_crowd_is_accepted_in_few_turns_of_the_event_loop() -> None:
    crowd_size, turns = 12, 4
    seen: list[asyncio.BaseTransport] = []
    accepted: list[int] = []

    class Guest(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            seen.append(transport)

    async def story(crowd: contextlib.ExitStack) -> None:
        loop = asyncio.get_running_loop()
        listener = crowd.enter_context(listen("127.0.0.1", 0))
        servers = [await loop.create_server(Guest, sock=door) for door in doors(listener)]
        for _ in range(crowd_size):
            crowd.enter_context(socket.create_connection(listener.getsockname()))
        for _ in range(turns):
            await asyncio.sleep(0)
        accepted.append(len(seen))
        while len(seen) < crowd_size:  # who was not accepted would keep the loop from ending
            await asyncio.sleep(0)
        for server in servers:
            server.close()
        for transport in seen:
            transport.close()

    with contextlib.ExitStack() as crowd:
        uvloop.run(story(crowd))
    assert accepted == [crowd_size]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere one of several processes gets every connection")
def test_every_process_that_shares_an_address_has_doors_of_its_own() -> None:
    with contextlib.ExitStack() as stack:
        handed = [stack.enter_context(door) for door in doors(share("127.0.0.1", 0))]
        made = [stack.enter_context(pickle.loads(pickle.dumps(door))) for door in handed]
        assert {door.getsockname() for door in made} == {handed[0].getsockname()}
        for door in made:
            door.listen()
        with socket.create_connection(handed[0].getsockname()):
            ready, _, _ = select.select(made, [], [], 30)
        assert len(ready) == 1
