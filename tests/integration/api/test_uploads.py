"""Uploads: parts in any order become one file."""

import hashlib
import threading
from pathlib import Path

import httpx
from openai import OpenAI

from app.registry import keys, objects
from app.registry.tables import Upload
from app.settings import Settings
from app.sweep import clear_up
from tests.integration.api.conftest import Garden, serve
from tests.integration.api.faults import refused
from tests.integration.api.parts import PIECES, REQUEST, WHOLE, arrived, complete, expire, opened, send, status, stored


def test_parts_in_any_order_and_at_once_become_one_file(garden: Garden) -> None:
    upload = opened(garden.client)
    answers: dict[int, httpx.Response] = {}

    def work(place: int) -> None:
        answers[place] = send(garden.client, upload, PIECES[place])

    threads = [threading.Thread(target=work, args=(place,)) for place in reversed(range(len(PIECES)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    parts = [answers[place].raise_for_status().json() for place in range(len(PIECES))]
    seen = garden.client.get(f"/v1/uploads/{upload}").json()
    before = stored(garden)

    done = complete(
        garden.client,
        upload,
        [part["id"] for part in parts],
        md5=hashlib.md5(WHOLE).hexdigest().upper(),
        sha256=hashlib.sha256(WHOLE).hexdigest(),
    )

    assert sorted(seen["parts"], key=str) == sorted(parts, key=str)
    assert (seen["object"], seen["status"], seen["file"]) == ("upload", "pending", None)
    assert [part["sha256"] for part in parts] == [hashlib.sha256(piece).hexdigest() for piece in PIECES]
    assert {(part["object"], part["upload_id"], part["bytes"]) for part in parts} == {("upload.part", upload, 7000)}
    body = done.raise_for_status().json()
    assert (body["status"], body["bytes"], body["mime_type"]) == ("completed", len(WHOLE), REQUEST["mime_type"])
    file = body["file"]
    assert file == garden.client.get(f"/v1/files/{file['id']}").json()
    assert (file["filename"], file["purpose"], file["bytes"]) == ("rows.npy", "pretrain", len(WHOLE))
    assert file["sha256"] == hashlib.sha256(WHOLE).hexdigest()
    assert garden.client.get(f"/v1/files/{file['id']}/content").content == WHOLE
    assert stored(garden) == before, "nothing is copied"


def test_the_stock_sdk_uploads_in_parts(garden: Garden, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(WHOLE)
    key = garden.house.key(garden.project_id, "read", "train")
    with OpenAI(base_url=f"{garden.house.base_url}/v1", api_key=key) as sdk:
        made = sdk.uploads.upload_file_chunked(
            file=tmp_path / "rows.csv",
            mime_type="text/csv",
            purpose="user_data",
            part_size=8000,
            md5=hashlib.md5(WHOLE).hexdigest(),
        )
        assert made.status == "completed"
        assert made.file is not None
        assert sdk.files.content(made.file.id).read() == WHOLE

        upload = sdk.uploads.create(bytes=4, filename="a.csv", mime_type="text/csv", purpose="user_data")
        second, first = (sdk.uploads.parts.create(upload.id, data=data) for data in (b"34", b"12"))
        assert (first.upload_id, first.object) == (upload.id, "upload.part")
        done = sdk.uploads.complete(upload.id, part_ids=[first.id, second.id])
        assert done.file is not None
        assert sdk.files.content(done.file.id).read() == b"1234"
        given_up = sdk.uploads.create(bytes=4, filename="a.csv", mime_type="text/csv", purpose="user_data")
        assert sdk.uploads.cancel(given_up.id).status == "cancelled"


def test_completing_twice_or_at_once_gives_the_same_file(garden: Garden) -> None:
    upload = opened(garden.client)
    part_ids = arrived(garden.client, upload)
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(complete(garden.client, upload, part_ids))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = complete(garden.client, upload, part_ids, md5=hashlib.md5(WHOLE).hexdigest())

    assert {answer.status_code for answer in [*answers, again]} == {200}
    assert len({answer.json()["file"]["id"] for answer in [*answers, again]}) == 1
    assert len(garden.client.get("/v1/files").json()["data"]) == 1
    other_order = complete(garden.client, upload, part_ids[::-1])
    refused(other_order, 409, "wrong_state")
    assert other_order.headers["x-should-retry"] == "false"
    refused(complete(garden.client, upload, part_ids, md5="0" * 32), 422, "wrong_checksum", "md5")


def test_a_repeated_request_is_answered_with_the_first_answer(garden: Garden) -> None:
    headers = {"idempotency-key": "one"}
    first, again = (garden.client.post("/v1/uploads", json=REQUEST, headers=headers) for _ in range(2))
    assert first.json() == again.json()
    upload = first.json()["id"]
    made = send(garden.client, upload, PIECES[0], headers=headers).json()
    before = stored(garden)
    assert send(garden.client, upload, PIECES[0], headers=headers).json() == made
    refused(send(garden.client, upload, PIECES[1], headers=headers), 409, "idempotency_key_reused")
    assert [part["id"] for part in garden.client.get(f"/v1/uploads/{upload}").json()["parts"]] == [made["id"]]
    assert stored(garden) == before


def test_a_sweep_lets_the_bytes_of_an_expired_upload_go(garden: Garden) -> None:
    upload, other = opened(garden.client), opened(garden.client)
    gone, [kept] = arrived(garden.client, upload), arrived(garden.client, other, PIECES[:1])
    expire(garden, upload)
    here = garden.house.services
    clear_up(here.settings, here.database, here.storage)
    with garden.database.reading() as session:
        row = session.get(Upload, upload)
        assert row is not None
        assert row.status == "expired"
        assert [objects.held(session, part) for part in gone] == [{}] * len(gone)
        assert objects.held(session, kept) != {}
    assert status(garden.client, other) == "pending"


def test_an_upload_goes_on_after_a_restart(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, sweep_seconds=3600)
    with serve(settings) as house:
        with house.database.session() as session:
            secret = keys.create_key(session, keys.all(session)[0].project_id, "test", ["read", "train"])[1]
        with house.client(secret) as client:
            upload = opened(client)
            arrived(client, upload, PIECES[:2])
    with serve(settings) as house, house.client(secret) as client:
        known = {part["sha256"]: part["id"] for part in client.get(f"/v1/uploads/{upload}").json()["parts"]}
        missing = [piece for piece in PIECES if hashlib.sha256(piece).hexdigest() not in known]
        assert len(missing) == 3
        part_ids = [*known.values(), *arrived(client, upload, missing)]
        file = complete(client, upload, part_ids).json()["file"]
        assert client.get(f"/v1/files/{file['id']}/content").content == WHOLE
