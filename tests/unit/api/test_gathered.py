"""A transport that gathers, over one that notes what it is told."""

import asyncio
from typing import Any

from app.api.fast_path.gathered import Gathered


class Noting(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[Any] = []

    def write(self, data: Any) -> None:
        self.told.append(data)

    def close(self) -> None:
        self.told.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.told


def test_what_is_written_in_one_turn_goes_out_at_once_and_in_order() -> None:
    async def story() -> list[Any]:
        noting = Noting()
        gathered = Gathered(noting, asyncio.get_running_loop())
        gathered.write(b"head ")
        gathered.write(b"body")
        assert noting.told == []
        await asyncio.sleep(0)
        gathered.write(b"more")
        assert not gathered.is_closing()
        gathered.close()
        await asyncio.sleep(0)
        return noting.told

    assert asyncio.run(story()) == [b"head body", b"more", "closed"]
