"""Files: kept as they came, refused while they stream, listed in pages."""

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.registry import objects
from tests import rows
from tests.integration.api.conftest import MAX_FILE, Garden
from tests.integration.api.faults import refused
from tests.integration.api.parts import arrived, complete, opened

CONTENT = bytes(range(256)) * 300


def upload(garden: Garden, content: bytes = CONTENT, filename: str = "rows.npy", **more: Any) -> dict[str, Any]:
    files = {"file": (filename, content)}
    answer = garden.client.post("/v1/files", files=files, data={"purpose": "pretrain"}, **more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def kept(garden: Garden) -> set[str]:
    return {key for key, _ in garden.house.storage.listing() if key.startswith("files/")}


def test_a_file_comes_back_as_it_went(garden: Garden) -> None:
    made = upload(garden, filename="Zeile ä.npy")

    assert made["object"] == "file"
    assert made["bytes"] == len(CONTENT)
    assert made["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert (made["filename"], made["purpose"]) == ("Zeile ä.npy", "pretrain")
    assert garden.client.get(f"/v1/files/{made['id']}").json() == made
    content = garden.client.get(f"/v1/files/{made['id']}/content")
    assert content.content == CONTENT
    assert content.headers["content-length"] == str(len(CONTENT))
    assert "Zeile%20%C3%A4.npy" in content.headers["content-disposition"]


def test_fields_may_come_after_the_file(garden: Garden) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n1,2\r\n3,4\r\n'
        b'\r\n--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--x--\r\n'
    )
    headers = {"content-type": "multipart/form-data; boundary=x"}
    made = garden.client.post("/v1/files", content=body, headers=headers).json()
    assert garden.client.get(f"/v1/files/{made['id']}/content").content == b"1,2\r\n3,4\r\n"
    assert made["purpose"] == "user_data"


def test_a_file_that_is_too_large_is_refused_while_it_streams_and_nothing_is_kept(garden: Garden) -> None:
    before = kept(garden)
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.npy"\r\n\r\n'
        for _ in range(2 * MAX_FILE // 1000):
            sent += 1000
            yield b"x" * 1000
        yield b"\r\n--x--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = garden.client.post("/v1/files", content=body(), headers=headers)

    assert str(MAX_FILE) in refused(answer, 413, "too_large")
    assert sent > MAX_FILE
    assert kept(garden) == before
    assert garden.client.get("/v1/files").json()["data"] == []


def test_a_file_that_says_it_is_too_large_is_refused_at_once(garden: Garden) -> None:
    answer = garden.client.post("/v1/files", files={"file": ("a", b"x" * (MAX_FILE + 2**20 + 1))})
    refused(answer, 413, "too_large", "file")


@pytest.mark.parametrize(
    ("files", "data", "status", "code", "param"),
    [
        ({"file": ("a", b"")}, {"purpose": "pretrain"}, 400, "empty_input", "file"),
        ({"file": ("a", b"1")}, {}, 422, "missing_key", "purpose"),
        ({"file": ("a", b"1")}, {"purpose": "fun"}, 422, "unknown_choice", "purpose"),
        ({"file": ("a", b"1")}, {"purpose": "pretrain", "colour": "red"}, 422, "unknown_key", "colour"),
        ({"other": ("a", b"1")}, {"purpose": "pretrain"}, 422, "unknown_key", "other"),
        ({"file": (None, b"1")}, {"purpose": "pretrain"}, 400, "malformed", "file"),
        ([("file", ("a", b"1")), ("file", ("b", b"2"))], {"purpose": "pretrain"}, 400, "malformed", "file"),
        ({"file": ("a", b"1"), "purpose": (None, b"\xff")}, {}, 400, "malformed", None),
        ({"purpose": (None, b"pretrain")}, {}, 422, "missing_key", "file"),
        ({"file": ("a", b"1"), "purpose": (None, b"x" * 150_000 * 8)}, {}, 413, "too_large", "purpose"),
    ],
)
def test_a_wrong_form_is_refused_and_nothing_is_kept(
    garden: Garden, files: Any, data: dict[str, str], status: int, code: str, param: str | None
) -> None:
    before = kept(garden)
    refused(garden.client.post("/v1/files", files=files, data=data), status, code, param)
    assert kept(garden) == before


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"no form at all"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + b"cut short" * 1000,
        ),
        ("application/json", b"{}"),
    ],
)
def test_a_body_that_is_no_whole_form_is_refused_and_nothing_is_kept(garden: Garden, kind: str, body: bytes) -> None:
    before = kept(garden)
    refused(garden.client.post("/v1/files", content=body, headers={"content-type": kind}), 400, "malformed")
    assert kept(garden) == before


def test_a_list_comes_in_pages(garden: Garden) -> None:
    made = [upload(garden, content=bytes([number]))["id"] for number in range(1, 6)]

    first = garden.client.get("/v1/files", params={"limit": 2}).json()
    second = garden.client.get("/v1/files", params={"limit": 2, "after": first["last_id"]}).json()
    third = garden.client.get("/v1/files", params={"limit": 2, "after": second["last_id"]}).json()

    pages = [first, second, third]
    assert [entry["id"] for page in pages for entry in page["data"]] == made[::-1]
    assert [page["has_more"] for page in pages] == [True, True, False]
    assert (first["object"], first["first_id"]) == ("list", made[-1])
    upwards = garden.client.get("/v1/files", params={"order": "asc"}).json()
    assert [entry["id"] for entry in upwards["data"]] == made
    assert garden.client.get("/v1/files", params={"purpose": "batch"}).json() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_a_file_is_deleted_unless_a_dataset_needs_it(garden: Garden) -> None:
    made = upload(garden)["id"]
    assert garden.client.delete(f"/v1/files/{made}").json() == {"id": made, "object": "file", "deleted": True}
    refused(garden.client.get(f"/v1/files/{made}"), 404, "not_found")
    with garden.database.session() as session:
        needed = rows.file(session, garden.project_id).id
    garden.client.post("/v1/datasets", json={"name": "d", "files": [needed]}).raise_for_status()

    answer = garden.client.delete(f"/v1/files/{needed}")

    refused(answer, 409, "in_use")
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("name", ["word_pairs", "analogies"])
def test_a_file_that_a_waiting_job_is_judged_by_is_not_deleted(garden: Garden, name: str) -> None:
    with garden.database.session() as session:
        words, dataset = (
            rows.file(session, garden.project_id).id,
            rows.dataset(session, garden.project_id, "validating").id,
        )
    body = {"kind": "pretrain", "dataset": dataset, "evaluation": {name: words}}
    job = garden.client.post("/v1/jobs", json=body).raise_for_status().json()["id"]

    message = refused(garden.client.delete(f"/v1/files/{words}"), 409, "in_use")

    assert message == f"file {words} is used by {job}, which has not ended; cancel that first"
    garden.client.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    assert garden.client.delete(f"/v1/files/{words}").json()["deleted"] is True


def test_a_file_that_a_waiting_import_reads_is_not_deleted(garden: Garden) -> None:
    with garden.database.session() as session:
        file = rows.file(session, garden.project_id).id
    job = garden.client.post("/v1/models/import", json={"file": file}).raise_for_status().json()["id"]

    assert job in refused(garden.client.delete(f"/v1/files/{file}"), 409, "in_use")


def test_a_file_comes_in_parts(garden: Garden) -> None:
    path, size = f"/v1/files/{upload(garden)['id']}/content", len(CONTENT)
    whole = garden.client.get(path)
    etag = whole.headers["etag"]
    assert whole.headers["accept-ranges"] == "bytes"

    tail = garden.client.get(path, headers={"range": "bytes=-500"})
    assert (tail.status_code, tail.content) == (206, CONTENT[-500:])
    assert tail.headers["content-range"] == f"bytes {size - 500}-{size - 1}/{size}"
    assert (tail.headers["content-length"], tail.headers["etag"]) == ("500", etag)

    beyond = garden.client.get(path, headers={"range": f"bytes={size}-"})
    assert str(size) in refused(beyond, 416, "range_not_satisfiable", "range")
    assert beyond.headers["content-range"] == f"bytes */{size}"

    for more in ({"range": "bytes=0-1,4-5"}, {"range": "bytes=x"}, {"range": "bytes=5-", "if-range": '"other"'}):
        answer = garden.client.get(path, headers=more)
        assert (answer.status_code, answer.content) == (200, CONTENT)
        assert "content-range" not in answer.headers
    known = garden.client.get(path, headers={"range": "bytes=5-", "if-none-match": etag})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", etag)

    part = {"range": "bytes=5-"}
    assert garden.client.get(path, headers=part | {"if-match": f'"other", {etag}'}).status_code == 206
    other = garden.client.get(path, headers=part | {"if-match": '"other"'})
    assert etag in refused(other, 412, "precondition_failed", "if-match")


def test_a_head_is_told_without_its_content(garden: Garden) -> None:
    path = f"/v1/files/{upload(garden)['id']}/content"
    whole = garden.client.get(path)
    told = garden.client.head(path)
    assert (told.status_code, told.content) == (200, b"")
    for name in ("content-length", "content-type", "etag", "accept-ranges", "content-disposition"):
        assert told.headers[name] == whole.headers[name]
    part = garden.client.head(path, headers={"range": "bytes=0-9"})
    assert (part.status_code, part.headers["content-length"]) == (206, "10")
    assert garden.client.head("/v1/files/file-none").status_code == 404
    assert garden.client.head("/v1/embeddings").status_code == 405
    assert garden.client.get(path).content == whole.content, "the connection is as it was"


def test_a_broken_off_download_goes_on_with_curl(garden: Garden, tmp_path: Path) -> None:
    address = f"{garden.house.base_url}/v1/files/{upload(garden)['id']}/content"
    begun = tmp_path / "rows.npy"
    begun.write_bytes(CONTENT[:10_000])
    command = ["curl", "-sS", "--fail", "-C", "-", address, "-o", str(begun), "-w", "%{http_code} %{size_download}"]
    command += ["-H", f"authorization: {garden.client.headers['authorization']}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == f"206 {len(CONTENT) - 10_000}"
    assert begun.read_bytes() == CONTENT


def test_the_same_content_is_stored_once(garden: Garden, stranger: httpx.Client) -> None:
    content = b"stored once" * 1000
    made = upload(garden, content)
    again = stranger.post("/v1/files", files={"file": ("b", content)}, data={"purpose": "user_data"}).json()
    part = opened(garden.client, bytes=len(content))
    pieces = [content[:5000], content[5000:]]
    third = complete(garden.client, part, arrived(garden.client, part, pieces)).raise_for_status().json()["file"]
    with garden.database.reading() as session:
        held = [objects.held(session, file["id"])["content"] for file in (made, again, third)]
    assert {tuple(part.key for part in parts) for parts in held} == {(held[0][0].key,)}

    garden.client.delete(f"/v1/files/{made['id']}").raise_for_status()
    assert stranger.get(f"/v1/files/{again['id']}/content").content == content
    assert garden.client.get(f"/v1/files/{third['id']}/content").content == content


def test_bytes_that_are_gone_are_an_error_and_no_broken_answer(garden: Garden) -> None:
    made = upload(garden)["id"]
    with garden.database.reading() as session:
        key = objects.held(session, made)["content"][0].key
    garden.house.storage.delete([key])

    refused(garden.client.get(f"/v1/files/{made}/content"), 500, "artifact_damaged")
    part = garden.client.get(f"/v1/files/{made}/content", headers={"range": "bytes=5-9"})
    refused(part, 500, "artifact_damaged")
    again = upload(garden)["id"]
    assert garden.client.get(f"/v1/files/{again}/content").content == CONTENT, "not taken for what is gone"
