import asyncio
import contextlib

import pytest

from app.errors import Overloaded
from app.ml.inference import admission
from app.ml.inference.admission import WAIT_SECONDS, Permit, Permits


class Noting:
    """Notes what it is told; takes its permit unless it is modest."""

    def __init__(self, permits: Permits, modest: bool = False) -> None:
        self.permits, self.modest, self.told = permits, modest, list[tuple[str, float]]()

    def admitted(self, waited: float) -> None:
        self.told.append(("admitted", waited))
        if not self.modest:
            self.permits.take()

    def refused(self, waited: float) -> None:
        self.told.append(("refused", waited))

    @property
    def words(self) -> list[str]:
        return [word for word, _ in self.told]


def test_a_permit_given_back_goes_to_the_first_in_line_who_is_still_there_and_takes_it() -> None:
    async def story() -> None:
        permits = Permits(1)
        permits.take()
        gone, modest, first, second = (Noting(permits, modest=place == 1) for place in range(4))
        places = [permits.line_up(one, 10) for one in (gone, modest, first, second)]
        places[0].leave()
        permits.give_back()
        assert permits.full, "who comes now stands behind the others"
        await asyncio.sleep(0)
        assert [one.words for one in (gone, modest, first, second)] == [[], ["admitted"], ["admitted"], []]
        assert permits.taken == 1
        await asyncio.sleep(2 * WAIT_SECONDS)
        assert second.words == ["refused"]
        assert second.told[0][1] >= WAIT_SECONDS - 2e-3, "the clock never runs ahead"
        assert permits.refused == 1
        permits.give_back()
        assert not permits.full

    asyncio.run(story())


def test_who_can_be_answered_at_once_makes_room_for_who_comes_and_for_the_line() -> None:
    async def story() -> None:
        permits = Permits(2)
        for _ in range(2):
            permits.take()
        assert not permits.find(), "nobody can be answered at once"
        waiting = [Noting(permits) for _ in range(5)]
        for one in waiting:
            permits.line_up(one, 1)
        permits.hurry = lambda: permits.give_back(permits.taken)
        assert not permits.find(), "who comes does not overtake the line"
        permits.give_back()
        await asyncio.sleep(0)
        assert [one.words for one in waiting] == [["admitted"]] * 5
        assert permits.taken <= 2
        permits.taken = 2
        assert permits.find()
        assert permits.taken == 0

    asyncio.run(story())


def test_waits_are_told_to_a_millisecond() -> None:
    """So that those who come in together are told, and counted, alike."""

    async def story() -> None:
        permits = Permits(1)
        permits.take()
        waiting = [Noting(permits, modest=True) for _ in range(20)]
        for one in waiting:
            permits.line_up(one, 10)
        await asyncio.sleep(0.0123)
        permits.give_back()
        await asyncio.sleep(0)
        told = [one.told[0][1] for one in waiting]
        assert told == [round(waited, 3) for waited in told]
        assert min(told) >= 0.011

    asyncio.run(story())


def test_waits_end_one_after_the_other_also_when_there_is_never_a_permit() -> None:
    async def story() -> None:
        permits = Permits(1)
        permits.take()
        early = [Noting(permits) for _ in range(3)]
        for one in early:
            permits.line_up(one, 1)
        await asyncio.sleep(WAIT_SECONDS / 2)
        late = Noting(permits)
        permits.line_up(late, 1)
        await asyncio.sleep(3 * WAIT_SECONDS)
        assert [one.words for one in (*early, late)] == [["refused"]] * 4
        assert (len(permits._line), len(permits._places), permits._size) == (0, 0, 0)
        again = Noting(permits)
        permits.line_up(again, 1)
        await asyncio.sleep(2 * WAIT_SECONDS)
        assert again.words == ["refused"], "the clock runs again"

    asyncio.run(story())


def test_without_room_in_line_nobody_reads_a_body_and_the_wait_is_without_hope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "ROOM_BYTES", 100)

    async def story() -> None:
        permits = Permits(1)
        permits.take()
        small, large, other = (Noting(permits) for _ in range(3))
        assert permits.line_up(small, 60).hopeful
        assert not permits.line_up(large, 60).hopeful
        permits.check(40)
        with pytest.raises(Overloaded):
            permits.check(41)
        assert permits.line_up(other, 40).hopeful
        permits.give_back()
        await asyncio.sleep(0)
        assert (small.words, large.words, other.words) == (["admitted"], [], [])
        await asyncio.sleep(2 * WAIT_SECONDS)
        assert (large.words, other.words) == (["refused"], ["refused"])

    asyncio.run(story())


def test_a_request_waits_for_its_permit_and_gives_it_back_whatever_happens() -> None:
    async def story() -> None:
        permits = Permits(2)
        with Permit(permits) as one, Permit(permits) as two:
            await one.get(1)
            await two.get(1)
            with pytest.raises(Overloaded, match="at most 2") as refusal, Permit(permits) as third:
                await third.get(1)
            assert (refusal.value.status, refusal.value.retry_after) == (429, 1)
            assert permits.taken == 2
        assert permits.taken == 0
        with Permit(permits):
            pass
        assert permits.taken == 0

    asyncio.run(story())


@pytest.mark.parametrize("admitted", [True, False])
def test_who_leaves_while_it_waits_keeps_no_permit(admitted: bool) -> None:
    async def story() -> None:
        permits = Permits(1)
        permits.take()

        async def ask() -> None:
            with Permit(permits) as permit:
                await permit.get(1)
                await asyncio.sleep(60)

        asking = asyncio.create_task(ask())
        await asyncio.sleep(0)
        if admitted:
            permits.give_back()
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
        if not admitted:
            permits.give_back()
        await asyncio.sleep(0)
        assert permits.taken == 0

    asyncio.run(story())
