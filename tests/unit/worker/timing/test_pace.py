"""What a speed leads to: how many steps, and how often they are judged."""

import itertools
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from worker.checkpoint import Position
from worker.step.devices import Devices
from worker.timing.pace import Budget, planned_steps, validation_interval


class Told:
    """A reporter that keeps what it is told, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.elapsed = 0.0

    def event(self, type: str, message: str, **more: Any) -> None:
        self.messages.append(message)


def budget(limit: float | None, total: int, most: int) -> tuple[Budget, Position, Any]:
    told: Any = Told()
    position = Position({}, {}, total, 1, {})
    run: Any = SimpleNamespace(
        position=position, devices=Devices(), spec=SimpleNamespace(training=SimpleNamespace(max_seconds=limit))
    )
    return Budget(told, run, told, most), position, told


def test_a_budget_is_kept_when_steps_become_slower() -> None:
    """1,000 steps of 0.095 s were planned for 100 s; from step 200 on they take three times as long."""
    kept, position, told = budget(100.0, 1000, 10_000)
    shares = [position.share]
    while position.step < position.total_steps:
        position.step += 1
        told.elapsed += 0.095 if position.step <= 200 else 0.285
        kept.look()
        shares.append(position.share)
    assert 90 <= told.elapsed <= 100
    assert position.step < 500
    assert shares[0] == 0
    assert shares[-1] == 1
    assert all(0 < after - before < 0.01 for before, after in itertools.pairwise(shares)), "no jumps"
    assert "instead of" in told.messages[0]


def test_steps_that_are_validated_do_not_turn_a_plan_of_few_steps_over_and_over() -> None:
    """Every third of 31 is: it takes nearly twice as long as the others."""
    kept, position, told = budget(100.0, 31, 1000)
    planned = 0
    while position.step < position.total_steps:
        position.step += 1
        told.elapsed += 4.4 if position.step % 3 == 0 else 2.4
        planned += kept.look()
    assert 90 <= told.elapsed <= 100
    assert len(told.messages) <= planned <= 2


def test_time_that_is_left_over_is_used_up_to_all_epochs() -> None:
    kept, position, told = budget(100.0, 500, 1000)
    while position.step < position.total_steps:
        position.step += 1
        told.elapsed += 0.05
        kept.look()
    assert position.step == 1000
    assert position.share == 1


@pytest.mark.parametrize("limit", [None, 100.0])
def test_a_plan_that_holds_is_left_alone(limit: float | None) -> None:
    kept, position, told = budget(limit, 1000, 10_000)
    while position.step < position.total_steps:
        position.step += 1
        told.elapsed += 0.095
        assert not kept.look()
    assert (position.total_steps, position.planned_at, told.messages) == (1000, 0, [])


def test_an_overdrawn_budget_ends_at_once() -> None:
    kept, position, told = budget(10.0, 100, 100)
    position.step, told.elapsed = 50, 30.0
    assert kept.look()
    assert position.total_steps == 51


@pytest.mark.parametrize(
    ("total", "epoch", "judged", "interval"),
    [
        (2000, 100, 12, 100),  # 20 epochs: one each
        (400, 100, 1, 40),  # 4 epochs: 10
        (400, 100, 12, 80),  # 10 would be a tenth of the work
        (400, 100, 1000, 80),  # never fewer than 5
        (100_000, 100, 12, 1000),  # 100 at most
        (3, 1, 1, 1),
    ],
)
def test_validations_are_between_5_and_100_and_a_bounded_share(
    total: int, epoch: int, judged: float, interval: int
) -> None:
    assert validation_interval(total, epoch, judged) == interval


def test_a_budget_has_room_for_its_validations() -> None:
    assert planned_steps(100.0, 0.0, 0.1, 1.0, 10_000, lambda total: 50) == 760  # 950 alone, with 19 validations
    assert planned_steps(100.0, 0.0, 0.1, 1.0, 300, lambda total: 50) == 300
    assert planned_steps(1.0, 0.0, 5.0, 0.0, 300, lambda total: 1) == 1


def test_a_budget_has_room_for_what_measuring_took() -> None:
    assert planned_steps(100.0, 45.0, 0.1, 1.0, 10_000, lambda total: 50) == 400  # 500 alone, with 10 validations
    assert planned_steps(60.0, 70.0, 30.0, 0.0, 300, lambda total: 1) == 1


def test_a_small_budget_is_not_spent_on_the_validations_of_many_epochs() -> None:
    """200 epochs of 7 steps were asked for, and 14 steps of 4 s fit: they are judged a few times, not 100 times."""
    interval = partial(validation_interval, epoch=7, validated=1)
    assert planned_steps(60.0, 0.0, 4.0, 0.6, 1400, interval) == 13
