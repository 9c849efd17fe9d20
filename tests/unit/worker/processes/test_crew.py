"""How a job's own process prepares those of its devices."""

import os

import pytest

from worker.processes.crew import threads_each


@pytest.mark.parametrize(
    ("asked", "devices", "each"), [("8", 2, "4"), ("2", 2, "1"), ("1", 4, "1"), ("", 1, str(os.cpu_count()))]
)
def test_members_share_the_threads_of_a_job(
    monkeypatch: pytest.MonkeyPatch, asked: str, devices: int, each: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert threads_each(devices) == each
