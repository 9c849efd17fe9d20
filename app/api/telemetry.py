"""Counts requests and their durations, and writes numbers in Prometheus' text format. Knows no route and no SQL."""

import threading
from collections.abc import Iterable, Mapping

from app.ml.inference.counters import BUCKETS, Histogram

Labels = Mapping[str, str]


class Telemetry:
    """The numbers of this process; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str, int], Histogram] = {}
        """Per method, route and status."""

    def requests(self, method: str, route: str, status: int, *seconds: float) -> None:
        """Those that were answered alike, and how long each took."""
        key = method, route, status
        with self._lock:
            found = self._requests.get(key)
            if found is None:
                found = self._requests[key] = Histogram()
            found.add(*seconds)

    def lines(self) -> list[str]:
        """`rootstock_requests_total` and the histogram `rootstock_request_seconds`."""
        with self._lock:
            taken = {key: found.copy() for key, found in sorted(self._requests.items())}
        labelled: list[tuple[Labels, Histogram]] = [
            ({"method": method, "route": route, "status": str(status)}, found)
            for (method, route, status), found in taken.items()
        ]
        totals = [(labels, float(sum(found.counts))) for labels, found in labelled]
        lines = family("rootstock_requests_total", "counter", "Requests answered.", totals)
        text = "Time from request to the end of the answer."
        return lines + histogram("rootstock_request_seconds", text, labelled)


def histogram(name: str, text: str, labelled: Iterable[tuple[Labels, Histogram]]) -> list[str]:
    """The lines of one histogram, per labels."""
    lines = heading(name, "histogram", text)
    for labels, found in labelled:
        reached = 0
        for bound, count in zip([*map(str, BUCKETS), "+Inf"], found.counts, strict=True):
            reached += count
            lines.append(sample(f"{name}_bucket", {**labels, "le": bound}, reached))
        lines.append(sample(f"{name}_sum", labels, found.seconds))
        lines.append(sample(f"{name}_count", labels, reached))
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
