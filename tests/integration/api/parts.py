"""Uploads in parts for the API's tests, made by the routes."""

from typing import Any

import httpx
import sqlalchemy as sa

from app.registry.db import now
from app.registry.tables import Upload
from tests.integration.api.conftest import Garden

PIECES = [bytes([number]) * 7000 for number in range(5)]
WHOLE = b"".join(PIECES)
REQUEST = {"filename": "rows.npy", "purpose": "pretrain", "bytes": len(WHOLE), "mime_type": "application/octet-stream"}


def opened(client: httpx.Client, **changes: Any) -> str:
    answer = client.post("/v1/uploads", json=REQUEST | changes)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def send(client: httpx.Client, upload: str, piece: bytes, **more: Any) -> httpx.Response:
    return client.post(f"/v1/uploads/{upload}/parts", files={"data": ("blob", piece)}, **more)


def arrived(client: httpx.Client, upload: str, pieces: list[bytes] = PIECES) -> list[str]:
    return [str(send(client, upload, piece).raise_for_status().json()["id"]) for piece in pieces]


def complete(client: httpx.Client, upload: str, part_ids: list[str], **more: str) -> httpx.Response:
    return client.post(f"/v1/uploads/{upload}/complete", json={"part_ids": part_ids, **more})


def status(client: httpx.Client, upload: str) -> str:
    return str(client.get(f"/v1/uploads/{upload}").json()["status"])


def stored(garden: Garden) -> set[str]:
    return {key for key, _ in garden.house.storage.listing()}


def expire(garden: Garden, upload: str) -> None:
    with garden.database.session() as session:
        session.execute(sa.update(Upload).where(Upload.id == upload).values(expires_at=now() - 1))
