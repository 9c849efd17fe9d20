"""What is measured of steps before the first one."""

import time

import pytest

from worker.step.devices import Devices
from worker.timing import speed
from worker.timing.speed import TRIAL_STEPS, Took, mean_without_slowest, spoken, step_times


def test_speed_is_measured_with_as_many_steps_as_the_first_device_makes() -> None:
    """A device that stopped by its own clock would leave the others waiting for it in the middle of a step."""

    class Second(Devices):
        def agree(self, *numbers: float) -> list[float]:
            told.append(numbers)
            return [float(1 < len(told) <= 4)]

    told: list[tuple[float, ...]] = []
    made: list[int] = []
    step_times([lambda: made.append(1)], Second(1, 2), limit=0.0)
    assert len(made) == 1 + 3
    assert told[2:] == [(False,)] * 3, "by itself it would have stopped after one"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0123, "12.3 ms"), (0.999, "999 ms"), (0.9999, "1 s"), (2.686, "2.69 s"), (32.04, "32 s")]
)
def test_times_are_told_without_powers_of_ten(seconds: float, said: str) -> None:
    assert spoken(seconds) == said


def test_ways_to_make_a_step_take_turns_and_each_has_as_many() -> None:
    made: list[str] = []
    times = step_times([lambda: made.append("one"), lambda: made.append("other")], Devices())
    assert made == ["one", "other"] * (TRIAL_STEPS + 1)
    assert [len(taken) for taken in times] == [TRIAL_STEPS, TRIAL_STEPS]


def test_what_a_processor_worked_is_told_without_its_waits() -> None:
    def works() -> None:
        until = time.process_time() + 0.01
        while time.process_time() < until:
            pass

    waited, worked = step_times([lambda: time.sleep(0.02), works], Devices(), 0.1)
    assert max(took.worked for took in waited) < min(took.worked for took in worked)
    assert min(took.seconds for took in waited) >= 0.02


def test_steps_that_take_long_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute each, of long texts: to make them five times would take the whole of a small budget."""
    monkeypatch.setattr(speed, "DEAR_STEP", 0.01)
    made: list[str] = []

    def way(name: str, seconds: float) -> None:
        made.append(name)
        time.sleep(seconds)

    times = step_times([lambda: way("one", 0.02), lambda: way("other", 0.0)], Devices(), 0.01)
    assert made == ["one", "other"]
    assert times[0][0].seconds >= 0.02


def test_the_slowest_tenth_of_steps_does_not_count() -> None:
    assert mean_without_slowest([Took(9.0, 0.0), *[Took(1.0, 0.0)] * 9]) == 1.0
    assert mean_without_slowest([Took(3.0, 0.0)]) == 3.0
