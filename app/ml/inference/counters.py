"""What has been done: counters and durations of one process."""

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

BUCKETS = (
    *(
        0.0001,
        0.00025,
        0.0005,
        0.001,
        0.0025,
        0.005,
        0.01,
        0.025,
        0.05,
        0.1,
        0.25,
        0.5,
        1.0,
        2.5,
        5.0,
        10.0,
        30.0,
        60.0,
    ),
)
"""Upper bounds of histograms of durations, in seconds."""


class Timings(NamedTuple):
    """Where one request's time went, in seconds."""

    preprocess: float
    queue: float
    inference: float


class Counters:
    """Sums over this process's requests and batches, and how long stages took; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums = defaultdict[str, float](float)
        self._stages = {name: Histogram() for name in Timings._fields}

    def add(self, **amounts: float) -> None:
        with self._lock:
            for name, amount in amounts.items():
                self._sums[name] += amount

    def answered(self, rows: int, timings: Sequence[Timings]) -> None:
        """Requests of `rows` items together, with the timings of each."""
        with self._lock:
            self._sums["requests_total"] += len(timings)
            self._sums["items_total"] += rows
            for took, some in groupby(timings):  # those that were computed together often took the same
                times = len(list(some))
                for histogram, seconds in zip(self._stages.values(), took, strict=True):
                    histogram.add(seconds, times=times)

    def read(self) -> dict[str, float]:
        with self._lock:
            return dict(self._sums)

    def stages(self) -> dict[str, "Histogram"]:
        """Copies, by the stage's name."""
        with self._lock:
            return {name: histogram.copy() for name, histogram in self._stages.items()}


class Histogram:
    """How many durations fell between which bounds."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        """One per bucket, the last without bound."""
        self.seconds = 0.0

    def add(self, *seconds: float, times: int = 1) -> None:
        """Durations, each of which there was so many times."""
        self.seconds += times * sum(seconds)
        if len(seconds) > 2:
            place = bisect_left(BUCKETS, min(seconds))
            if place == bisect_left(BUCKETS, max(seconds)):  # those of one batch often are in one bucket
                self.counts[place] += times * len(seconds)
                return
        for each in seconds:
            self.counts[bisect_left(BUCKETS, each)] += times

    def copy(self) -> "Histogram":
        made = Histogram()
        made.counts, made.seconds = list(self.counts), self.seconds
        return made
