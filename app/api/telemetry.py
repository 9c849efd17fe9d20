"""Counts requests and their durations, and writes numbers in Prometheus' text format. Knows no route and no SQL."""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram of durations, in seconds."""

Labels = Mapping[str, str]


class Telemetry:
    """The numbers of this process; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str, int], list[float]] = {}
        """Per method, route and status: a count per bucket (the last without bound), then the sum of seconds."""

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        bucket = bisect_left(BUCKETS, seconds)
        with self._lock:
            numbers = self._requests.setdefault((method, route, status), [0.0] * (len(BUCKETS) + 2))
            numbers[bucket] += 1
            numbers[-1] += seconds

    def lines(self) -> list[str]:
        """`rootstock_requests_total` and the histogram `rootstock_request_seconds`."""
        with self._lock:
            taken = {key: list(numbers) for key, numbers in sorted(self._requests.items())}
        labelled = [
            ({"method": method, "route": route, "status": str(status)}, numbers)
            for (method, route, status), numbers in taken.items()
        ]
        totals = [(labels, sum(numbers[:-1])) for labels, numbers in labelled]
        lines = family("rootstock_requests_total", "counter", "Requests answered.", totals)
        lines += heading("rootstock_request_seconds", "histogram", "Time from request to the end of the answer.")
        for labels, numbers in labelled:
            reached = 0.0
            for bound, count in zip([*map(str, BUCKETS), "+Inf"], numbers[:-1], strict=True):
                reached += count
                lines.append(sample("rootstock_request_seconds_bucket", {**labels, "le": bound}, reached))
            lines.append(sample("rootstock_request_seconds_sum", labels, numbers[-1]))
            lines.append(sample("rootstock_request_seconds_count", labels, reached))
        return lines


def heading(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def family(name: str, kind: str, text: str, samples: Iterable[tuple[Labels, float]]) -> list[str]:
    """The lines of one metric."""
    return [*heading(name, kind, text), *(sample(name, labels, value) for labels, value in samples)]


def sample(name: str, labels: Labels, value: float) -> str:
    inner = ",".join(f'{key}="{escape(text)}"' for key, text in labels.items())
    return f"{name}{{{inner}}} {value:.9g}" if inner else f"{name} {value:.9g}"


def escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
