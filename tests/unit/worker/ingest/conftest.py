"""The whole of ingest without registry and storage: bytes in, splits and profile or faults out."""

import io
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.dataset import Split
from app.dataset_options import DatasetOptions
from worker.ingest.assembly import assemble
from worker.ingest.faults import Fault, Faults, Refused
from worker.ingest.source import Context, Input


@dataclass
class Ingested:
    """What came out: faults, or a profile and splits."""

    total: int
    faults: list[Fault]
    profile: dict[str, Any] = field(default_factory=dict)
    splits: dict[str, Split] = field(default_factory=dict)
    cut_short: bool = False

    @property
    def codes(self) -> list[str]:
        return [fault.code for fault in self.faults]

    def read(self, role: str) -> NDArray[Any]:
        """A column of all splits, in the order of the source."""
        parts = [
            (split.read(role, n), split.read("row", n)) for split in self.splits.values() for n in range(split.batches)
        ]
        values = np.concatenate([part[0] for part in parts])
        return np.asarray(values[np.argsort(np.concatenate([part[1] for part in parts]))])

    def column(self, name: str) -> dict[str, Any]:
        return next(column for column in self.profile["columns"] if column["name"] == name)


Ingest = Callable[..., Ingested]


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    """`ingest({"a.csv": bytes}, limit=…, **options)`: file ids are the names."""

    def run(contents: Mapping[str, bytes], *, limit: int = 2**30, **options: Any) -> Ingested:
        faults = Faults()
        with ExitStack() as opened:
            context = Context(faults, opened, tmp_path, limit, lambda rows: None)
            inputs = []
            for number, (name, content) in enumerate(contents.items()):
                path = tmp_path / f"upload-{number}"
                path.write_bytes(content)
                inputs.append(Input(name, name, opened.enter_context(path.open("rb")), len(content)))
            try:
                made = assemble(inputs, DatasetOptions.model_validate({"files": list(contents), **options}), context)
            except Refused:
                return Ingested(faults.total, faults.kept, cut_short=faults.cut_short)
            splits = {}
            folder = Path(tempfile.mkdtemp(dir=tmp_path))
            for name, file in made.files.items():
                file.seek(0)
                (folder / name).write_bytes(file.read())
                splits[name.removesuffix(".arrow")] = Split(folder / name)
        assert faults.total == 0
        return Ingested(0, [], made.profile, splits)

    return run


def npy(values: NDArray[Any], *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=pickled)
    return buffer.getvalue()


@pytest.fixture
def to_npy() -> Callable[..., bytes]:
    return npy


@pytest.fixture
def to_npz() -> Callable[..., bytes]:
    def pack(*, compressed: bool = False, **arrays: NDArray[Any]) -> bytes:
        buffer = io.BytesIO()
        if compressed:
            np.savez_compressed(buffer, allow_pickle=True, **arrays)
        else:
            np.savez(buffer, allow_pickle=True, **arrays)
        return buffer.getvalue()

    return pack


@pytest.fixture
def to_idx() -> Callable[[NDArray[Any]], bytes]:
    def pack(values: NDArray[Any]) -> bytes:
        codes = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
        kind = codes[f"{values.dtype.kind}{values.dtype.itemsize}"]
        header = bytes([0, 0, kind, values.ndim]) + np.array(values.shape, ">u4").tobytes()
        return header + values.astype(values.dtype.newbyteorder(">")).tobytes()

    return pack
