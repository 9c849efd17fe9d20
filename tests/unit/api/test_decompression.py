"""Packed bodies, against what gzip and zlib pack; fed in pieces of any size."""

import asyncio
import gzip
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from app.api.decompression import PIECE_BYTES, Unpacked
from app.errors import Malformed

TREE = gzip.compress(b"tree")
NOISE = np.random.default_rng(0).integers(0, 16, 3 * PIECE_BYTES, dtype=np.uint8).tobytes()


def unpacked(packed: bytes, packing: str = "gzip", *, size: int = 1000, most: float = float("inf")) -> list[bytes]:
    """The pieces that come out, until there are more than `most` bytes."""
    parts = [packed[first : first + size] for first in range(0, len(packed), size)] or [b""]

    async def receive() -> Any:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def story() -> list[bytes]:
        reading, pieces, more = Unpacked(receive, packing), list[bytes](), True
        while more and sum(map(len, pieces)) <= most:
            message = await reading()
            pieces.append(message["body"])
            more = message["more_body"]
        return pieces

    return asyncio.run(story())


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
@pytest.mark.parametrize("size", [1, 1000, 10_000_000])
@pytest.mark.parametrize(
    "plain",
    [b"", b"a", b"tree " * 9, NOISE[:5000], bytes(PIECE_BYTES), bytes(2 * PIECE_BYTES), bytes(999_999)],
    ids=lambda plain: f"{len(plain)} bytes",
)
def test_what_was_packed_comes_out(pack: Callable[[bytes], bytes], size: int, plain: bytes) -> None:
    assert b"".join(unpacked(pack(plain), size=size)) == plain


def test_behind_its_end_the_client_is_waited_for_to_leave() -> None:
    told: list[Any] = [
        {"type": "http.request", "body": gzip.compress(b"tree"), "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return told.pop(0)

    async def story() -> list[Any]:
        reading = Unpacked(receive, "gzip")
        return [await reading(), await reading()]

    first, second = asyncio.run(story())
    assert (first["body"], first["more_body"]) == (b"tree", False)
    assert second["type"] == "http.disconnect"


def test_large_bodies_and_several_files_one_behind_the_other_come_out_whole() -> None:
    assert b"".join(unpacked(gzip.compress(NOISE, 1), size=50_000)) == NOISE
    assert b"".join(unpacked(gzip.compress(b"one") + gzip.compress(b" two"), size=7)) == b"one two"
    assert unpacked(b"") == [b""], "nothing is nothing, packed or not"


def test_a_bomb_comes_in_pieces_so_that_whoever_counts_them_stops_early() -> None:
    bomb = gzip.compress(bytes(200 * 1024 * 1024))
    pieces = unpacked(bomb, size=len(bomb), most=10**6)
    assert max(map(len, pieces)) == PIECE_BYTES
    assert sum(map(len, pieces)) <= 10**6 + PIECE_BYTES


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"model": "x"}', "is no gzip"),
        (TREE[:-3], "ends before its gzip is complete"),
        (TREE[:-5] + b"12345", "is no gzip"),
        (TREE + b"more", "is no gzip"),
        (TREE[:4], "ends before"),
    ],
    ids=["no gzip", "cut in its sum", "wrong sum", "more behind it", "cut in its head"],
)
def test_what_cannot_be_unpacked_is_named(body: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        unpacked(body)
