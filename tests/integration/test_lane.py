"""The fast path over real sockets: what takes it, what does not, and that both give the same."""

import asyncio
import contextlib
import io
import itertools
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from app.api.fast_path import heads, wire
from app.api.fast_path import question as questions
from app.ml import artifact
from app.ml.inference.batch_size import FEW
from app.ml.inference.batcher import Batcher
from app.ml.inference.work import Work
from app.ml.tensors.shapes import Tensors
from tests import networks
from tests.servers import wait_until
from tests.service import ADMIN_KEY, NPY, RAW, asking, npy, numbers

ROW = networks.rows(1)[0]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home: Path = tmp_path_factory.mktemp("home")
    with asking(home, {"tiny": networks.write(home / "tiny")}, looked=True) as made:
        for _ in range(2):
            made.post("/v1/embeddings", json={"model": "tiny", "input": ROW.tolist()}).raise_for_status()
        yield made


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[wire.Gathering]:
    """The server's ends of the connections that are made from now on."""
    seen: list[wire.Gathering] = []
    made = wire.Gathering.connection_made

    def noted(self: wire.Gathering, transport: asyncio.Transport) -> None:
        seen.append(self)
        made(self, transport)

    monkeypatch.setattr(wire.Gathering, "connection_made", noted)
    return seen


def body(**options: object) -> bytes:
    return json.dumps({"model": "tiny", "input": ROW.tolist(), **options}).encode()


def message(content: bytes, *headers: str, path: str = "/v1/embeddings") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: x", f"authorization: Bearer {ADMIN_KEY}", *headers]
    return "\r\n".join([*lines, f"content-length: {len(content)}", "", ""]).encode() + content


def connected(client: httpx.Client) -> socket.socket:
    address = urlsplit(str(client.base_url))
    made = socket.create_connection((str(address.hostname), address.port or 0))
    made.settimeout(30)
    return made


def answers(connection: socket.socket, count: int) -> list[tuple[int, dict[bytes, bytes], bytes]]:
    """Status, headers and content of the next answers."""
    held = b""
    found: list[tuple[int, dict[bytes, bytes], bytes]] = []
    while len(found) < count:
        head, complete, rest = held.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines[1:])}
        length = int(headers.get(b"content-length", b"0"))
        if complete and len(rest) >= length:
            found.append((int(lines[0].split()[1]), headers, rest[:length]))
            held = rest[length:]
        else:
            chunk = connection.recv(65536)
            assert chunk, f"the connection ended after {held!r}"
            held += chunk
    return found


def embedded(content: bytes) -> list[float]:
    found: list[float] = json.loads(content)["data"][0]["embedding"]
    return found


def test_numbers_take_the_short_way_and_give_what_the_careful_way_gives(
    client: httpx.Client, careful: list[int]
) -> None:
    raw = message(ROW.tobytes(), f"content-type: {RAW}", f"accept: {RAW}", path="/v1/embeddings?model=tiny")
    with connected(client) as connection:
        connection.sendall(message(body(), "connection: keep-alive"))
        [(status, headers, content)] = answers(connection, 1)
        connection.sendall(raw)
        [(_, raw_headers, numbers)] = answers(connection, 1)
        assert careful == []
        connection.sendall(message(body(), "content-encoding: identity"))
        [(_, careful_headers, wanted)] = answers(connection, 1)
        assert careful == [1]
    assert status == 200
    assert content == wanted
    assert headers.keys() == careful_headers.keys()
    assert {b"x-request-id", b"server-timing", b"content-type", b"date"} <= headers.keys()
    np.testing.assert_allclose(np.frombuffer(numbers, "<f4"), embedded(content), rtol=1e-5)
    assert (raw_headers[b"x-shape"], raw_headers[b"x-model"]) == (b"1,4", b"tiny:1")


def test_every_operation_and_option_is_known(client: httpx.Client, careful: list[int]) -> None:
    packed = client.post("/v1/embeddings", content=body(encoding_format="base64", user="me")).json()
    assert isinstance(packed["data"][0]["embedding"], str)
    rebuilt = client.post("/v1/reconstructions", content=body()).json()["data"][0]
    assert len(rebuilt["reconstruction"]) == networks.WIDTH
    for given in ("dimensions", "encoding_format"):
        refused = client.post("/v1/embeddings", content=body(**{given: True}))
        assert refused.status_code == 422
        assert refused.json()["error"]["param"] == given
    assert client.post("/v1/embeddings", content=body(dimensions=3)).json()["error"]["code"] == "out_of_range"
    given_id = client.post("/v1/embeddings", content=body(), headers={"x-request-id": "mine"})
    assert given_id.headers["x-request-id"] == "mine"


@pytest.mark.parametrize("whole", [True, False])
def test_questions_one_behind_the_other_are_answered_in_order(client: httpx.Client, whole: bool) -> None:
    rows = networks.rows(6, seed=3)
    bodies = [json.dumps({"model": "tiny", "input": row.tolist()}).encode() for row in rows]
    bodies.insert(3, b'{"model": "tiny", "input": []}')
    sent = b"".join(map(message, bodies))
    with connected(client) as connection:
        if whole:
            connection.sendall(sent)
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for first in range(0, len(sent), 100):
                connection.sendall(sent[first : first + 100])
        found = answers(connection, len(bodies))
    assert [status for status, _, _ in found] == [200, 200, 200, 400, 200, 200, 200]
    given = [embedded(content) for status, _, content in found if status == 200]
    wanted = client.post("/v1/embeddings", json={"model": "tiny", "input": rows.tolist()}).json()["data"]
    np.testing.assert_allclose(given, [item["embedding"] for item in wanted], atol=1e-5)


def test_a_body_in_pieces_is_waited_for_and_one_that_is_late_gets_its_answer(
    client: httpx.Client, careful: list[int], held: list[wire.Gathering], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = message(body())
    with connected(client) as connection:
        connection.sendall(whole[:-50])
        wait_until(lambda: bool(held) and isinstance(held[0].stage, wire.Coming), "the first piece")
        connection.sendall(whole[-50:])
        assert answers(connection, 1)[0][0] == 200
        assert careful == []
        monkeypatch.setattr(wire, "PATIENCE_SECONDS", 0.001)
        connection.sendall(whole[:-50])
        wait_until(lambda: held[0]._midway, "the slow path")
        connection.sendall(whole[-50:])
        assert answers(connection, 1)[0][0] == 200
        connection.sendall(whole)
        assert answers(connection, 1)[0][0] == 200
    assert careful == [1], "the late one"


def test_two_requests_in_one_piece_never_teach_a_head_of_another(client: httpx.Client) -> None:
    """A head without a key stays refused, whatever stands behind it on the same connection."""
    keyless = b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
    for _ in range(2):
        with connected(client) as connection:
            connection.sendall(keyless + message(body()))
            assert [status for status, _, _ in answers(connection, 2)] == [401, 200]


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ("content-length: 3", 400),
        ("transfer-encoding: chunked", 400),
        ("content-type: multipart/form-data; boundary=x", 400),
    ],
)
def test_heads_with_more_to_them_are_left_to_the_server(client: httpx.Client, extra: str, status: int) -> None:
    with connected(client) as connection:
        connection.sendall(message(body(), extra))
        assert answers(connection, 1)[0][0] == status


def test_a_connection_that_shall_close_is_closed(client: httpx.Client) -> None:
    with connected(client) as connection:
        connection.sendall(message(body(), "connection: close"))
        assert answers(connection, 1)[0][0] == 200
        assert connection.recv(1) == b""


@pytest.mark.parametrize("short", [True, False])
def test_what_is_sent_while_the_server_stops_is_answered(
    client: httpx.Client, held: list[wire.Gathering], monkeypatch: pytest.MonkeyPatch, short: bool
) -> None:
    monkeypatch.setattr(wire, "LINGER_SECONDS", 20.0)
    question = message(body()) if short else message(body(user="x" * 9), "expect: nothing")
    with connected(client) as connection:
        connection.sendall(message(body()))
        assert b"connection" not in answers(connection, 1)[0][1]
        held[0].loop.call_soon_threadsafe(held[0].shutdown)
        while not held[0]._last:
            time.sleep(0.001)
        connection.sendall(question)
        status, headers, _ = answers(connection, 1)[0]
        assert (status, headers[b"connection"]) == (200, b"close")
        assert connection.recv(1) == b""


def test_an_idle_connection_is_closed_when_the_server_stops(client: httpx.Client, held: list[wire.Gathering]) -> None:
    with connected(client) as connection:
        connection.sendall(message(body()))
        answers(connection, 1)
        held[0].loop.call_soon_threadsafe(held[0].shutdown)
        assert connection.recv(1) == b""


def test_heads_that_are_never_the_same_are_not_kept_without_end(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "MOST_HEADS", 3)
    for number in range(9):
        answer = client.post("/v1/embeddings", content=body(), headers={"traceparent": str(number)})
        assert answer.status_code == 200


@pytest.mark.parametrize("raw", [False, True])
def test_a_model_whose_answer_is_not_finite_never_gives_a_200(
    client: httpx.Client, careful: list[int], monkeypatch: pytest.MonkeyPatch, raw: bool
) -> None:
    ask = artifact.ask

    def broken(network: Any, ability: str, inputs: Any) -> Any:
        outputs = ask(network, ability, inputs).clone()
        outputs[inputs["values"][:, 0] > 5] = float("nan")
        return outputs

    monkeypatch.setattr("app.ml.runtime.engines.ask", broken)
    good, bad = ROW, np.array([1e6, *ROW[1:]], np.float32)

    async def ask_for(many: httpx.AsyncClient, row: Any) -> httpx.Response:
        if not raw:
            return await many.post("/v1/embeddings", json={"model": "tiny", "input": row.tolist()})
        headers = {"content-type": RAW, "accept": RAW}
        return await many.post("/v1/embeddings?model=tiny", content=row.tobytes(), headers=headers)

    async def crowd() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=client.base_url, headers=client.headers, timeout=60) as many:
            return await asyncio.gather(*(ask_for(many, row) for row in [good, bad] * 20))

    found = asyncio.run(crowd())
    assert [answer.status_code for answer in found] == [200, 424] * 20, "a bad one fails alone"
    assert found[1].json()["error"]["code"] == "inference_failed"
    assert 20 <= len(careful) < 40, "all bad ones, and few others"


def test_what_comes_while_others_are_read_is_computed_with_them(
    client: httpx.Client, held: list[wire.Gathering], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Batcher, "here", 2 * networks.WIDTH)
    question = message(body())
    with connected(client) as one, connected(client) as other:
        for connection in (one, other):
            connection.sendall(question)
            answers(connection, 1)
        before, loop = batches(client), held[0].loop

        def read() -> None:
            held[0].data_received(question)
            loop.call_soon(held[1].data_received, question)  # as from a socket that the next turn finds ready

        loop.call_soon_threadsafe(read)
        assert [answers(connection, 1)[0][0] for connection in (one, other)] == [200, 200]
    assert batches(client) - before == 1


def test_more_than_may_be_computed_at_once_is_computed_in_parts_on_the_event_loop(
    client: httpx.Client, held: list[wire.Gathering], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hop to the model's thread and back would cost each question more than its share of a part."""
    question, count = message(body()), 2 * FEW + 3
    handed: list[str] = []
    put = Batcher.put

    def noted(self: Batcher, ability: str, inputs: Tensors) -> Work:
        handed.append(ability)
        return put(self, ability, inputs)

    monkeypatch.setattr(Batcher, "put", noted)
    monkeypatch.setattr(Batcher, "here", FEW * networks.WIDTH)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connected(client)) for _ in range(count)]
        for connection in connections:
            connection.sendall(question)
            answers(connection, 1)
        before = batches(client)
        handed.clear()

        def read() -> None:
            for each in held[:count]:
                each.data_received(question)

        held[0].loop.call_soon_threadsafe(read)
        assert [answers(connection, 1)[0][0] for connection in connections] == [200] * count
    assert (batches(client) - before, handed) == (3, [])


def batches(client: httpx.Client) -> float:
    """How many this server has computed."""
    name = "rootstock_inference_batches_total "
    return float(next(line for line in client.get("/metrics").text.splitlines() if line.startswith(name))[len(name) :])


def test_a_crowd_is_answered_alike(client: httpx.Client, careful: list[int]) -> None:
    """150 requests, forty at a time, one row or a few each: as close to the answers alone as float32 allows."""
    rows, sizes = networks.rows(450, seed=9), np.random.default_rng(0).integers(1, 5, 150)
    given = [part.tolist() for part in np.split(rows, np.cumsum(sizes))[: len(sizes)]]
    alone = [client.post("/v1/embeddings", json={"model": "tiny", "input": part}).json()["data"] for part in given]

    async def crowd() -> list[Any]:
        limits = httpx.Limits(max_connections=40)
        options: Any = {"headers": client.headers, "limits": limits, "timeout": httpx.Timeout(60, pool=None)}
        async with httpx.AsyncClient(base_url=client.base_url, **options) as many:
            posts = (many.post("/v1/embeddings", json={"model": "tiny", "input": part}) for part in given)
            return [answer.json()["data"] for answer in await asyncio.gather(*posts)]

    for together, wanted in zip(asyncio.run(crowd()), alone, strict=True):
        found, expected = (np.array([item["embedding"] for item in items]) for items in (together, wanted))
        assert np.linalg.norm(found - expected) <= 1e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize("full", [1, 100, questions.FULL])
def test_a_crowd_that_brings_bytes_is_answered_each_in_its_own_form(
    client: httpx.Client, careful: list[int], monkeypatch: pytest.MonkeyPatch, full: int
) -> None:
    """Bodies of one length and of others, in all forms at once: each gets the rows that it asked for."""
    monkeypatch.setattr(questions, "FULL", full)
    rows, sizes = networks.rows(250, seed=4), np.random.default_rng(1).integers(1, 4, 90)
    wanted = client.post("/v1/embeddings", json={"model": "tiny", "input": rows.tolist()}).json()["data"]
    expected = np.array([item["embedding"] for item in wanted])
    ends = np.cumsum(sizes)
    bodies = {RAW: lambda part: part.astype("<f4").tobytes(), NPY: npy}
    forms = itertools.cycle([(kind, accept) for kind in bodies for accept in (RAW, NPY, "application/json")])

    async def crowd() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=40)
        options: Any = {"headers": client.headers, "limits": limits, "timeout": httpx.Timeout(60, pool=None)}
        async with httpx.AsyncClient(base_url=client.base_url, **options) as many:
            posts = []
            for part, (kind, accept) in zip(np.split(rows, ends)[: len(sizes)], forms, strict=False):
                headers = {"content-type": kind, "accept": accept}
                content = bodies[kind](part)
                posts.append(many.post("/v1/embeddings?model=tiny", content=content, headers=headers))
            return await asyncio.gather(*posts)

    for end, size, answer in zip(ends, sizes, asyncio.run(crowd()), strict=True):
        if answer.headers["content-type"] == RAW:
            found = np.frombuffer(answer.content, "<f4").reshape(size, -1)
        elif answer.headers["content-type"] == NPY:
            found = np.load(io.BytesIO(answer.content))
        else:
            found = numbers(answer)
        np.testing.assert_allclose(found, expected[end - size : end], rtol=1e-4, atol=1e-6)
    assert len(careful) < len(sizes)
