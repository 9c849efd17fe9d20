"""What benchmarks against others share: environments of peers, their servers, and rounds that alternate."""

import asyncio
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from closed_loop import ask

START_SECONDS, STOP_SECONDS = 120.0, 10.0
KEYS = ("requests_per_second", "p50_ms", "p95_ms", "p99_ms")

Round = dict[str, float]


def environment(name: str, packages: Iterable[str], *, beside: Path | None = None) -> Path | None:
    """A Python with those packages, installed into a cache (XDG_CACHE_HOME) on first use; None when it cannot be.

    It finds the packages in the folder `beside`, too.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "rootstock" / "benchmarks" / name
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        print("installing the peers, which takes minutes", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    if beside is not None:
        (site,) = (folder / "lib").glob("python*/site-packages")
        (site / "beside.pth").write_text(f"{beside}\n")
    if not complete.exists():
        install = [str(python), "-m", "pip", "-q", "install", *packages]
        done = subprocess.run(install, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            print(f"the peers cannot be installed and are left out: {done.stdout.strip().splitlines()[-1]}")
            return None
        complete.touch()
    return python


def versions(python: Path, packages: tuple[str, ...]) -> str:
    code = f"from importlib.metadata import version as v; print(*[f'{{p}} {{v(p)}}' for p in {packages!r}], sep=', ')"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def running(program: Iterable[object], log: Path, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a peer, the first of a group that ends with it; `settings` are of its environment."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            list(map(str, program)), stdout=out, stderr=out, env=os.environ | settings, start_new_session=True
        )
    try:
        yield process
    finally:
        process.terminate()  # workers may have process groups of their own: it must end them itself
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answering(process: "subprocess.Popen[bytes]", log: Path, port: int, request: bytes) -> None:
    """Waits until a running peer has answered once."""
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            asyncio.run(once(port, request))
            return
        except (OSError, asyncio.IncompleteReadError):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{log.stem} does not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.2)


async def once(port: int, request: bytes) -> bytes:
    """The answer's body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    try:
        return await ask(reader, writer, request)
    finally:
        writer.close()


def alternating(
    names: Iterable[str], measure: Callable[[str, float], Round], *, rounds: int, seconds: float, warm: float
) -> dict[str, list[Round]]:
    """Rounds of so many seconds of each, one after the other, after one that warms up."""
    found: dict[str, list[Round]] = {name: [] for name in names}
    for name in found:
        measure(name, warm)
    for _ in range(rounds):
        for name, parts in found.items():
            parts.append(measure(name, seconds))
    return found


def middle(parts: list[Round], *keys: str) -> list[float]:
    """Medians."""
    return [statistics.median(part[key] for part in parts) for key in keys]


def times(rounds: Mapping[str, list[Round]], one: str, other: str, key: str = KEYS[0]) -> float:
    """How often one has what the other has, by the median of the rounds."""
    return statistics.median(mine[key] / part[key] for mine, part in zip(rounds[one], rounds[other], strict=True))


def is_api(process: Path, port: int) -> bool:
    """Whether a process, by its folder in /proc, is the API that listens on a port, and not one of another service."""
    if b"app.cli\0api" not in (process / "cmdline").read_bytes():
        return False
    return f"ROOTSTOCK_PORT={port}".encode() in (process / "environ").read_bytes().split(b"\0")


def apis(port: int) -> list[Path]:
    """The folders in /proc of the API that listens on a port: one, or one for each of its processes."""
    found: list[Path] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if is_api(entry, port):
                found.append(entry)
    return found


def memory(port: int, first: int | None, kind: str = "Pss") -> float:
    """MiB of a process and all below it (their shared pages shared out), or of the API that listens on a port."""
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if is_api(entry, port) if first is None else first in _lineage(int(entry.name)):
                rollup = (entry / "smaps_rollup").read_text().splitlines()
                total += next(int(line.split()[1]) for line in rollup if line.startswith(f"{kind}:"))
    return total / 1024


def _lineage(process: int) -> Iterator[int]:
    """The process, its parent, and so on."""
    while process > 1:
        yield process
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
