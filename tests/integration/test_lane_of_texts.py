"""Texts on the fast path: which take it, and that both paths give the same answers and the same refusals."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from app.api.fast_path import question
from app.ml.inference.batcher import Batcher
from tests import networks
from tests.service import ADMIN_KEY, asking, numbers

CAREFUL = {"content-encoding": "identity"}
"""A header that needs care: the slow path answers."""
TEXTS = networks.texts(600, seed=3).tolist()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home: Path = tmp_path_factory.mktemp("home")
    models = {
        "reader": networks.write(home / "reader", modality="text"),
        "judge": networks.write(home / "judge", modality="text", objective="classification"),
        "pair": networks.write_pair(home / "pair"),
        "tiny": networks.write(home / "tiny"),
    }
    with asking(home, models, looked=True) as made:
        for _ in range(2):
            for name in models:
                made.post(f"/v1/models/{name}/readyz")
                made.post("/v1/embeddings", json={"model": name, "input": "oak"})
        yield made


def both(client: httpx.Client, path: str, body: Any) -> tuple[httpx.Response, httpx.Response]:
    """What is answered to the body, and what the slow path answers to it."""
    return client.post(path, json=body), client.post(path, json=body, headers=CAREFUL)


@pytest.mark.parametrize("given", ["oak", 'Æ \u4e2d\u6587 \U0001f332 " \\', ["fig"], TEXTS[:40]])
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_texts_take_the_fast_path_and_get_what_the_slow_path_gives(
    client: httpx.Client, careful: list[int], given: Any, encoding: str
) -> None:
    quick, slow = both(client, "/v1/embeddings", {"model": "reader", "input": given, "encoding_format": encoding})
    assert (quick.status_code, careful) == (200, [1])
    assert quick.json() == slow.json()
    assert quick.headers.keys() == slow.headers.keys()
    assert quick.json()["usage"]["total_tokens"] > 0


def test_predictions_take_it_too(client: httpx.Client, careful: list[int]) -> None:
    quick, slow = both(client, "/v1/predictions", {"model": "judge", "input": TEXTS[:9], "top_k": 2})
    assert (quick.status_code, careful) == (200, [1])
    assert quick.json() == slow.json()


def test_the_stock_client_takes_it(client: httpx.Client, careful: list[int]) -> None:
    with openai.OpenAI(base_url=f"{client.base_url}/v1", api_key=ADMIN_KEY, max_retries=0) as stock:
        answer = stock.embeddings.create(model="reader", input=["oak elm", "fig"])
    assert len(answer.data) == 2
    assert careful == []


@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("reader", ""),
        ("reader", ["oak", " \n"]),
        ("reader", ["oak", 3]),
        ("reader", ["oak", ["elm"]]),
        ("reader", []),
        ("reader", [[9, 8], [7]]),
        ("reader", [9.5]),
        ("reader", "oak " * question.FULL_OF_TEXT),
        ("tiny", ["oak"]),
        ("pair", ["oak"]),
        ("nobody", ["oak"]),
    ],
)
def test_all_else_is_left_to_the_slow_path(client: httpx.Client, careful: list[int], model: str, given: Any) -> None:
    quick, slow = both(client, "/v1/embeddings", {"model": model, "input": given})
    assert careful == [1, 1]
    for answer in (quick, slow):
        answer.headers.pop("x-request-id")
    assert (quick.status_code, quick.json()) == (slow.status_code, slow.json())
    assert quick.status_code < 500


@pytest.mark.parametrize("here", [0, 16, None])
def test_a_crowd_with_texts_of_many_lengths_is_answered_alike(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, here: int | None
) -> None:
    """A bad one among them; by the event loop or by the model's thread: each gets what it gets alone."""
    sizes = np.random.default_rng(0).integers(1, 5, 120)
    given = [list(part) for part in np.split(np.array(TEXTS[: sizes.sum()], object), np.cumsum(sizes)[:-1])]
    given[10] = ["oak", ""]
    alone = [client.post("/v1/embeddings", json={"model": "reader", "input": part}) for part in given]
    if here is not None:
        monkeypatch.setattr(Batcher, "here", here)

    async def crowd() -> list[httpx.Response]:
        options: Any = {"headers": client.headers, "limits": httpx.Limits(max_connections=40), "timeout": 60}
        async with httpx.AsyncClient(base_url=client.base_url, **options) as many:
            posts = [many.post("/v1/embeddings", json={"model": "reader", "input": part}) for part in given]
            return await asyncio.gather(*posts)

    together = asyncio.run(crowd())
    for place, (found, wanted) in enumerate(zip(together, alone, strict=True)):
        assert found.status_code == wanted.status_code == (400 if place == 10 else 200)
        if place == 10:
            assert found.json()["error"]["param"] == wanted.json()["error"]["param"] == "input[1]"
            continue
        assert found.json()["usage"] == wanted.json()["usage"]
        np.testing.assert_allclose(numbers(found), numbers(wanted), atol=1e-5)
