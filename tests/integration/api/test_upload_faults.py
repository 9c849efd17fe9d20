"""Whatever is wrong with an upload or its parts is named, makes nothing and loses nothing."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.uploads import LARGEST_PART
from app.registry import keys
from app.settings import Settings
from tests.integration.api.conftest import MAX_FILE, Garden, serve
from tests.integration.api.faults import refused
from tests.integration.api.parts import PIECES, REQUEST, arrived, complete, expire, opened, send, status, stored


def end(garden: Garden, upload: str, how: str) -> None:
    if how == "completed":
        complete(garden.client, upload, arrived(garden.client, upload)).raise_for_status()
    elif how == "cancelled":
        garden.client.post(f"/v1/uploads/{upload}/cancel").raise_for_status()
    else:
        expire(garden, upload)


@pytest.mark.parametrize("how", ["completed", "cancelled", "expired"])
def test_an_upload_that_has_ended_takes_no_part_and_keeps_nothing_of_it(garden: Garden, how: str) -> None:
    upload = opened(garden.client)
    end(garden, upload, how)
    before = stored(garden)
    answer = send(garden.client, upload, PIECES[0])
    assert how in refused(answer, 409, "wrong_state")
    assert answer.headers["x-should-retry"] == "false"
    assert stored(garden) == before
    assert status(garden.client, upload) == how


@pytest.mark.parametrize("how", ["cancelled", "expired"])
def test_an_upload_that_was_given_up_cannot_be_completed(garden: Garden, how: str) -> None:
    upload = opened(garden.client)
    part_ids = arrived(garden.client, upload)
    end(garden, upload, how)
    refused(complete(garden.client, upload, part_ids), 409, "wrong_state")
    again = garden.client.post(f"/v1/uploads/{upload}/cancel")
    assert again.status_code == (200 if how == "cancelled" else 409)


def test_a_completed_upload_cannot_be_cancelled(garden: Garden) -> None:
    upload = opened(garden.client)
    end(garden, upload, "completed")
    refused(garden.client.post(f"/v1/uploads/{upload}/cancel"), 409, "wrong_state")


def test_a_part_larger_than_the_upload_is_refused_and_nothing_is_kept(garden: Garden) -> None:
    upload = opened(garden.client, bytes=1000)
    before = stored(garden)
    assert "1000" in refused(send(garden.client, upload, b"x" * 1001), 413, "too_large")
    assert stored(garden) == before
    assert garden.client.get(f"/v1/uploads/{upload}").json()["parts"] == []


@pytest.mark.parametrize(
    ("files", "status", "code", "param"),
    [
        ({"data": ("a", b"")}, 400, "empty_input", "data"),
        ({"file": ("a", b"1")}, 422, "unknown_key", "file"),
        ([("data", ("a", b"1")), ("data", ("b", b"2"))], 400, "malformed", "data"),
    ],
)
def test_a_wrong_form_is_refused_and_nothing_is_kept(
    garden: Garden, files: Any, status: int, code: str, param: str
) -> None:
    upload = opened(garden.client)
    before = stored(garden)
    refused(garden.client.post(f"/v1/uploads/{upload}/parts", files=files), status, code, param)
    assert stored(garden) == before


def test_a_part_that_breaks_off_is_not_kept(garden: Garden) -> None:
    upload = opened(garden.client)
    before = stored(garden)
    body = b'--x\r\nContent-Disposition: form-data; name="data"; filename="a"\r\n\r\n' + b"cut short" * 1000
    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = garden.client.post(f"/v1/uploads/{upload}/parts", content=body, headers=headers)
    refused(answer, 400, "malformed")
    assert stored(garden) == before


def test_parts_that_do_not_make_the_file_are_refused_and_it_can_still_be_completed(garden: Garden) -> None:
    upload, other = opened(garden.client), opened(garden.client)
    part_ids = arrived(garden.client, upload)
    [foreign] = arrived(garden.client, other, PIECES[:1])
    for wrong, refusal, code in (
        ([*part_ids[:4], "part_0"], 404, "not_found"),
        ([*part_ids[:4], foreign], 404, "not_found"),
        ([*part_ids[:4], part_ids[0]], 422, "does_not_fit"),
        (part_ids[:4], 422, "does_not_fit"),
        ([], 422, "out_of_range"),
    ):
        refused(complete(garden.client, upload, wrong), refusal, code, "part_ids")
    for name, digest in (("md5", "0" * 32), ("sha256", "0" * 64)):
        refused(complete(garden.client, upload, part_ids, **{name: digest}), 422, "wrong_checksum", name)
        refused(complete(garden.client, upload, part_ids, **{name: "no hash"}), 422, "out_of_range", name)
    assert garden.client.get("/v1/files").json()["data"] == []
    assert status(garden.client, upload) == "pending"
    assert complete(garden.client, upload, part_ids).json()["status"] == "completed"


def test_the_checksum_of_one_part_alone_is_verified_too(garden: Garden) -> None:
    upload = opened(garden.client, bytes=7000)
    part_ids = arrived(garden.client, upload, PIECES[:1])
    refused(complete(garden.client, upload, part_ids, sha256="0" * 64), 422, "wrong_checksum", "sha256")
    refused(complete(garden.client, upload, part_ids, md5="0" * 32), 422, "wrong_checksum", "md5")
    right = hashlib.sha256(PIECES[0]).hexdigest()
    assert complete(garden.client, upload, part_ids, sha256=right).json()["file"]["sha256"] == right


@pytest.mark.parametrize(
    ("changes", "status", "code", "param"),
    [
        ({"bytes": 0}, 422, "out_of_range", "bytes"),
        ({"bytes": -1}, 422, "out_of_range", "bytes"),
        ({"bytes": "7"}, 422, "wrong_type", "bytes"),
        ({"bytes": MAX_FILE + 1}, 413, "too_large", "bytes"),
        ({"bytes": 2**63 - 1}, 413, "too_large", "bytes"),
        ({"purpose": "fun"}, 422, "unknown_choice", "purpose"),
        ({"filename": ""}, 422, "out_of_range", "filename"),
        ({"colour": "red"}, 422, "unknown_key", "colour"),
    ],
)
def test_a_wrong_upload_is_refused(garden: Garden, changes: dict[str, Any], status: int, code: str, param: str) -> None:
    refused(garden.client.post("/v1/uploads", json=REQUEST | changes), status, code, param)


def test_what_belongs_to_another_project_is_not_there(garden: Garden, stranger: httpx.Client) -> None:
    upload = opened(garden.client)
    part_ids = arrived(garden.client, upload)
    before = stored(garden)
    refused(stranger.get(f"/v1/uploads/{upload}"), 404, "not_found")
    refused(send(stranger, upload, PIECES[0]), 404, "not_found")
    refused(complete(stranger, upload, part_ids), 404, "not_found")
    refused(stranger.post(f"/v1/uploads/{upload}/cancel"), 404, "not_found")
    assert stored(garden) == before
    assert status(garden.client, upload) == "pending"


def test_a_part_has_at_most_64_mebibytes(tmp_path: Path) -> None:
    piece = b"x" * 2**20
    count = LARGEST_PART // len(piece)

    def body(more: bytes) -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="data"; filename="a"\r\n\r\n'
        for _ in range(count):
            yield piece
        yield more + b"\r\n--x--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=x"}
    with serve(Settings(home=tmp_path, sweep_seconds=3600)) as house:
        with house.database.session() as session:
            secret = keys.create_key(session, keys.all(session)[0].project_id, "test", ["read", "train"])[1]
        with house.client(secret) as client:
            upload = opened(client, bytes=2 * LARGEST_PART)
            whole = client.post(f"/v1/uploads/{upload}/parts", content=body(b""), headers=headers)
            assert whole.json()["bytes"] == LARGEST_PART
            answer = client.post(f"/v1/uploads/{upload}/parts", content=body(b"x"), headers=headers)
            assert str(LARGEST_PART) in refused(answer, 413, "too_large")
            assert len(client.get(f"/v1/uploads/{upload}").json()["parts"]) == 1
            assert len(list(house.storage.listing())) == 1
