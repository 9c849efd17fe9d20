"""The address of the API: one listening socket, or one per process with the connections spread among them."""

import socket
import sys
from typing import Any

from app.settings import SettingsError

ROOM_BYTES = 512 * 1024
DOORS = 16
"""Connections that are accepted in one turn of the event loop."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, kept by the supervisor: while the API restarts, its callers wait instead of being refused.

    Raises SettingsError when the address is taken or not ours.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _make_room(listener)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another --port or --host"
        ) from None
    return listener


class Shared(socket.socket):
    """An address that several processes serve: a child that it is handed to gets a socket of its own there.

    Then the kernel spreads connections; of processes that accept from one socket, the first to wake takes all that
    wait, and one that is busy with them leaves the others idle.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return bound, (int(self.family), self.getsockname(), socket.socket)


def share(host: str, port: int) -> socket.socket:
    """What `listen` gives, to be handed to several processes.

    Raises SettingsError when the address is taken or not ours.
    """
    listener = listen(host, port)  # by another service too, which a shared address would not tell
    if sys.platform != "linux":  # elsewhere the last one to bind gets everything
        return listener
    family, address = int(listener.family), listener.getsockname()
    listener.close()
    return bound(family, address, Shared)


def bound(family: int, address: tuple[Any, ...], kind: type[socket.socket]) -> socket.socket:
    """A socket at an address that others may be bound to; it gets connections once it listens."""
    made = kind(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    _make_room(made)
    made.bind(address)
    return made


def doors(listener: socket.socket) -> list[socket.socket]:
    """The same address DOORS times.

    The event loop accepts one connection a turn from each socket that it is given. Turns are long while the server is
    busy: a crowd that comes at once would stand before a single door for a second.
    """
    return [listener, *(listener.dup() for _ in range(DOORS - 1))]


def _make_room(listener: socket.socket) -> None:
    """Lets its connections begin with room for ROOM_BYTES.

    While a process computes, what arrives fills the first, smaller buffer, and the window closes; on loopback, where a
    segment is half of that buffer, the sender then waits for a probe, for half a second at times. SO_RCVBUF would make
    room, too, and end the system's own tuning of it; a low-water mark makes it for good, and is taken back.
    """
    if sys.platform == "linux":
        for mark in (ROOM_BYTES, 1):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, mark)
