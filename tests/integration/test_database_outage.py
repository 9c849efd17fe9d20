"""A database that goes away and comes back: what is at hand is answered, the rest gets a 503 that clients retry."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.pool import QueuePool

from tests import networks, servers
from tests.service import ADMIN_KEY, asking

ROW = networks.rows(1)[0].tolist()


@pytest.fixture
def client(tmp_path: Path, postgres_url: str) -> Iterator[httpx.Client]:
    with asking(tmp_path, {"tiny": networks.write(tmp_path / "tiny")}, looked=True, database_url=postgres_url) as made:
        yield made


def ask(client: httpx.Client, model: str) -> httpx.Response:
    return client.post("/v1/embeddings", json={"model": model, "input": ROW})


def test_what_is_known_is_answered_and_the_stock_sdk_waits_for_the_rest(
    client: httpx.Client, postgres_url: str
) -> None:
    assert ask(client, "tiny").status_code == 200
    ended = threading.Event()

    def out() -> None:
        with servers.postgres_outage(postgres_url):
            begun.set()
            ended.wait(60)

    begun, outage = threading.Event(), threading.Thread(target=out)
    outage.start()
    try:
        assert begun.wait(30)
        for _ in range(5):
            assert ask(client, "tiny").status_code == 200
        for refused in (ask(client, "tiny:1"), client.get("/v1/models")):
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready"), refused.text
            assert int(refused.headers["retry-after"]) >= 1
        seen: list[int] = []

        def count(answer: httpx.Response) -> None:
            seen.append(answer.status_code)
            ended.set()
            outage.join(30)

        counting: Any = httpx.Client(event_hooks={"response": [count]})
        options: dict[str, Any] = {"base_url": str(client.base_url.join("/v1")), "api_key": ADMIN_KEY}
        with openai.OpenAI(**options, max_retries=0) as hasty, pytest.raises(openai.InternalServerError) as caught:
            hasty.embeddings.create(model="tiny:1", input=ROW)
        assert (caught.value.status_code, caught.value.code) == (503, "not_ready")
        with openai.OpenAI(**options, http_client=counting) as patient:
            answer = patient.embeddings.create(model="tiny:1", input=ROW)
        assert answer.model == "tiny:1"
        assert seen == [503, 200]
    finally:
        ended.set()
        outage.join()


def test_who_waits_for_a_connection_in_vain_gets_a_503(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the database hangs, those who asked first hold all connections."""

    def connect(self: Any) -> None:
        raise NoConnection("QueuePool limit of size 10 overflow 20 reached, connection timed out, timeout 30.00")

    assert ask(client, "tiny").status_code == 200
    monkeypatch.setattr(QueuePool, "connect", connect)
    for refused in (ask(client, "tiny:1"), client.get("/v1/models")):
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready"), refused.text
        assert int(refused.headers["retry-after"]) >= 1
