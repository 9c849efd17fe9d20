"""Whatever happens inside, the outside sees an envelope with a request id, or a broken connection."""

import asyncio
import json
import logging
import re
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.middleware import FORM_OVERHEAD, BodyLimit, RequestContext
from app.api.telemetry import Telemetry
from app.errors import PackedBody, TooLarge


def call(app: ASGIApp, *, path: str = "/v1/files", headers: dict[str, str] | None = None) -> list[Any]:
    """The messages that `app` sends for a POST whose body never ends, in pieces of 100 bytes."""
    sent: list[Any] = []
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return sent


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("secret detail")


async def broken_late(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise KeyError("secret detail")


async def swallow(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads for ever."""
    while True:
        await receive()


def test_a_bug_becomes_an_envelope_and_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry()
    with caplog.at_level(logging.ERROR):
        start, body = call(RequestContext(broken, telemetry), headers={"x-request-id": "r-1"})

    error = json.loads(body["body"])["error"]
    assert (start["status"], error["code"], error["type"]) == (500, "internal", "server_error")
    assert "r-1" in error["message"]
    assert "secret" not in error["message"]
    assert dict(start["headers"])[b"x-request-id"] == b"r-1"
    assert "secret detail" in caplog.text
    assert 'rootstock_requests_total{method="POST",route="unmatched",status="500"} 1' in telemetry.lines()


def test_a_bug_under_the_open_inference_protocol_is_told_in_words() -> None:
    start, body = call(
        RequestContext(broken, Telemetry()), path="/v2/models/rows/infer", headers={"x-request-id": "r-1"}
    )
    assert start["status"] == 500
    assert "r-1" in json.loads(body["body"])["error"]


def test_a_bug_in_the_middle_of_an_answer_breaks_it_off(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(KeyError), caplog.at_level(logging.ERROR):
        call(RequestContext(broken_late, Telemetry()))
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    ("path", "kind", "limit"),
    [
        ("/v1/files", "multipart/form-data; boundary=x", 5000 + FORM_OVERHEAD),
        ("/v1/files", "application/json", 1000),
        ("/v1/jobs", "multipart/form-data; boundary=x", 1000),
    ],
)
def test_a_body_is_bounded_by_what_its_route_does_with_it(path: str, kind: str, limit: int) -> None:
    layer = BodyLimit(swallow, max_body_bytes=1000, max_file_bytes=5000, streamed=re.compile("/v1/files"))
    with pytest.raises(TooLarge) as caught:
        call(layer, path=path, headers={"content-type": kind})
    assert f"{limit // 100 * 100 + 100} bytes" in caught.value.message

    with pytest.raises(TooLarge) as announced:
        call(layer, path=path, headers={"content-type": kind, "content-length": str(limit + 1)})
    assert f"{limit + 1} bytes" in announced.value.message


@pytest.mark.parametrize(
    ("encoding", "refusal"), [("zstd", PackedBody), ("BR", PackedBody), ("gzip, gzip", PackedBody), ("utf-8", TooLarge)]
)
def test_a_body_that_is_packed_in_another_way_is_refused_by_its_name(encoding: str, refusal: type[Exception]) -> None:
    layer = BodyLimit(swallow, max_body_bytes=1000, max_file_bytes=5000, streamed=re.compile("/v1/files"))
    with pytest.raises(refusal):
        call(layer, headers={"content-encoding": encoding})
