"""NPY and NPZ: every number type and order of bytes, never an object, never more than was announced."""

import io
import json
import struct
import zipfile
from typing import Any

import numpy as np
import pytest

IMAGES = np.arange(20 * 4 * 3, dtype=np.uint8).reshape(20, 4, 3)
LABELS = np.arange(20) % 4
RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("compressed", [False, True])
def test_images_and_labels_in_one_npz(ingest: Any, to_npz: Any, compressed: bool) -> None:
    made = ingest({"digits.npz": to_npz(compressed=compressed, images=IMAGES, labels=LABELS)})
    assert (made.profile["modality"], made.profile["input"]["shape"]) == ("image", [4, 3, 1])
    np.testing.assert_array_equal(made.read("input")[..., 0], IMAGES)
    assert made.read("target").tolist() == [str(label) for label in LABELS]
    assert made.profile["target"]["classes"] == {"0": 5, "1": 5, "2": 5, "3": 5}
    assert made.profile["splits"] == {"train": 16, "validation": 2, "test": 2}
    assert made.profile["inferred"]["label"] == "'labels', by its name"


@pytest.mark.parametrize(
    "kind", ["<f2", "<f4", ">f4", "<f8", ">f8", "i1", "<i2", ">i4", "<i8", "u1", ">u2", "<u8", "?"]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_number_type_becomes_float32(ingest: Any, to_npy: Any, kind: str, order: Any) -> None:
    values = np.asarray(np.arange(30).reshape(10, 3) % 2, dtype=kind, order=order)
    made = ingest({"x.npy": to_npy(values)})
    assert made.profile["modality"] == "vectors"
    got = made.read("input")
    assert got.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(got, values.astype(np.float32))


def test_a_compressed_column_major_member(ingest: Any, to_npz: Any) -> None:
    values = np.asfortranarray(np.random.default_rng(0).normal(size=(50, 7)))
    made = ingest({"x.npz": to_npz(compressed=True, x=values)})
    np.testing.assert_array_equal(made.read("input"), values.astype(np.float32))


@pytest.mark.parametrize("values", [[7.0, np.nan] * 10, ["7", ""] * 10, [b"7", b""] * 10])
def test_labels_become_names_and_may_be_withheld(ingest: Any, to_npz: Any, values: list[Any]) -> None:
    made = ingest({"d.npz": to_npz(x=IMAGES, y=np.array(values))})
    assert made.read("target").tolist() == ["7", None] * 10
    assert (made.profile["target"]["missing"], made.profile["target"]["classes"]) == (10, {"7": 10})
    assert made.profile["rows"] == 20


@pytest.mark.parametrize("name", ["y", "value", "fat"])
@pytest.mark.parametrize("wide", [(), (1,)])
def test_fractions_beside_the_input_are_values(ingest: Any, to_npz: Any, name: str, wide: tuple[int, ...]) -> None:
    values = np.linspace(0.25, 9.75, len(IMAGES)).reshape(-1, *wide)
    made = ingest({"d.npz": to_npz(x=IMAGES, **{name: values})})
    assert made.profile["target"]["modality"] == "numbers"
    np.testing.assert_allclose(made.read("target").ravel(), values.ravel(), rtol=1e-6)


@pytest.mark.parametrize("kind", [np.str_, np.bytes_])
def test_strings_called_split_are_the_splits(ingest: Any, to_npz: Any, kind: type) -> None:
    split: Any = np.array(["train", "validation", "train", "test"] * (len(IMAGES) // 4)).astype(kind)
    made = ingest({"d.npz": to_npz(x=IMAGES[: len(split)], split=split)})
    assert made.profile["splits"] == {"train": len(split) // 2, "validation": len(split) // 4, "test": len(split) // 4}


def test_labels_as_a_column_of_width_one(ingest: Any, to_npz: Any) -> None:
    made = ingest({"d.npz": to_npz(x=IMAGES, labels=LABELS.reshape(-1, 1))})
    assert made.read("target").tolist() == [str(label) for label in LABELS]


def test_vectors_asked_of_images_are_flattened(ingest: Any, to_npy: Any) -> None:
    made = ingest({"x.npy": to_npy(IMAGES)}, modality="vectors")
    assert made.profile["input"] == {"name": "x", "modality": "vectors", "shape": [12]}
    np.testing.assert_array_equal(made.read("input"), IMAGES.reshape(20, 12).astype(np.float32))


@pytest.mark.parametrize("kind", ["f4", ">f8", "i4", "?"])
def test_images_of_whole_numbers_in_other_types(ingest: Any, to_npy: Any, kind: str) -> None:
    values = (IMAGES % (2 if kind == "?" else 7)).astype(kind)
    made = ingest({"x.npy": to_npy(values)}, modality="image")
    assert made.read("input").dtype == np.uint8
    np.testing.assert_array_equal(made.read("input")[..., 0], values)


def test_colour_images(ingest: Any, to_npy: Any) -> None:
    values = np.arange(10 * 2 * 2 * 3, dtype=np.uint8).reshape(10, 2, 2, 3)
    made = ingest({"x.npy": to_npy(values)})
    assert made.profile["input"]["shape"] == [2, 2, 3]
    np.testing.assert_array_equal(made.read("input"), values)


@pytest.mark.parametrize("wrong", [-1.0, 256.0, 0.5])
def test_what_is_no_pixel_is_named(ingest: Any, to_npy: Any, wrong: float) -> None:
    values = IMAGES.astype(np.float32)
    values[6, 2, 1] = wrong
    made = ingest({"x.npy": to_npy(values)})
    assert made.codes == ["not_a_pixel"]
    assert (made.faults[0].row, made.faults[0].column) == (7, "x[2,1]")
    assert str(wrong) in made.faults[0].message


def test_statistics_are_exact(ingest: Any, to_npy: Any) -> None:
    values = np.random.default_rng(0).normal(3, 2, size=(70_000, 12)).astype(np.float32)
    column = ingest({"x.npy": to_npy(values)}).column("x")
    exact = values.astype(np.float64)
    assert column["type"] == "float32[12]"
    np.testing.assert_allclose([column["mean"], column["std"]], [exact.mean(), exact.std()], rtol=1e-12)
    assert [column["min"], column["max"]] == [
        float(str(values.min())),
        float(str(values.max())),
    ]  # 0.1, not 0.10000000149


@pytest.mark.parametrize(("value", "code"), [(np.nan, "non_finite"), (np.inf, "non_finite"), (1e300, "overflow")])
@pytest.mark.parametrize("kind", ["<f8", ">f8"])
def test_numbers_that_cannot_be_learnt_from(ingest: Any, to_npy: Any, value: float, code: str, kind: str) -> None:
    values = np.zeros((10, 3), kind)
    values[4, 2] = value
    made = ingest({"x.npy": to_npy(values)})
    assert (made.codes, made.faults[0].file) == ([code], "x.npy")
    assert (made.faults[0].row, made.faults[0].column) == (5, "x[2]")
    assert json.dumps(value) in made.faults[0].message


def test_faults_are_counted_beyond_the_thousand_that_are_kept(ingest: Any, to_npy: Any) -> None:
    made = ingest({"x.npy": to_npy(np.full((700, 3), np.nan))})
    assert (made.total, len(made.faults)) == (2100, 1000)


def test_cleaning_drops_rows_and_counts_them(ingest: Any, to_npz: Any) -> None:
    values = np.ones((20, 3))
    values[[2, 5], 1] = np.nan, np.inf
    names = np.array(["a", "b"] * 10)
    names[2] = "only here"
    made = ingest({"x.npz": to_npz(x=values, y=names)}, cleaning={"non_finite": "drop"})
    assert made.profile["rows"] == 18
    assert made.profile["cleaning"] == {"dropped_rows": 2, "dropped": {"non_finite": 2}, "changed": {}}
    assert made.column("x")["missing"] == 2
    assert "2 rows left out" in " ".join(made.profile["warnings"])
    assert sorted(made.profile["target"]["classes"]) == ["a", "b"]
    assert sorted(set(range(20)) - set(made.read("row").tolist())) == [2, 5]


@pytest.mark.parametrize("packed", ["npy", "npz"])
def test_pickled_objects_are_never_read(ingest: Any, to_npy: Any, to_npz: Any, packed: str) -> None:
    objects = np.array([{"a": 1}] * 5, dtype=object)
    content = to_npy(objects, pickled=True) if packed == "npy" else to_npz(x=IMAGES[:5], y=objects)
    made = ingest({f"x.{packed}": content})
    assert made.codes == ["pickled_array"]
    assert "never read" in made.faults[0].message


@pytest.mark.parametrize("modality", ["auto", "text", "vectors"])
def test_strings_alone_are_told_where_text_belongs(ingest: Any, to_npy: Any, modality: str) -> None:
    texts = np.array([f"this is text {n}" for n in range(20)])
    made = ingest({"x.npy": to_npy(texts)}, modality=modality)
    assert made.codes == ["no_input"]
    assert "'x' (strings, <U15: text belongs in .txt, .csv or .jsonl)" in made.faults[0].message
    pickled = ingest({"x.npy": to_npy(texts.astype(object), pickled=True)}, modality=modality)
    assert "holds pickled objects of type object" in pickled.faults[0].message
    assert "text as .txt, .csv or .jsonl" in pickled.faults[0].message


def test_an_array_cut_short(ingest: Any, to_npy: Any) -> None:
    made = ingest({"x.npy": to_npy(np.zeros((10, 3)))[:-9]})
    assert made.codes == ["truncated"]
    assert "231 of 240 bytes" in made.faults[0].message


def test_a_header_that_promises_more_than_there_is(ingest: Any, to_npy: Any) -> None:
    content = to_npy(np.zeros((10, 3))).replace(b"(10, 3)", b"(9**9,)")
    assert ingest({"x.npy": content}).codes == ["damaged"]
    for written, odd in ((b"(10, 3)", b"(-10, -3)"), (b"{'descr':", b"((((((((("), (b"'descr'", b"1234567")):
        assert ingest({"x.npy": to_npy(np.zeros((10, 3))).replace(written, odd)}).codes == ["damaged"]
    content = to_npy(np.zeros((10, 3))).replace(b"(10, 3), }      ", b"(1000000000, 3)}")
    assert ingest({"x.npy": content}).codes == ["truncated"]


def test_a_damaged_member(ingest: Any, to_npz: Any) -> None:
    content = bytearray(to_npz(compressed=True, x=np.random.default_rng(0).normal(size=(50, 7))))
    content[300:320] = bytes(20)
    assert ingest({"x.npz": bytes(content)}).codes == ["damaged"]


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("offset", [2**32 - 2, 2**31, 2**20])
def test_a_directory_that_points_elsewhere(ingest: Any, to_npz: Any, compressed: bool, offset: int) -> None:
    content = bytearray(to_npz(compressed=compressed, x=IMAGES))
    entry = content.index(b"PK\x01\x02")
    content[entry + 42 : entry + 46] = struct.pack("<I", offset)
    made = ingest({"x.npz": bytes(content)})
    assert made.codes == ["damaged"]
    content[entry + 42 : entry + 46] = bytes(4)
    content[-6:-2] = struct.pack("<I", entry + 9)  # the directory itself, by which all offsets are moved
    assert ingest({"x.npz": bytes(content)}).codes == ["damaged"]


def test_an_npz_cut_short(ingest: Any, to_npz: Any) -> None:
    assert ingest({"x.npz": to_npz(x=IMAGES)[:-30]}).codes == ["damaged"]


def test_a_zip_bomb_is_refused_before_it_unpacks(ingest: Any, to_npz: Any) -> None:
    content = to_npz(compressed=True, x=np.zeros((1000, 1000)))
    made = ingest({"x.npz": content}, limit=2**20)
    assert made.codes == ["unpacks_too_large"]
    assert "8,000,128" in made.faults[0].message


def test_many_members_share_the_limit(ingest: Any, to_npz: Any) -> None:
    made = ingest({"x.npz": to_npz(compressed=True, **{f"x{n}": np.zeros(100_000) for n in range(4)})}, limit=2**21)
    assert made.codes == ["unpacks_too_large", "unpacks_too_large"]


def test_a_member_that_lies_about_its_size(ingest: Any, to_npz: Any) -> None:
    content = to_npz(compressed=True, x=np.zeros((1000, 1000)))
    lie = content.replace(struct.pack("<I", 8_000_128), struct.pack("<I", 1000))
    assert lie != content
    assert ingest({"x.npz": lie}, limit=2**20).codes[0] in ("damaged", "truncated")


def test_a_zip_that_holds_something_beside_arrays(ingest: Any, to_npz: Any) -> None:
    buffer = io.BytesIO(to_npz(x=IMAGES))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("readme.txt", "hello")
    made = ingest({"x.npz": buffer.getvalue()})
    assert made.codes == ["unknown_format"]
    assert "readme.txt" in made.faults[0].message


def test_a_zip_that_holds_something_else(ingest: Any) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("word/document.xml", "<x/>")
    made = ingest({"x.npz": buffer.getvalue()})
    assert made.codes == ["unknown_format"]
    assert "is a Word document" in made.faults[0].message


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.zeros(5, "c8"), "unsupported_type"),
        (np.zeros(5, "M8[s]"), "unsupported_type"),
        (np.array(3.0), "unsupported_shape"),
        (np.zeros((5, 2, 2, 2)), "unsupported_shape"),
    ],
)
def test_arrays_that_are_no_columns(ingest: Any, to_npy: Any, values: Any, code: str) -> None:
    assert ingest({"x.npy": to_npy(values)}).codes == [code]


def test_arrays_of_unequal_length(ingest: Any, to_npz: Any) -> None:
    made = ingest({"x.npz": to_npz(images=IMAGES, labels=LABELS[:-1])})
    assert made.codes == ["length_mismatch"]
    assert "19" in made.faults[0].message
    assert "20" in made.faults[0].message


@pytest.mark.parametrize("names", [("x_{}", "y_{}"), ("{}_images", "{}_labels")])
def test_arrays_named_for_splits(ingest: Any, to_npz: Any, names: tuple[str, str]) -> None:
    draw = np.random.default_rng(0)
    sizes = {"train": 20, "val": 6, "test": 8}
    pictures = {split: draw.integers(0, 256, (size, 4, 4), np.uint8) for split, size in sizes.items()}
    labels = {split: draw.integers(0, 3, (size, 1)) for split, size in sizes.items()}
    arrays = {names[0].format(split): held for split, held in pictures.items()}
    arrays |= {names[1].format(split): held for split, held in labels.items()}
    for packed in (True, False):
        made = ingest({"x.npz": to_npz(compressed=packed, **arrays)})
        assert made.profile["splits"] == {"train": 20, "validation": 6, "test": 8}
        np.testing.assert_array_equal(made.read("input")[..., 0], np.concatenate(list(pictures.values())))
        assert made.read("target").tolist() == [str(n) for held in labels.values() for n in held[:, 0]]
        assert made.profile["inferred"]["split"] == "the names of the arrays: train, validation, test"


def test_arrays_of_splits_that_differ_are_not_joined(ingest: Any, to_npz: Any) -> None:
    made = ingest({"x.npz": to_npz(x_train=np.zeros((9, 4)), x_test=np.zeros((9, 5)))})
    assert made.codes == ["ambiguous_columns"]


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_may_come_first(ingest: Any, to_npz: Any, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 10, channels), dtype=np.uint8)
    made = ingest({"x.npz": to_npz(x=pixels.transpose(0, 3, 1, 2), y=np.arange(12) % 3)})
    assert made.profile["input"]["shape"] == [9, 10, channels]
    assert "channels come first" in made.profile["inferred"]["channels"]
    np.testing.assert_array_equal(made.read("input"), pixels)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
def test_fractions_become_pixels(ingest: Any, to_npy: Any, kind: type) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 3, 9, 10), dtype=np.uint8)
    made = ingest({"x.npy": to_npy((pixels / 255).astype(kind))})
    assert "fractions of 0 to 1" in made.profile["inferred"]["brightness"]
    np.testing.assert_array_equal(made.read("input"), pixels.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_fractions_around_nothing_become_pixels_where_they_are_pictures(
    ingest: Any, to_npy: Any, channels: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 10, channels), dtype=np.uint8)
    given = {"x.npy": to_npy((pixels / 127.5 - 1).astype(np.float32))}
    made = ingest(given, modality="image")
    assert "fractions of -1 to 1" in made.profile["inferred"]["brightness"]
    np.testing.assert_array_equal(made.read("input"), pixels)
    alone = ingest(given)
    if channels == 3:
        np.testing.assert_array_equal(alone.read("input"), pixels)
    else:
        assert set(alone.codes) == {"not_a_pixel"}
        assert "those of -1 to 1 where there are three channels or modality is image" in alone.faults[0].message


def test_black_and_white_fractions_are_no_dark_pixels(ingest: Any, to_npy: Any) -> None:
    drawn = np.random.default_rng(0).integers(0, 2, (12, 9, 10)).astype(np.float32)
    assert set(np.unique(ingest({"x.npy": to_npy(drawn)}).read("input"))) == {0, 255}


def test_a_picture_that_is_scaled_otherwise_is_a_fault(ingest: Any, to_npy: Any) -> None:
    pixels = np.random.default_rng(0).random((400, 8, 8), dtype=np.float32)
    pixels[300, 2, 5], pixels[301, 0, 0] = 7.5, np.nan
    made = ingest({"x.npy": to_npy(pixels)})
    assert [(fault.code, fault.row, fault.column) for fault in made.faults] == [
        ("non_finite", 302, "x[0,0]"),
        ("not_a_fraction", 301, "x[2,5]"),
    ]
    assert "7.5 is no pixel" in made.faults[1].message


@pytest.mark.parametrize(
    "series",
    [
        RANDOM.random((20, 100, 6)),
        RANDOM.normal(0, 3, (20, 30, 12)),
        RANDOM.integers(-999, 999, (20, 50, 9)),
        RANDOM.uniform(-0.9, 1.9, (20, 25, 12)),
    ],
)
def test_arrays_of_steps_by_channels_are_series(ingest: Any, to_npy: Any, series: Any) -> None:
    made = ingest({"x.npy": to_npy(series)})
    assert made.profile["input"]["shape"] == [series[0].size]
    assert f"{series.shape[1]} steps by {series.shape[2]} channels" in made.profile["inferred"]["modality"]
    assert made.profile["input"]["channels"] == series.shape[2]
    np.testing.assert_allclose(made.read("input"), series.reshape(20, -1), rtol=1e-6)


def test_what_is_named_vectors_is_series_all_the_same(ingest: Any, to_npy: Any) -> None:
    series = RANDOM.normal(0, 3, (20, 30, 12))
    for options in ({"modality": "vectors"}, {"columns": {"features": "x"}}):
        assert ingest({"x.npy": to_npy(series)}, **options).profile["input"]["channels"] == 12


def test_series_with_gaps_or_of_which_columns_are_left_out_have_no_steps_any_more(ingest: Any, to_npy: Any) -> None:
    series = RANDOM.normal(0, 3, (20, 30, 12))
    series[:, 4, 5] = 1.5
    dropped = ingest({"x.npy": to_npy(series)}, cleaning={"constant": "drop"})
    assert dropped.profile["input"]["shape"] == [359]
    assert "channels" not in dropped.profile["input"]
    series[3, 7, 2] = np.nan
    holed = ingest({"x.npy": to_npy(series)}, cleaning={"non_finite": "impute"})
    assert holed.profile["input"]["gaps"]
    assert "channels" not in holed.profile["input"]


def test_what_looks_like_series_is_pictures_where_that_was_asked_for(ingest: Any, to_npy: Any) -> None:
    assert set(ingest({"x.npy": to_npy(RANDOM.normal(0, 3, (20, 50, 9)))}, modality="image").codes) == {"not_a_pixel"}


def test_numbers_that_may_be_pixels_of_another_depth_are_no_series(ingest: Any, to_npy: Any) -> None:
    assert set(ingest({"x.npy": to_npy(RANDOM.integers(0, 4096, (20, 50, 9)))}).codes) == {"not_a_pixel"}
    assert set(ingest({"x.npy": to_npy(RANDOM.normal(0, 3, (20, 9, 9, 3)))}).codes) == {"not_a_pixel"}


def test_pictures_brought_to_deviation_one_or_of_pixels_between_whole_ones_are_no_series(
    ingest: Any, to_npy: Any
) -> None:
    assert set(ingest({"x.npy": to_npy(RANDOM.uniform(-0.4, 2.8, (20, 28, 28)))}).codes) == {"not_a_pixel"}
    assert set(ingest({"x.npy": to_npy(RANDOM.uniform(0, 255, (20, 40, 30)))}).codes) == {"not_a_pixel"}


def test_another_version_of_the_format_is_named(ingest: Any, to_npy: Any) -> None:
    content = to_npy(np.zeros((10, 3)))
    made = ingest({"x.npy": content[:6] + b"\x03\x00" + content[8:]})
    assert made.codes == ["damaged"]
    assert "version 3.0 is not read; 1.0 and 2.0 are" in made.faults[0].message
