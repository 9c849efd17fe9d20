"""The server's protocol over a transport that notes what it is told."""

import asyncio
from itertools import pairwise
from typing import Any

from app.api.resting import REST_SECONDS, Resting
from app.api.wire import Gathered


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


def test_who_was_refused_is_looked_at_once_its_rest_is_over_and_rests_again_when_refused_again() -> None:
    class Greedy:
        def __init__(self, resting: Resting, times: int) -> None:
            self.resting, self.left, self.at = resting, times, [asyncio.get_running_loop().time()]

        def rested(self) -> None:
            self.at.append(asyncio.get_running_loop().time())
            self.left -= 1
            if self.left:
                self.resting.add(self)

    async def story() -> list[Greedy]:
        resting = Resting()
        crowd = [Greedy(resting, times) for times in (1, 2, 3)]
        for one in crowd:
            resting.add(one)
        while any(one.left for one in crowd):
            await asyncio.sleep(REST_SECONDS / 10)
        late = Greedy(resting, 1)
        resting.add(late)
        while late.left:
            await asyncio.sleep(REST_SECONDS / 10)
        return [*crowd, late]

    for one, times in zip(asyncio.run(story()), (1, 2, 3, 1), strict=True):
        rests = [end - begin for begin, end in pairwise(one.at)]
        assert len(rests) == times
        assert min(rests) >= REST_SECONDS - 1e-3, "the clock never runs ahead"
