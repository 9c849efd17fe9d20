"""How fast files become datasets in this process, each beside the least that has to be done with such a file."""

import hashlib
import io
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from PIL import Image

from app.dataset_options import DatasetOptions
from app.storage import storage_at
from worker.ingest.assembly import assemble
from worker.ingest.faults import Faults
from worker.ingest.source import Context, Input

MB = 1_000_000
STORE = "store"
DRAWN = np.random.default_rng(0)


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
