"""ZIP and TAR from strangers: paths that lead out, links, bombs, and archives that are cut or damaged."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from typing import Any

import numpy as np
import pytest

from tests.picture_archives import picture, to_tar, to_zip
from worker.ingest.archives import containers

GOOD = {f"{'ab'[n % 2]}/{n}.png": picture(n) for n in range(10)}
OUTSIDE = ["../../evil.png", "/etc/evil.png", "a/../../evil.png", "C:\\evil.png", "\\\\host\\evil.png", "..\\evil.png"]


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("pack", [to_zip, to_tar])
def test_paths_that_lead_out(ingest: Any, pack: Any, path: str) -> None:
    made = ingest({"x": pack(GOOD | {path: picture()})})
    assert made.codes == ["unsafe_path"]
    assert "leads out of the archive" in made.faults[0].message


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar(ingest: Any, kind: bytes) -> None:
    held = io.BytesIO(to_tar(GOOD))
    with tarfile.open(fileobj=held, mode="a") as archive:
        info = tarfile.TarInfo("a/link.png")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    link = kind in (tarfile.SYMTYPE, tarfile.LNKTYPE)
    assert ingest({"x": held.getvalue()}).codes == ["unsafe_link" if link else "unsafe_file"]


def test_links_and_locks_in_a_zip(ingest: Any) -> None:
    held = io.BytesIO(to_zip(GOOD))
    with zipfile.ZipFile(held, "a") as archive:
        info = zipfile.ZipInfo("a/link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    assert ingest({"x": held.getvalue()}).codes == ["unsafe_link"]
    content = bytearray(to_zip(GOOD))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert ingest({"x": bytes(content)}).codes == ["locked"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_one_path_twice(ingest: Any) -> None:
    held = io.BytesIO(to_zip(GOOD))
    with zipfile.ZipFile(held, "a") as archive:
        archive.writestr("a/./0.png", picture())
    assert ingest({"x": held.getvalue()}).codes == ["duplicate_file"]


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_kind_of_tar(ingest: Any, kind: int) -> None:
    members = {f"./{'long/' * 15}{path}": content for path, content in GOOD.items()}
    made = ingest({"x": to_tar(members, kind)})
    assert made.read("target").tolist() == ["a", "b"] * 5


def test_a_bomb_by_the_total(ingest: Any) -> None:
    members = GOOD | {f"{n}.png": bytes(2**20) for n in range(4)}
    for content in (to_zip(members), gzip.compress(to_tar(members))):
        made = ingest({"x": content}, limit=3 * 2**20)
        assert made.codes[0] == "unpacks_too_large"


def test_a_bomb_by_the_ratio(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.ingest.readers.unpack.RATIO_FREE", 2**20)
    assert ingest({"x": to_zip({"1.png": bytes(2**24)})}).codes == ["unpacks_too_large"]


def test_a_member_larger_than_it_says(ingest: Any) -> None:
    content = to_zip({"1.png": bytes(2**22), "2.png": picture()})
    lie = content.replace(struct.pack("<I", 2**22), struct.pack("<I", 1000))
    made = ingest({"x": lie}, limit=2**20)
    assert made.codes[0] == "damaged"
    assert "'1.png'" in made.faults[0].message


def test_a_table_of_contents_too_large_to_hold(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MOST_LISTED", 300)
    made = ingest({"x": to_zip(GOOD)})
    assert made.codes == ["damaged"]
    assert "larger than 300 bytes" in made.faults[0].message


def test_a_name_too_large_to_hold(ingest: Any) -> None:
    made = ingest({"x": to_tar(GOOD | {"n" * 3_000_000: picture()})})
    assert made.codes == ["damaged"]
    assert "larger than 1,048,576 bytes" in made.faults[0].message


def test_too_many_members(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MOST_MEMBERS", 5)
    assert ingest({"x": to_tar(GOOD)}).codes == ["too_many_files"]


def test_a_zip_cut_short(ingest: Any) -> None:
    made = ingest({"x": to_zip(GOOD)[:-30]})
    assert made.codes == ["damaged"]
    assert "no readable ZIP" in made.faults[0].message


@pytest.mark.parametrize("at", [3 * 1024 + 100, 4 * 1024, 5 * 1024 + 3])
def test_a_tar_cut_short(ingest: Any, at: int) -> None:
    """Within a picture, between two members, within a header."""
    assert ingest({"x": to_tar(GOOD)[:at]}).codes == ["truncated"]


def test_damaged_anywhere_is_a_fault_or_other_pixels(ingest: Any) -> None:
    noise = np.random.default_rng(0)
    for content in (to_zip(GOOD), to_tar(GOOD)):
        for at in noise.integers(0, len(content) - 4, 60):
            hurt = bytearray(content)
            hurt[at : at + 4] = noise.bytes(4)
            made = ingest({"x": bytes(hurt)})
            assert made.faults or made.profile["rows"] == 10
