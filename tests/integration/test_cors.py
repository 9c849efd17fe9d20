"""Pages of other origins, over real sockets: which may call, what they may send and read."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from app.settings import Settings
from tests import networks
from tests.service import asking

HERE, ELSEWHERE = "https://app.example.org", "https://evil.example.org"
BODY = {"model": "tiny", "input": networks.rows(1)[0].tolist()}
ALLOWED = "access-control-allow-origin"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home: Path = tmp_path_factory.mktemp("home")
    origins = f"{HERE}, http://localhost:3000"
    with asking(home, {"tiny": networks.write(home / "tiny")}, cors_origins=origins) as made:
        yield made


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/files", "/v2/models/tiny/infer"])
def test_a_page_may_ask_before_it_calls(client: httpx.Client, path: str) -> None:
    wish = {
        "origin": HERE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,idempotency-key",
    }
    keyless = {"authorization": ""}
    said = client.options(path, headers=wish | keyless)
    assert said.status_code == 200
    assert said.headers[ALLOWED] == HERE
    assert "POST" in said.headers["access-control-allow-methods"]
    assert {"authorization", "idempotency-key"} <= set(said.headers["access-control-allow-headers"].split(","))
    assert "access-control-allow-credentials" not in said.headers
    assert said.headers["x-request-id"]
    refused = client.options(path, headers=wish | keyless | {"origin": ELSEWHERE})
    assert refused.status_code == 400
    assert "ROOTSTOCK_CORS_ORIGINS" in refused.json()["error"]["message"]
    assert ALLOWED not in refused.headers


def test_every_answer_tells_the_browser_who_may_read_it(client: httpx.Client) -> None:
    for _ in range(3):  # the first one loads the model
        answer = client.post("/v1/embeddings", json=BODY, headers={"origin": HERE})
        assert answer.status_code == 200
        assert answer.headers[ALLOWED] == HERE
        assert "origin" in answer.headers["vary"].lower()
        readable = set(answer.headers["access-control-expose-headers"].split(", "))
        assert {"server-timing", "retry-after", "x-request-id"} <= readable
    for refused in (
        client.post("/v1/embeddings", json=BODY, headers={"origin": HERE, "authorization": "Bearer no"}),
        client.post("/v1/embeddings", content=b"{", headers={"origin": HERE}),
        client.get("/v1/nothing", headers={"origin": HERE}),
        client.get("/%00", headers={"origin": HERE}),
    ):
        assert refused.status_code >= 400
        assert refused.headers[ALLOWED] == HERE
    stranger = client.post("/v1/embeddings", json=BODY, headers={"origin": ELSEWHERE})
    assert stranger.status_code == 200, "the browser keeps it from the page"
    assert ALLOWED not in stranger.headers
    assert ALLOWED not in client.post("/v1/embeddings", json=BODY).headers


def test_unless_told_so_no_other_origin_may_call(tmp_path: Path) -> None:
    with asking(tmp_path, {"tiny": networks.write(tmp_path / "tiny")}) as client:
        wish = {"origin": HERE, "access-control-request-method": "POST"}
        assert client.options("/v1/embeddings", headers=wish).status_code == 405
        assert ALLOWED not in client.post("/v1/embeddings", json=BODY, headers={"origin": HERE}).headers


@pytest.mark.parametrize("origins", ["*", "", "http://localhost:3000", "https://a.org,https://b.org"])
def test_origins_are_named_as_browsers_name_them(origins: str) -> None:
    assert Settings(cors_origins=origins).cors_origins == origins


@pytest.mark.parametrize(
    "origins", ["a.org", "https://a.org/", "https://a.org/page", "https://a.org;b", "*, https://a.org"]
)
def test_other_origins_are_no_setting(origins: str) -> None:
    with pytest.raises(ValidationError, match="cors_origins"):
        Settings(cors_origins=origins)
