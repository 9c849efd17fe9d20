"""Memory and speed of the way from a file to a dataset, each beside an honest floor in the same run.

    .venv/bin/python benchmarks/ingest.py uploads [--megabytes 100 1000 4000]   memory of the API
    .venv/bin/python benchmarks/ingest.py memory [--rows 1000000 4000000]       memory of the worker, tables
    .venv/bin/python benchmarks/ingest.py rates       CSV, pictures and text beside reading them at all
    .venv/bin/python benchmarks/ingest.py large       10 million rows of 64 numbers, ingested and trained on once

What is measured in this process runs in the surroundings that the launcher gives to a job's, floors included.
Memory is sampled every 20 ms from /proc: `RSS` counts mapped files too, `anonymous` what a process holds itself.
"""

import argparse
import contextlib
import hashlib
import io
import os
import shutil
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from PIL import Image

from app.dataset_options import DatasetOptions
from app.demo.service import Client, started
from app.storage import storage_at
from worker.ingest.assembly import assemble
from worker.ingest.faults import Faults
from worker.ingest.source import Context, Input
from worker.processes.launcher import SURROUNDINGS

MB = 1_000_000
STORE = "store"
DRAWN = np.random.default_rng(0)


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


def uploads(sizes: list[int]) -> None:
    print("upload of random bytes, POST /v1/files\n      MB   seconds  MB/s   API RSS before -> peak (MB)")
    with started() as client, tempfile.NamedTemporaryFile() as file:
        for size in sizes:
            file.truncate(0)
            file.seek(0)
            for _ in range(size // 10):
                file.write(DRAWN.bytes(10 * MB))
            file.flush()
            file.seek(0)
            with Watch("app.cli api", client) as watch:
                began = time.perf_counter()
                sent = client.http.post(
                    "/v1/files", files={"file": ("big.bin", file)}, data={"purpose": "pretrain"}, timeout=600
                )
                seconds = time.perf_counter() - began
            sent.raise_for_status()
            print(f"{size:>8} {seconds:>9.1f} {size / seconds:>5.0f}   {watch.begun:.0f} -> {watch.rss:.0f}")


def make(client: Client, name: str, path: Path, **options: Any) -> dict[str, Any]:
    with path.open("rb") as file:
        sent = client.http.post(
            "/v1/datasets", files={"file": (path.name, file)}, data={"name": name, **options}, timeout=900
        )
    sent.raise_for_status()
    made: dict[str, Any] = sent.json()
    while made["status"] == "validating":
        time.sleep(0.1)
        made = client.call("GET", f"/v1/datasets/{made['id']}")
    if made["status"] != "ready":
        raise SystemExit(f"{name}: {made['error']}")
    return made


def memory(sizes: list[int]) -> None:
    print("ingest of CSV, 8 numbers and a class\n     rows  file MB  seconds   worker anonymous, RSS (MB)")
    peaks = []
    with started() as client, tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            path = write_csv(Path(folder, f"{rows}.csv"), rows, 8)
            began = time.perf_counter()
            with Watch("worker.processes.process", client) as watch:
                make(client, "rows", path, modality="vectors")
            seconds = time.perf_counter() - began
            peaks.append(watch.anonymous)
            print(
                f"{rows:>9} {path.stat().st_size / MB:>8.0f} {seconds:>8.1f}   {watch.anonymous:.0f}, {watch.rss:.0f}"
            )
            path.unlink()
    if len(sizes) > 1:
        slope = (peaks[-1] - peaks[0]) * MB / (sizes[-1] - sizes[0])
        print(f"growth from the first to the last: {slope:.1f} bytes a row (aim: at most 32)")


def write_csv(path: Path, rows: int, width: int) -> Path:
    with path.open("wb") as file:
        for start in range(0, rows, 100_000):
            part = min(100_000, rows - start)
            columns = {f"c{place}": DRAWN.normal(size=part).round(5) for place in range(width)}
            table = pa.table({**columns, "label": DRAWN.integers(0, 5, part)})
            pyarrow.csv.write_csv(table, file, pyarrow.csv.WriteOptions(include_header=start == 0))
    return path


def ingest(path: Path, scratch: Path, **options: Any) -> None:
    """From the file to its splits in a store, in this process."""
    storage = storage_at(f"file://{scratch}/{STORE}", scratch / "cache", 2**40)
    with ExitStack() as opened:
        faults = Faults()
        context = Context(faults, opened, scratch, 2**40, lambda rows: None)
        file = Input("file", path.name, opened.enter_context(path.open("rb")), path.stat().st_size)
        made = assemble([file], DatasetOptions.model_validate({"files": ["file"], **options}), context)
        for name, stream in made.files.items():
            if storage.adopt(name, stream, made.sha256[name]) is None:
                raise SystemExit("files are copied into the store here: both must lie on one disk")


def copy_and_hash(source: Any, target: Path) -> None:
    found = hashlib.sha256()
    with target.open("wb") as copy:
        while chunk := source.read(1 << 20):
            found.update(chunk)
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())  # as the store does


def decode_all(pictures: list[bytes]) -> int:
    return sum(np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).size for picture in pictures)


def rates(rounds: int) -> None:
    print(f"medians of {rounds} rounds by turns, and of their ratios; a floor is the least that has to be done\n")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        table = write_csv(scratch / "table.csv", 1_000_000, 10)
        words = np.array([f"word{number}" for number in range(5000)])
        lines = [" ".join(words[DRAWN.integers(0, 5000, 16)]) for _ in range(200_000)]
        text = scratch / "text.txt"
        with text.open("w") as file:
            for number in range(5):
                file.writelines(f"{line} {number}\n" for line in lines)
        pictures = [jpeg() for _ in range(800)]
        archive = pack(pictures, scratch / "pictures.zip")
        cores = os.cpu_count() or 1
        parts = [pictures[core::cores] for core in range(cores)]
        with ProcessPoolExecutor(cores) as pool:
            list(pool.map(decode_all, [part[:1] for part in parts]))
            fewer = write_csv(scratch / "fewer.csv", 1_000, 10)
            compare(
                "CSV, beside pyarrow.csv reading it",
                table,
                fewer,
                lambda: pyarrow.csv.read_csv(table),
                scratch,
                rounds,
            )
            compare(
                f"800 JPEG of 640 x 480 to 128 x 128, beside Pillow in {cores} processes",
                archive,
                pack(pictures[:8], scratch / "fewer.zip"),
                lambda: list(pool.map(decode_all, parts)),
                scratch,
                rounds,
                image_size=128,
            )

            def copied() -> None:
                with text.open("rb") as source:
                    copy_and_hash(source, scratch / STORE / "copy")

            few = scratch / "few.txt"
            few.write_text("".join(f"{line}\n" for line in lines[:1_000]))
            compare("text, beside copying and hashing it", text, few, copied, scratch, rounds)


def pack(pictures: list[bytes], path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for number, picture in enumerate(pictures):
            packed.writestr(f"{'ab'[number % 2]}/{number}.jpg", picture)
    return path


def jpeg() -> bytes:
    smooth = Image.fromarray(DRAWN.integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize((640, 480))
    held = io.BytesIO()
    smooth.save(held, "JPEG")
    return held.getvalue()


def compare(
    what: str, path: Path, fewer: Path, floor: Callable[[], object], scratch: Path, rounds: int, **options: Any
) -> None:
    """`fewer` has so few rows that what it takes is what any ingest takes."""
    seconds: dict[str, list[float]] = {"floor": [], "basic": [], "full": [], "fixed": []}
    for turn in range(rounds + 1):
        for name, taken in seconds.items():
            fresh(scratch)
            began = time.perf_counter()
            if name == "floor":
                floor()
            else:
                profile = "full" if name == "full" else "basic"
                ingest(fewer if name == "fixed" else path, scratch, profile=profile, **options)
            if turn:  # the first one finds memory and files cold, on whichever side
                taken.append(time.perf_counter() - began)
    least, basic, full, fixed = (float(np.median(values)) for values in seconds.values())
    ratios = np.divide(seconds["basic"], seconds["floor"])
    size = path.stat().st_size / MB
    print(
        f"{what}\n  {size:.0f} MB: floor {least:.2f} s, ingest {basic:.2f} s = {np.median(ratios):.2f} x the floor "
        f"({ratios.min():.2f} to {ratios.max():.2f}), {fixed:.2f} s of it fixed; with the full profile {full:.2f} s, "
        f"{full - basic:+.2f} s; {size / basic:.0f} MB/s"
    )


def fresh(scratch: Path) -> None:
    """Both sides write new files to a disk that has nothing else to do: neither pays for what was there before."""
    shutil.rmtree(scratch / STORE, ignore_errors=True)
    os.sync()
    (scratch / STORE).mkdir()


def large(rows: int) -> None:
    with started() as client, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.npy")
        values = np.lib.format.open_memmap(path, "w+", np.float32, (rows, 64))
        for start in range(0, rows, 1 << 18):
            part = values[start : start + (1 << 18)]
            part[:] = DRAWN.random(part.shape, dtype=np.float32)
        values.flush()
        del values
        with Watch("app.cli api", client) as api, Watch("worker.processes.process", client) as worker:
            began = time.perf_counter()
            made = make(client, "large", path)
            print(
                f"{rows:,} x 64, {path.stat().st_size / MB:,.0f} MB: "
                f"uploaded and ingested in {time.perf_counter() - began:.0f} s"
            )
        print(
            f"  API peak RSS {api.rss:.0f} MB; worker peak anonymous {worker.anonymous:.0f} MB, RSS {worker.rss:.0f} MB"
        )
        path.unlink()
        request = {
            "kind": "pretrain",
            "dataset": made["id"],
            "encoder": {"name": "mlp", "preset": "nano", "dimensions": 8},
            "objective": {"name": "autoencoding"},
            "training": {"epochs": 1, "batch_size": 1024},
        }
        with Watch("worker.processes.process", client) as worker:
            began = time.perf_counter()
            job = client.train("one epoch", request)
            seconds = time.perf_counter() - began
        print(f"  one epoch {seconds:.0f} s, {job['progress']['samples_per_second']:,.0f} samples/s")
        print(f"  trainer peak anonymous {worker.anonymous:.0f} MB, RSS {worker.rss:.0f} MB")


def main() -> Iterator[None]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["uploads", "memory", "rates", "large"])
    parser.add_argument("--megabytes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--rows", type=int, nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if asked.what in (None, "rates"):
        yield rates(asked.rounds)
    if asked.what in (None, "uploads"):
        yield uploads(asked.megabytes)
    if asked.what in (None, "memory"):
        yield memory(asked.rows or [500_000, 1_000_000, 2_000_000])
    if asked.what == "large":
        yield large((asked.rows or [10_000_000])[0])


if __name__ == "__main__":
    surroundings = {**SURROUNDINGS, **os.environ}
    if surroundings != os.environ:  # the allocator reads them when a process starts
        os.execve(sys.executable, sys.orig_argv, surroundings)
    for _ in main():
        print()
