"""What the demo shows in a terminal: a live progress bar, and a table. Knows no HTTP."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TextIO

WIDTH = 24
SPARSE_PERCENT = 25


class Bar:
    """One job's line: redrawn in place on a terminal, elsewhere a new line per quarter."""

    def __init__(self, what: str, out: TextIO | None = None) -> None:
        self.what = what
        self.out = out or sys.stdout
        self._live = self.out.isatty()
        self._quarter = -1

    def __enter__(self) -> "Bar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self.out.write("\n")
            self.out.flush()

    def show(self, job: dict[str, Any]) -> None:
        """Draws the job as it stands now."""
        line = f"  {self.what:<28} {describe(job)}"
        if self._live:
            self.out.write(f"\r\x1b[2K{line}")
            self.out.flush()
            return
        quarter = int(job["progress"]["percentage_done"]) // SPARSE_PERCENT
        if job["terminal"] or (job["status"] != "queued" and self._quarter < quarter < 100 // SPARSE_PERCENT):
            self._quarter = quarter
            print(line, file=self.out, flush=True)


def describe(job: dict[str, Any]) -> str:
    """A bar, percentage, loss, samples per second and the time that remains."""
    if job["status"] == "queued":
        return "queued"
    progress, metrics = job["progress"], job["metrics"]
    done = float(progress["percentage_done"])
    filled = round(WIDTH * done / 100)
    words = [f"[{'#' * filled}{'.' * (WIDTH - filled)}] {done:5.1f} %"]
    if metrics.get("train_loss") is not None and progress["step"]:
        words.append(f"loss {metrics['train_loss']:.4f}")
    if progress["stage"] is not None:
        words.append(progress["stage"])
    if progress["samples_per_second"] is not None:
        words.append(f"{progress['samples_per_second']:,.0f} samples/s")
    if job["terminal"]:
        words.append(f"{job['status']} in {progress['elapsed_time']:.1f} s")
    elif progress["estimated_remaining_seconds"] is not None:
        words.append(f"{progress['estimated_remaining_seconds']:.0f} s left")
    return "  ".join(words)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first is set to the left, all others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
        )
        return "  " + "   ".join([first, *others])

    return "\n".join([line(head), "  " + "-" * (sum(widths) + 3 * (len(widths) - 1)), *map(line, rows)])
