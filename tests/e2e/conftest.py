"""The fixture that starts servers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.server import Server
from tests.servers import PATIENCE


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """Starts servers on one home, one after the other; none survives the test."""
    servers: list[Server] = []

    def one_more() -> Server:
        servers.append(Server(tmp_path / "home", tmp_path / f"serve-{len(servers)}.log"))
        return servers[-1]

    yield one_more
    for server in servers:
        server.client.close()
        server.process.terminate()
        server.process.wait(PATIENCE)
