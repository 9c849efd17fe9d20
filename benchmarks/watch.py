"""Peak memory of a service's processes, sampled from /proc while something is asked of it."""

import contextlib
import threading
from pathlib import Path

from app.demo.service import Client


class Watch:
    """Peak memory, in MB, of the largest process of a service whose command line holds a word."""

    def __init__(self, word: str, client: Client) -> None:
        self.word, self.rss, self.anonymous, self.begun = word.encode(), 0.0, 0.0, 0.0
        self._service = f"ROOTSTOCK_PORT={client.http.base_url.port}".encode()  # others may run on the machine
        self._done = threading.Event()

    def __enter__(self) -> "Watch":
        self.begun = self.look()[0]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def look(self) -> tuple[float, float]:
        """The largest such process now: RSS and what of it is anonymous."""
        found = [(0.0, 0.0)]
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self.word in (folder / "cmdline").read_bytes().replace(b"\0", b" ") and self._service in (
                    folder / "environ"
                ).read_bytes().split(b"\0"):
                    lines = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
                    size = [int(lines.get(key, "0 kB").split()[0]) / 1000 for key in ("VmRSS", "RssAnon")]
                    found.append((size[0], size[1]))
        return max(found, key=lambda pair: pair[1])

    def _run(self) -> None:
        while not self._done.wait(0.02):
            rss, anonymous = self.look()
            self.rss, self.anonymous = max(self.rss, rss), max(self.anonymous, anonymous)
