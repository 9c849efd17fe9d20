"""A form is read the same however the network cuts it, and no part is held whole."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.requests import Request

from app.api.multipart import MAX_PARTS, parts
from app.errors import Malformed, RootstockError, TooLarge

BODY = (
    b'--edge\r\nContent-Disposition: form-data; name="purpose"\r\n\r\npretrain\r\n'
    b'--edge\r\ncontent-disposition: form-data; name="file"; filename="a\xc3\xa4.csv"\r\nContent-Type: text/csv\r\n\r\n'
    b'1,2\r\n--edg\r\n\r\n--edge\r\nContent-Disposition: form-data; name="empty"\r\n\r\n\r\n--edge--\r\n'
)


def request(chunks: Sequence[bytes], kind: str = "multipart/form-data; boundary=edge") -> Request:
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Any:
        return waiting.pop(0)

    return Request({"type": "http", "headers": [(b"content-type", kind.encode())]}, receive)


def read(chunks: Sequence[bytes], kind: str = "multipart/form-data; boundary=edge") -> list[tuple[Any, ...]]:
    async def gather() -> list[tuple[Any, ...]]:
        return [(p.name, p.filename, b"".join([c async for c in p.body])) async for p in parts(request(chunks, kind))]

    return asyncio.run(gather())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_cuts_make_no_difference(size: int) -> None:
    chunks = [BODY[start : start + size] for start in range(0, len(BODY), size)]
    assert read(chunks) == [
        ("purpose", None, b"pretrain"),
        ("file", "aä.csv", b"1,2\r\n--edg\r\n"),
        ("empty", None, b""),
    ]


@pytest.mark.parametrize(
    ("given", "filename"),
    [
        ("filename*=UTF-8''a%C3%A4%20b.csv", "aä b.csv"),
        ("filename*=iso-8859-1'de'a%E4.csv", "aä.csv"),
        ("filename=\"=?utf-8?B?YcOkLmNzdg==?=\"; filename*=utf-8''a%C3%A4.csv", "aä.csv"),
        ("filename=\"b.csv\"; filename*=utf-8''a.csv", "b.csv"),
        ('filename="b%20.csv"', "b%20.csv"),
    ],
)
def test_a_file_is_called_as_its_client_writes_names(given: str, filename: str) -> None:
    body = f'--edge\r\nContent-Disposition: form-data; name="file"; {given}\r\n\r\n1\r\n--edge--\r\n'
    assert read([body.encode()]) == [("file", filename, b"1")]


@pytest.mark.parametrize("given", ["utf-8''%FF", "utf-9''a", "''a", "utf-8''%00", "base64''YQ=="])
def test_a_filename_that_is_no_text_is_refused(given: str) -> None:
    body = f'--edge\r\nContent-Disposition: form-data; name="file"; filename*={given}\r\n\r\n1\r\n--edge--\r\n'
    with pytest.raises(Malformed, match="filename"):
        read([body.encode()])


def test_a_part_is_given_on_while_it_arrives() -> None:
    head = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    asked = 0

    async def receive() -> Any:
        nonlocal asked
        asked += 1
        return {"type": "http.request", "body": head if asked == 1 else b"x" * 1000, "more_body": True}

    scope = {"type": "http", "headers": [(b"content-type", b"multipart/form-data; boundary=edge")]}

    async def first_bytes() -> int:
        async for part in parts(Request(scope, receive)):
            seen = 0
            async for chunk in part.body:
                seen += len(chunk)
                if seen >= 10_000:
                    return asked
        return -1

    assert asyncio.run(first_bytes()) <= 12  # the head, and what it takes to see 10,000 bytes


@pytest.mark.parametrize(
    "body",
    [
        BODY[:-8],
        b"",
        b"--other\r\n\r\n--other--",
        b"--edge\r\nContent-Disposition: form-data\r\n\r\n1\r\n--edge--",
        b'--edge\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n1\r\n--edge--',
        b'--edge\r\nContent-Disposition: form-data; name="a"; filename="\x00"\r\n\r\n1\r\n--edge--',
        b"--edge\r\nX: " + b"y" * 20_000 + b"\r\n\r\n1\r\n--edge--",
        b'--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * (MAX_PARTS + 1) + b"--edge--",
    ],
)
def test_what_is_no_whole_form_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        read([body])


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "multipart/mixed; boundary=edge"])
def test_another_content_type_is_malformed(kind: str) -> None:
    with pytest.raises(Malformed, match="boundary"):
        read([BODY], kind)


def test_a_boundary_that_no_form_may_have_is_malformed() -> None:
    with pytest.raises(Malformed, match="cannot be read"):
        read([BODY], f"multipart/form-data; boundary={'x' * 300}")


@pytest.mark.parametrize(("value", "error"), [(b"x" * 1_100_000, TooLarge), (b"\xff", Malformed)])
def test_a_wrong_text_names_its_field(value: bytes, error: type[RootstockError]) -> None:
    body = b'--edge\r\nContent-Disposition: form-data; name="note"\r\n\r\n' + value + b"\r\n--edge--"

    async def text() -> None:
        async for part in parts(request([body])):
            await part.text()

    with pytest.raises(error, match="note"):
        asyncio.run(text())
