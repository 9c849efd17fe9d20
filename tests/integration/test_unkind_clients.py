"""Clients that send too much, too slowly or half, and leave: each gets its answer, and all others are served."""

import base64
import contextlib
import gzip
import io
import json
import select
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from app.ml import artifact
from tests import networks
from tests.service import ADMIN_KEY, asking

BODY_SECONDS = 3.0
HEAD = f"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_KEY}\r\n"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home: Path = tmp_path_factory.mktemp("home")
    models = {
        "tiny": networks.write(home / "tiny"),
        "picture": networks.write(home / "picture", modality="image"),
        "damaged": networks.write(home / "damaged"),
    }
    with asking(home, models) as made:
        [weights] = home.rglob(f"storage/models/damaged/{artifact.WEIGHTS}")
        content = weights.read_bytes()
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        yield made


def connected(client: httpx.Client) -> socket.socket:
    address = urlsplit(str(client.base_url))
    assert address.hostname is not None
    assert address.port is not None
    made = socket.create_connection((address.hostname, address.port))
    made.settimeout(30)
    return made


def ask(client: httpx.Client, given: Any, model: str = "tiny") -> httpx.Response:
    return client.post("/v1/embeddings", json={"model": model, "input": given})


def works(client: httpx.Client) -> bool:
    return ask(client, networks.rows(1)[0].tolist()).status_code == 200


def test_a_body_that_comes_too_slowly_is_given_up_and_holds_nobody_up(tmp_path: Path) -> None:
    models = {"tiny": networks.write(tmp_path / "tiny")}
    with asking(tmp_path, models, body_seconds=BODY_SECONDS) as client, contextlib.ExitStack() as stack:
        assert works(client), "the model is loaded"
        crowd = [stack.enter_context(connected(client)) for _ in range(2)]
        for slow, announced in zip(crowd, ("content-length: 1000", "transfer-encoding: chunked"), strict=True):
            slow.sendall(f"{HEAD}{announced}\r\n\r\n".encode() + b'5\r\n{"mod')
        assert works(client)
        answered, _, _ = select.select(crowd, [], [], 0)
        assert answered == [], "they were not waited for"
        for slow in crowd:
            answer = b""
            while chunk := slow.recv(65536):
                answer += chunk
            assert b"408" in answer.split(b"\r\n")[0]
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_slow"


@pytest.mark.parametrize(
    "half", [b"content-length: 1000\r\n\r\n{", b"transfer-encoding: chunked\r\n\r\n5\r\n{", b"content-length: "]
)
def test_half_a_request_leaves_the_service_as_it_was(client: httpx.Client, half: bytes) -> None:
    with connected(client) as leaving:
        leaving.sendall(HEAD.encode() + half)
    assert works(client)


LONG = 80 * 1024
CHUNKED = f"{HEAD}transfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "endless",
    [
        "GET /" + "a" * LONG,
        "GET /v1/models HTTP/1.1\r\nx-long: " + "a" * LONG,
        "GET /v1/models HTTP/1.1\r\n" + "a: b\r\n" * (LONG // 6),
        "GET /v1/models HTTP/1.1\r\nx-long: " + "a" * LONG + "\r\n\r\n",
    ],
    ids=["address", "header", "headers", "whole"],
)
def test_a_head_without_end_is_held_no_further(client: httpx.Client, endless: str) -> None:
    """With or without a key: 100 MB of short headers took 1.5 GB of memory."""
    status, said = told(client, endless.encode())
    assert status == 431
    assert json.loads(said)["error"]["code"] == "head_too_large"
    assert works(client)


@pytest.mark.parametrize("begun", ["1;", "1\r\n{\r\n0\r\nx-long: "], ids=["extension", "trailer"])
def test_nothing_without_end_is_held_beside_a_body(client: httpx.Client, begun: str) -> None:
    with connected(client) as endless:
        endless.sendall(CHUNKED.replace("/v1/embeddings", "/v1/jobs").encode() + begun.encode())
        with pytest.raises(ConnectionError):
            endless.sendall(b"a" * (256 * LONG))
    assert works(client)


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "GET\r\n\r\n",
        "GET /v1/models HTTP/1.1\r\nx: a\0b\r\n\r\n",
        HEAD + "content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        HEAD + "content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + f"content-length: {'9' * 30}\r\n\r\n",
        CHUNKED + "zz\r\n",
        CHUNKED + "fffffffffffffffff\r\n",
    ],
)
def test_what_is_no_request_is_refused_in_the_words_of_all_refusals(client: httpx.Client, odd: str) -> None:
    status, said = told(client, (odd or "\x16\x03\x01").encode())
    assert (status, json.loads(said)["error"]["code"]) == (400, "malformed")
    status, said = told(client, odd.replace("/v1/embeddings", "/v2/models/tiny/infer").encode() or b"\x16")
    assert status == 400
    assert isinstance(json.loads(said)["error"], str) is odd.startswith(HEAD)
    assert works(client)


def told(client: httpx.Client, sent: bytes) -> tuple[int, bytes]:
    """Status and body of the last answer on a connection that the service closes."""
    answer = b""
    with connected(client) as asking:
        asking.sendall(sent)
        while chunk := asking.recv(65536):
            answer += chunk
    head, _, body = answer.rpartition(b"\r\n\r\n")
    assert b"x-request-id: " in head
    return int(head.split(b" ")[1]), body


def test_whoever_leaves_while_waiting_gives_the_permit_back(client: httpx.Client) -> None:
    body = json.dumps({"model": "tiny", "input": networks.rows(2000).tolist()}).encode()
    for _ in range(8):
        with connected(client) as leaving:
            leaving.sendall(f"{HEAD}content-length: {len(body)}\r\n\r\n".encode() + body)
    for _ in range(600):
        if "rootstock_inference_waiting 0\n" in client.get("/metrics").text:
            break
        time.sleep(0.05)
    else:
        raise AssertionError("permits are still held after 30 s")
    assert works(client)


def test_a_text_of_ten_million_letters_is_refused_in_few_words(client: httpx.Client) -> None:
    for given in ("x" * 10_000_000, ["x" * 10_000_000]):
        for model in ("tiny", "picture"):
            refused = ask(client, given, model)
            assert 400 <= refused.status_code < 500
            assert len(refused.content) < 1000
    assert works(client)


def test_a_picture_that_would_unpack_to_far_more_is_refused_unread(client: httpx.Client) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    side = 60_000
    rows = zlib.compress(bytes(10_000_000), 9)
    bomb = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    bomb.seek(0, io.SEEK_END)
    for part in (chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), chunk(b"IDAT", rows)):
        bomb.write(part)
    bomb.write(chunk(b"IEND", b""))
    refused = ask(client, f"data:image/png;base64,{base64.b64encode(bomb.getvalue()).decode()}", "picture")
    assert refused.json()["error"]["code"] == "too_large"
    assert works(client)


def test_a_model_says_whether_it_is_ready(client: httpx.Client) -> None:
    ready = client.get("/v1/models/tiny@default/readyz").json()
    assert (ready["status"], ready["model"]) == ("ok", "tiny:1")
    assert ready["load_seconds"] > 0
    assert client.get("/v1/models/tinny/readyz").status_code == 404


def test_a_damaged_model_says_so_and_the_service_stays_ready_for_others(client: httpx.Client) -> None:
    for refused in (client.get("/v1/models/damaged/readyz"), ask(client, networks.rows(1)[0].tolist(), "damaged")):
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["param"]) == (424, "inference_failed", "model")
        assert "damaged:1 cannot be loaded, its artifact is damaged" in error["message"]
    assert client.get("/v1/models/tiny/readyz").status_code == 200
    assert client.get("/livez").status_code == 200
    assert works(client)


@pytest.mark.parametrize("form", ["http://{}/a.png", "HTTPS://{}/a.png", "//{}/a.png", "file://{}/a.png", "ftp://{}/a"])
def test_an_address_is_refused_and_nobody_calls_there(client: httpx.Client, form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        there.setblocking(False)
        address = form.format(f"127.0.0.1:{there.getsockname()[1]}")
        for given in (address, [address]):
            refused = ask(client, given, "picture")
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "malformed")
        time.sleep(0.1)
        with pytest.raises(BlockingIOError):
            there.accept()


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
@pytest.mark.parametrize("apart", [False, True])
def test_whoever_would_rather_speak_another_protocol_is_answered_in_this_one(
    client: httpx.Client, protocol: str, apart: bool
) -> None:
    """Java's client wishes for HTTP/2 with every request, unless told otherwise."""
    body = json.dumps({"model": "tiny", "input": networks.rows(1)[0].tolist()}).encode()
    head = f"{HEAD}connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nhttp2-settings: AAMAAABk\r\n"
    head += f"content-length: {len(body)}\r\n\r\n"
    with connected(client) as wishing:
        wishing.sendall(head.encode() + (b"" if apart else body))
        if apart:
            time.sleep(0.1)
            wishing.sendall(body)
        assert wishing.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_packed_body_is_refused_in_the_words_of_its_protocol(client: httpx.Client) -> None:
    packed = {"content": b"{}", "headers": {"content-encoding": "br"}}
    answers = [client.post(path, **packed) for path in ("/v1/embeddings", "/v2/models/tiny/infer")]  # type: ignore[arg-type]
    assert [answer.status_code for answer in answers] == [415, 415]
    assert answers[0].json()["error"]["code"] == "packed_body"
    assert "'br'" in answers[1].json()["error"]


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_packed_questions_and_files_are_unpacked_on_the_way(
    client: httpx.Client, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    headers = {"content-encoding": encoding}
    for rows in (networks.rows(1)[0].tolist(), networks.rows(2000).tolist()):
        body = json.dumps({"model": "tiny", "input": rows}).encode()
        found, wanted = (
            client.post("/v1/embeddings", **asked)
            for asked in (
                {"content": pack(body), "headers": headers},
                {"content": body},
            )
        )
        assert found.status_code == 200, found.text
        assert found.json() == wanted.json()
    content = np.random.default_rng(0).bytes(700_000) + bytes(700_000)
    form = httpx.Request("POST", "http://x", files={"file": ("a.bin", content)}, data={"purpose": "user_data"})
    kind = {"content-type": form.headers["content-type"]}
    file = client.post("/v1/files", content=pack(form.read()), headers=headers | kind).json()
    assert client.get(f"/v1/files/{file['id']}/content").content == content


def test_a_packed_question_that_takes_long_holds_nobody_up_and_its_client_may_leave(client: httpx.Client) -> None:
    body = gzip.compress(json.dumps({"model": "tiny", "input": networks.rows(2000).tolist()}).encode())
    head = f"{HEAD}content-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    crowd = [connected(client) for _ in range(8)]
    for one in crowd:
        one.sendall(head + body)
    crowd.pop().close()
    for one in crowd:
        assert one.recv(65536).startswith(b"HTTP/1.1 200 ")
        one.close()
    assert works(client)


def test_a_packed_bomb_is_too_large_and_what_cannot_be_unpacked_is_malformed(client: httpx.Client) -> None:
    bomb = gzip.compress(b" " * 200_000_000)
    for body, status, code in ((bomb, 413, "too_large"), (b"{}", 400, "malformed"), (bomb[:-9], 413, "too_large")):
        refused = client.post("/v1/embeddings", content=body, headers={"content-encoding": "gzip"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    cut = gzip.compress(b'{"model": "tiny"}')[:-4]
    refused = client.post("/v1/embeddings", content=cut, headers={"content-encoding": "gzip"})
    assert "ends before" in refused.json()["error"]["message"]
    assert works(client)


@pytest.mark.parametrize(
    ("path", "said"), [("/v1/embeddings", b'"code":"too_large"'), ("/v2/models/tiny/infer", b'{"error":"the body has')]
)
def test_a_body_that_says_it_is_too_large_is_refused_unread(client: httpx.Client, path: str, said: bytes) -> None:
    with connected(client) as large:
        head = HEAD.replace("/v1/embeddings", path)
        large.sendall(f"{head}content-type: application/json\r\ncontent-length: {10**12}\r\n\r\n{{".encode())
        answer = b""
        while said not in answer:
            more = large.recv(65536)
            assert more, answer
            answer += more
    assert answer.startswith(b"HTTP/1.1 413 ")
