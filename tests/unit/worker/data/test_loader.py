"""The loader gives every row once an epoch, in an order that seed and epoch decide, from any step on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from app.dataset import ROW, Split, field
from app.ml.modalities.base import Fitted
from app.ml.modalities.classes import Classes
from app.ml.modalities.text import FittedText, Text
from app.ml.modalities.vectors import Vectors
from app.ml.tensors.padding import Packed
from app.ml.tensors.shapes import Column
from worker.data.loader import Loader, alike, rows_at_once

WIDTH = 3
SIZES = [40, 40, 40, 17]
ROWS = sum(SIZES)
BYTES_PER_ROW = 4 * WIDTH

Make = Callable[..., Loader]


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Rows whose numbers are their positions; every third one has no label."""
    described = pa.schema([field("input", "vectors", [WIDTH]), field("target", "classes"), ROW])
    path = tmp_path / "train.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, described) as writer:
        first = 0
        for size in SIZES:
            rows = np.arange(first, first + size)
            values = pa.array(np.repeat(rows, WIDTH).astype(np.float32))
            codes = pa.array([None if row % 3 == 0 else row % 2 for row in rows], pa.int32())
            writer.write_batch(
                pa.record_batch(
                    [
                        pa.FixedSizeListArray.from_arrays(values, WIDTH),
                        pa.DictionaryArray.from_arrays(codes, pa.array(["0", "1"])),
                        pa.array(rows),
                    ],
                    schema=described,
                )
            )
            first += size
    return Split(path)


@pytest.fixture
def fitted() -> dict[str, Fitted]:
    return {"input": Vectors(scaling="none").fit([np.zeros((2, WIDTH), np.float32)])}


def loader(split: Split, roles: dict[str, Fitted], *, batch: int = 16, seed: int = 0, windows: int = 1) -> Loader:
    return Loader(split, roles, batch_size=batch, seed=seed, window_bytes=(ROWS // windows + 1) * BYTES_PER_ROW)


def rows_of(loaded: Loader, epoch: int, start: int = 0) -> list[list[int]]:
    return [batch.rows.tolist() for batch in loaded.epoch(epoch, start)]


@pytest.mark.parametrize("windows", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 16, 50, 1000])
def test_an_epoch_has_every_row_once(split: Split, fitted: dict[str, Fitted], windows: int, batch: int) -> None:
    loaded = loader(split, fitted, batch=batch, windows=windows)
    batches = rows_of(loaded, 0)

    assert sorted(row for rows in batches for row in rows) == list(range(ROWS))
    assert len(batches) == loaded.steps_per_epoch
    assert all(len(rows) == batch for rows in batches[:-1])


@pytest.mark.parametrize("windows", [1, 3])
def test_rows_carry_their_own_values(split: Split, fitted: dict[str, Fitted], windows: int) -> None:
    for batch in loader(split, fitted, windows=windows).epoch(0):
        expected = batch.rows[:, None].expand(-1, WIDTH).float()
        assert torch.equal(batch.roles["input"]["values"], expected)


@pytest.mark.parametrize("windows", [1, 2, 4])
def test_any_step_is_found_again(split: Split, fitted: dict[str, Fitted], windows: int) -> None:
    whole = list(loader(split, fitted, windows=windows).epoch(3))
    for start in range(len(whole)):
        resumed = list(loader(split, fitted, windows=windows).epoch(3, start))
        assert [batch.rows.tolist() for batch in resumed] == [batch.rows.tolist() for batch in whole[start:]]
        assert [batch.seed for batch in resumed] == [batch.seed for batch in whole[start:]]


def test_order_changes_with_epoch_and_seed_only(split: Split, fitted: dict[str, Fitted]) -> None:
    first = loader(split, fitted)
    assert rows_of(first, 0) == rows_of(loader(split, fitted), 0)
    assert rows_of(first, 0) != rows_of(first, 1)
    assert rows_of(first, 0) != rows_of(loader(split, fitted, seed=1), 0)


def test_rows_without_a_label_are_left_out(split: Split, fitted: dict[str, Fitted]) -> None:
    roles = fitted | {"target": Classes().fit([np.array(["0", "1"], dtype=object)])}
    loaded = loader(split, roles)
    rows = {row for batch in rows_of(loaded, 0) for row in batch}

    assert rows == {row for row in range(ROWS) if row % 3}
    for batch in loaded.epoch(0):
        assert torch.equal(batch.roles["target"]["values"], batch.rows % 2)


def test_in_order_is_in_order_and_bounded(split: Split, fitted: dict[str, Fitted]) -> None:
    loaded = loader(split, fitted)
    assert [row for batch in loaded.in_order() for row in batch.rows.tolist()] == list(range(ROWS))

    some = [row for batch in loaded.in_order(50) for row in batch.rows.tolist()]
    assert some == sorted(some)
    assert (len(some), some[0], some[-1]) == (50, 0, ROWS - 1)


def reading(folder: Path, texts: list[str], *, windows: int, groups_by_length: bool = False) -> Loader:
    """A loader of texts, in record batches of 20."""
    path = folder / "texts.arrow"
    described = pa.schema([field("input", "text"), ROW])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, described) as writer:
        for first in range(0, len(texts), 20):
            rows = list(range(first, min(len(texts), first + 20)))
            columns = [pa.array([texts[row] for row in rows]), pa.array(rows, pa.int64())]
            writer.write_batch(pa.record_batch(columns, schema=described))
    roles: dict[str, Fitted] = {"input": Text(tokenizer="words").fit([np.array(texts, dtype=object)])}
    window = len(texts) // windows * 40
    return Loader(Split(path), roles, batch_size=16, seed=0, window_bytes=window, groups_by_length=groups_by_length)


@pytest.mark.parametrize("windows", [1, 3])
def test_texts_are_as_long_as_the_longest_of_their_batch(tmp_path: Path, windows: int) -> None:
    loaded = reading(tmp_path, [" ".join(["word"] * (1 + row % 7)) for row in range(100)], windows=windows)
    whole = list(loaded.epoch(2))

    assert sorted(row for batch in whole for row in batch.rows.tolist()) == list(range(100))
    for batch in whole:
        mask = batch.roles["input"]["mask"]
        assert torch.equal(mask.sum(1), 1 + batch.rows % 7)
        assert mask.shape[1] == mask.sum(1).max()
        assert (batch.roles["input"]["values"][~mask] == 0).all()
    for start in range(len(whole)):
        resumed = next(loaded.epoch(2, start))
        assert torch.equal(resumed.roles["input"]["values"], whole[start].roles["input"]["values"])


@pytest.mark.parametrize("sizes", [(100, 16), (64, 16), (5, 16), (300, 8)])
def test_sorted_batches_are_of_about_one_length_and_come_in_any_order(sizes: tuple[int, int]) -> None:
    rows, batch = sizes
    lengths = torch.from_numpy(np.random.default_rng(0).integers(1, 100, rows))
    permutation = torch.randperm(rows, generator=torch.Generator().manual_seed(0))
    shuffled = torch.arange(rows // batch).flip(0)
    found = alike(permutation, lengths, shuffled, batch)

    assert sorted(found.tolist()) == list(range(rows))
    whole = batch * len(shuffled)
    assert torch.equal(found[whole:], permutation[whole:]), "the shorter batch stays a random one"
    if len(shuffled) > 1:
        spread, usual = (
            float(lengths[order[:whole]].view(-1, batch).float().std(1).mean()) for order in (found, permutation)
        )
        assert spread < usual / 3
        firsts = lengths[found[:whole]].view(-1, batch)[:, 0]
        assert firsts.tolist() != firsts.sort().values.tolist()


@pytest.mark.parametrize("windows", [1, 3])
def test_a_loader_that_sorts_gives_every_row_and_finds_any_step_again(tmp_path: Path, windows: int) -> None:
    texts = [" ".join(["word"] * (1 + row % 7)) for row in range(600)]
    loaded = reading(tmp_path, texts, windows=windows, groups_by_length=True)
    whole = list(loaded.epoch(2))
    assert sorted(row for batch in whole for row in batch.rows.tolist()) == list(range(600))
    padding = [int((~batch.roles["input"]["mask"]).sum()) for batch in whole]
    plain = [int((~batch.roles["input"]["mask"]).sum()) for batch in reading(tmp_path, texts, windows=windows).epoch(2)]
    assert sum(padding) < sum(plain) / 2
    for start in range(0, len(whole), 5):
        resumed = list(reading(tmp_path, texts, windows=windows, groups_by_length=True).epoch(2, start))
        assert [batch.rows.tolist() for batch in resumed] == [batch.rows.tolist() for batch in whole[start:]]


@pytest.mark.parametrize(("numbers", "rows"), [(1, 1024), (784, 1024), (3 * 128 * 128, 170), (2**30, 1)])
def test_large_rows_are_judged_a_few_at_once(numbers: int, rows: int) -> None:
    assert rows_at_once(numbers) == rows


def test_texts_are_encoded_once_for_several_passes_as_far_as_a_window_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"word number {row % 7}" for row in range(100)]
    encoded: list[int] = []
    pack = FittedText.pack

    def counted(self: FittedText, column: Column) -> Packed:
        encoded.append(len(column))
        return pack(self, column)

    monkeypatch.setattr(FittedText, "pack", counted)
    for windows, again in ((1, 0), (5, 80)):
        loaded = reading(tmp_path, texts, windows=windows)
        passes = []
        for _ in range(3):
            encoded.clear()
            passes.append([batch.roles["input"]["values"].tolist() for batch in loaded.in_order()])
        assert passes[0] == passes[1] == passes[2]
        assert sum(encoded) == again
    some = [row for batch in loaded.in_order(10) for row in batch.rows.tolist()]
    assert some == list(range(0, 100, 11))
