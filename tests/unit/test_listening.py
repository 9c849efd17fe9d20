import socket
import sys
from collections.abc import Callable

import pytest

from app.listening import ROOM_BYTES, listen, share


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
