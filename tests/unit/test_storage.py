"""One store, in a folder and behind S3: whole or nothing, hashed, and never other bytes than were stored."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from app.disk import INCOMING, open_unnamed
from app.errors import ArtifactDamaged, NotReady, TooLarge
from app.object_cache import GRACE_SECONDS, ObjectCache
from app.settings import MIB, Settings, SettingsError
from app.storage import Storage, Stored, open_storage, storage_at
from tests.servers import S3

LARGE = 12 * MIB  # more than one part of a multipart upload


def chunks(total: int, fail_at: int | None = None) -> Iterator[bytes]:
    for start in range(0, total, MIB):
        if start == fail_at:
            raise OSError("the sender went away")
        yield bytes([start // MIB % 251]) * min(MIB, total - start)


async def later(source: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in source:
        await asyncio.sleep(0)
        yield chunk


def test_bytes_and_files_come_back(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_bytes(b"from a file")
    stored = [storage.put("files/a", b"hello"), storage.put("jobs/1/2/b", path), storage.put("files/empty", b"")]
    assert stored[0] == Stored("files/a", 5, hashlib.sha256(b"hello").hexdigest())
    assert [storage.get(item.key) for item in stored] == [b"hello", b"from a file", b""]
    assert b"".join(storage.open(stored)) == b"hellofrom a file"


def test_a_second_put_replaces_the_first(storage: Storage) -> None:
    storage.put("files/a", b"one")
    storage.put("files/a", b"two")
    assert storage.get("files/a") == b"two"


def test_a_stream_is_hashed_on_its_way(storage: Storage) -> None:
    expected = b"".join(chunks(LARGE))
    stored = storage.put_stream("files/large", chunks(LARGE))
    assert (stored.size_bytes, stored.sha256) == (LARGE, hashlib.sha256(expected).hexdigest())
    assert storage.get("files/large") == expected


def test_a_finished_file_gets_a_name_and_is_not_copied(storage: Storage, tmp_path: Path) -> None:
    with os.fdopen(open_unnamed(tmp_path), "r+b") as file:
        file.write(b"hello")
        file.flush()
        sha256 = hashlib.sha256(b"hello").hexdigest()
        stored = storage.adopt("files/a", file, sha256)
        if storage.place(Stored("files/a", 5, sha256)) is None:  # a bucket
            assert stored is None
            return
        assert stored == Stored("files/a", 5, sha256)
        assert storage.local(stored).stat().st_ino == os.fstat(file.fileno()).st_ino
    assert storage.get("files/a") == b"hello"
    with (tmp_path / "named").open("w+b") as file:
        os.unlink(file.name)
        assert storage.adopt("files/b", file, sha256) is None
    assert list(dict(storage.listing())) == ["files/a"]


def test_an_event_loop_streams_too(storage: Storage) -> None:
    stored = asyncio.run(storage.aput_stream("files/large", later(chunks(LARGE)), LARGE))
    expected = b"".join(chunks(LARGE))
    assert stored == Stored("files/large", LARGE, hashlib.sha256(expected).hexdigest())
    assert storage.get("files/large") == expected


def test_a_stream_beyond_the_limit_is_refused_and_nothing_kept(storage: Storage) -> None:
    with pytest.raises(TooLarge, match=str(LARGE - 1)):
        asyncio.run(storage.aput_stream("files/large", later(chunks(LARGE)), LARGE - 1))
    assert list(storage.listing()) == []


def test_a_stream_that_breaks_off_leaves_nothing(storage: Storage) -> None:
    with pytest.raises(OSError, match="went away"):
        storage.put_stream("files/large", chunks(LARGE, fail_at=8 * MIB))
    assert list(storage.listing()) == []


def test_listing_tells_what_was_written_when_under_a_folder(storage: Storage) -> None:
    for key in ("files/a", "files/b", "jobs/1/a"):
        storage.put(key, b"x")
    listed = dict(storage.listing())
    assert sorted(listed) == ["files/a", "files/b", "jobs/1/a"]
    assert all(-5 < time.time() - written < 60 for written in listed.values())
    assert sorted(key for key, _ in storage.listing("files")) == ["files/a", "files/b"]


def test_deleting_twice_does_no_harm(storage: Storage) -> None:
    storage.put("files/a", b"x")
    storage.put("files/b", b"y")
    storage.delete(["files/a", "files/never"])
    storage.delete(["files/a"])
    storage.delete([])
    assert [key for key, _ in storage.listing()] == ["files/b"]
    with pytest.raises(ArtifactDamaged, match="files/a is gone"):
        storage.get("files/a")


def test_a_local_path_has_the_bytes(storage: Storage) -> None:
    stored = storage.put("files/a", b"hello")
    path = storage.local(stored)
    assert path.read_bytes() == b"hello"
    assert storage.local(stored) == path


def test_other_bytes_than_were_stored_are_never_handed_out(storage: Storage) -> None:
    stored = storage.put("files/a", b"hello")
    storage.put("files/a", b"jello")
    with pytest.raises(ArtifactDamaged, match="files/a"):
        storage.local(stored)
    with pytest.raises(ArtifactDamaged, match="files/a"):
        b"".join(storage.open([stored]))


def test_a_part_is_read_alone(storage: Storage) -> None:
    content = b"".join(chunks(LARGE))
    stored = storage.put("files/large", content)
    for begin, end in ((0, 1), (MIB - 1, 3 * MIB + 1), (LARGE - 1, LARGE), (0, LARGE)):
        assert b"".join(storage.part(stored, begin, end)) == content[begin:end]
    assert b"".join(storage.stream("files/large", (5, 9))) == content[5:9], "asked of the store, and not cut here"


def test_a_part_of_an_object_of_another_size_is_never_handed_out(storage: Storage) -> None:
    stored = storage.put("files/a", b"hello")
    storage.put("files/a", b"hell")
    gone = Stored("files/gone", 5, stored.sha256)
    for item, begin, end in ((stored, 1, 3), (stored, 4, 5), (stored, 0, 5), (gone, 1, 3), (gone, 0, 5)):
        with pytest.raises(ArtifactDamaged, match=item.key):
            b"".join(storage.part(item, begin, end))


def test_an_object_that_is_gone_is_named(storage: Storage) -> None:
    with pytest.raises(ArtifactDamaged, match="files/gone"):
        storage.local(Stored("files/gone", 1, "0" * 64))


def test_check_passes_where_storage_answers(storage: Storage) -> None:
    storage.check()


def test_a_folder_that_went_away_is_not_ready(tmp_path: Path) -> None:
    storage = storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", MIB)
    (tmp_path / "objects" / ".incoming").rmdir()
    with pytest.raises(NotReady, match="written to") as caught:
        storage.check()
    assert str(tmp_path) not in caught.value.message, "where it lies is nobody's business who has no key"


def test_a_bucket_that_does_not_answer_is_not_ready(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    storage = storage_at(s3_url, tmp_path / "cache", MIB)
    with pytest.raises(NotReady, match="does not answer") as caught:
        storage.check()
    assert "127.0.0.1" not in caught.value.message


def test_a_bucket_that_is_not_there_is_not_ready(s3_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = storage_at("s3://never-made/prefix", tmp_path / "cache", MIB)
    with pytest.raises(NotReady, match="does not have the bucket that ROOTSTOCK_STORAGE_URL names") as caught:
        storage.check()
    assert "never-made" in caplog.text
    assert "never-made" not in caught.value.message, "its name is nobody's business who has no key"


def test_credentials_that_a_bucket_does_not_know_are_named(
    s3_server: S3, s3_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ask = httpx.Client(base_url=s3_server.environment["AWS_ENDPOINT_URL"])
    if ask.post("/moto-api/reset-auth", content="0").is_error:  # from now on it looks at keys
        pytest.skip("the store is not one that tests start")
    try:
        told, storage = (
            "does not know the key that AWS_ACCESS_KEY_ID names",
            storage_at(s3_url, tmp_path / "cache", MIB),
        )
        with pytest.raises(NotReady, match=told):
            storage.check()
        with pytest.raises(NotReady, match=told):
            storage.put("files/a", b"hello")
        assert s3_url.split("/")[2] in caplog.text
    finally:
        ask.post("/moto-api/reset-auth", content="inf").raise_for_status()


def test_a_bucket_over_http_alone_says_what_allows_it(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(NotReady, match="over http:// unless AWS_ALLOW_HTTP is true"):
        storage_at(s3_url, tmp_path / "cache", MIB).check()


def test_what_a_killed_writer_left_is_listed_for_the_sweep(tmp_path: Path) -> None:
    storage = storage_at((tmp_path / "objects").as_uri(), tmp_path / "cache", MIB)
    (tmp_path / "objects" / ".incoming" / "half").write_bytes(b"ha")
    keys = [key for key, _ in storage.listing()]
    assert keys == [".incoming/half"]
    storage.delete(keys)
    storage.put("files/a", b"x")
    assert [key for key, _ in storage.listing()] == ["files/a"]


def test_the_cache_drops_the_least_recently_used_copy(s3_url: str, tmp_path: Path) -> None:
    storage = storage_at(s3_url, tmp_path / "cache", 2 * MIB)
    first, second, third = (storage.put(f"files/{n}", bytes([n]) * MIB) for n in range(3))
    paths = [storage.local(item) for item in (first, second)]
    for age, path in ((1, paths[1]), (2, paths[0])):
        long_ago = time.time() - age * 10 * GRACE_SECONDS
        os.utime(path, (long_ago, long_ago))
    storage.local(first)  # used again: now the second is the oldest
    storage.local(third)
    assert [path.exists() for path in paths] == [True, False]
    assert storage.local(second).read_bytes() == b"\1" * MIB


def test_a_copy_that_was_just_handed_out_survives_a_full_cache(s3_url: str, tmp_path: Path) -> None:
    storage = storage_at(s3_url, tmp_path / "cache", MIB)
    stored = [storage.put(f"files/{n}", bytes([n]) * MIB) for n in range(3)]
    assert [path.exists() for path in [storage.local(item) for item in stored]] == [True, True, True]


def test_a_damaged_copy_is_fetched_again(s3_url: str, tmp_path: Path) -> None:
    storage = storage_at(s3_url, tmp_path / "cache", MIB)
    stored = storage.put("files/a", b"hello")
    storage.local(stored).write_bytes(b"jello")
    assert storage.local(stored).read_bytes() == b"hello"


@pytest.mark.parametrize("url", ["ftp://host/x", "file://host/x", "file:x", "s3:///x"])
def test_an_unknown_kind_of_url_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=url):
        storage_at(url, tmp_path, MIB)


def test_a_copy_that_is_still_being_written_survives_a_full_cache(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path, 1)
    begun = tmp_path / INCOMING / "begun"
    begun.parent.mkdir()
    begun.write_bytes(b"half")
    now = time.time()
    os.utime(begun, (now - 2 * GRACE_SECONDS, now))  # writing does not count as a use
    cache.make_room(1)
    assert begun.exists()
    os.utime(begun, (now - 2 * GRACE_SECONDS, now - 2 * GRACE_SECONDS))
    cache.make_room(1)
    assert not begun.exists()


def test_the_default_is_a_folder_under_home(tmp_path: Path) -> None:
    open_storage(Settings(home=tmp_path)).put("files/a", b"x")
    assert (tmp_path / "storage" / "files" / "a").read_bytes() == b"x"
