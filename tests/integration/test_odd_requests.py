"""Requests that no client should send, by the hundred: both ways say the same of them, and never 500."""

import io
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.api.inference import OPERATIONS
from tests import networks
from tests.service import ADMIN_KEY, asking

NPY, RAW = "application/x-npy", "application/octet-stream"
ROW = networks.rows(1)[0].round(3).tolist()
NUMBERS = [
    *("NaN", "-Infinity", "1e999", "1e39", "9" * 30, "9" * 400, "18446744073709551616", "3.5e38", "1e-400", "-0.0"),
    *("true", "null", "'x'", '"x"', '"\\ud800"', '"\\u0000"', "[]", "{}", "[1]", "01", "+1", ".5", "1.", "0x10", "1,2"),
]
INPUTS = [
    *('""', '"text"', "{}", "null", "true", "1", "[]", "[[]]", "[[],[]]", '[""]', "[null]", '["\\ud800"]', "[[[]]]"),
    *("[" * depth + json.dumps(ROW)[1:-1] + "]" * depth for depth in (2, 3, 99, 500, 1000, 1030, 5000)),
    *(json.dumps(given) for given in (ROW, [ROW] * 3, [ROW, ROW[:-1]], ROW[:-1], [ROW, None], [1, ROW], [[ROW]])),
]
MODELS = ["tiny:1", "tiny:99", "tiny@x", "tiny:", "tiny:01", "nobody", "", " tiny", "a" * 300, "a\0b", "é", "../x"]
KINDS = ["<f4", ">f8", "<f2", "<i8", "u1", "<c8", "S3", "<U2", "?"]
OPTIONS = {
    "encoding_format": ['"float"', '"base64"', '"png"', "1", "null", "[]"],
    "dimensions": ["4", "3", "0", "-1", "4.0", '"4"', "true", "99999999999999999999"],
    "user": ['"me"', "1", "null", '"\\ud800"'],
    "side": ['"left"', '"up"', "null"],
    "top_k": ["1", "0", "true"],
    "candidate_labels": ['["a", "b"]', '["a", "a"]', "[]", "[1]"],
    "bogus": ["1", "[[1]]"],
    "input": ["1", json.dumps(ROW)],
    "model": ['"tiny"', "1"],
    "inp\\u0075t": [json.dumps(ROW)],
    "\\ud800": ["1"],
}
QUERIES = ["model=tiny"] * 6 + [
    *("", "model=", "model=nobody", "model=tiny&model=x", "model=tiny&input=1", "model=tiny&dimensions=4"),
    *("model=tiny&dimensions=x", "model=tiny&encoding_format=base64", "model=%00", "model=%ff", "model=t%69ny"),
    *("model=tiny&bogus=1", "&".join(f"a{number}=1" for number in range(30)), "a" * 5000),
]
ACCEPTS = ["*/*", RAW, NPY, f"{NPY}, {RAW}", "text/html", "", "x" * 1500]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home: Path = tmp_path_factory.mktemp("home")
    with asking(home, {"tiny": networks.write(home / "tiny")}) as made:
        yield made


class Odd:
    """Draws requests."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)

    def request(self) -> dict[str, Any]:
        """What httpx sends, but for the path's beginning."""
        draw, kind = self._draw, self._draw.choice(["json", "json", "json", RAW, NPY])
        headers = {"accept": draw.choice(ACCEPTS), "authorization": f"Bearer {ADMIN_KEY}"}
        if draw.random() < 0.05:
            headers["authorization"] = draw.choice(["", "Bearer", "Bearer x", f"bearer {ADMIN_KEY}", "Basic x"])
        if draw.random() < 0.1:
            headers["x-request-id"] = draw.choice(["mine", "a" * 200, ""])
        if kind == "json":
            kinds = ["application/json"] * 4 + [
                "text/plain",
                "",
                "multipart/form-data",
                "multipart/form-data; boundary=x",
            ]
            return {"content": self._json(), "headers": {**headers, "content-type": draw.choice(kinds)}}
        content = self._raw() if kind == RAW else self._npy()
        return {"content": content, "headers": {**headers, "content-type": kind}, "query": draw.choice(QUERIES)}

    def _json(self) -> bytes:
        draw, given = self._draw, self._draw.choice(INPUTS)
        if draw.random() < 0.4:
            numbers = list(map(str, ROW))
            numbers[draw.randrange(len(numbers))] = draw.choice(NUMBERS)
            given = f"[{', '.join(numbers)}]"
        model = json.dumps(draw.choice(MODELS)) if draw.random() < 0.2 else '"tiny"'
        pairs = [f'"model": {model}', f'"input": {given}']
        for name in draw.sample(list(OPTIONS), draw.choice([0, 0, 1, 2])):
            pairs.append(f'"{name}": {draw.choice(OPTIONS[name])}')
        draw.shuffle(pairs)
        text = f"{{{', '.join(pairs)}}}"
        return self._damaged(text.encode(), [b"", b"\xff", b"\0", b"\xed\xa0\x80", b"]", b"\xef\xbb\xbf"])

    def _raw(self) -> bytes:
        rows = networks.rows(self._draw.choice([1, 2]))
        rows[0, 1] = self._draw.choice([1.0, 1.0, 3e38, np.nan, -np.inf])
        return self._damaged(rows.tobytes(), [b"", b"\0", b"\0\0\0\0"])

    def _npy(self) -> bytes:
        rows = (networks.rows(2) * 100).astype(self._draw.choice(KINDS))
        shaped = self._draw.choice(
            [rows, rows[0], rows[:, :-1], rows[None], np.asfortranarray(rows), rows[:0], rows[0, 0]]
        )
        file = io.BytesIO()
        np.save(file, shaped)
        content = file.getvalue()
        odd = self._draw.choice([b"{", b"((((((((((", b"\xff" * 8, b"'shape': (-1, -9", b"'shape': (9999999999,"])
        place = self._draw.choice([content.find(b"'shape'"), 10, 6])
        if self._draw.random() < 0.4:
            return content[:place] + odd + content[place + len(odd) :]
        return self._damaged(content, [b"", b"x"])

    def _damaged(self, content: bytes, by: list[bytes]) -> bytes:
        """One in five: cut, or with a piece of `by` in it."""
        if self._draw.random() < 0.8:
            return content
        place = self._draw.randrange(len(content) + 1)
        rest = content[place:] if self._draw.random() < 0.5 else b""
        return content[:place] + self._draw.choice(by) + rest


@pytest.mark.parametrize("path", [operation.path for operation in OPERATIONS if operation.of_items])
def test_both_ways_say_the_same_of_odd_requests(client: httpx.Client, path: str) -> None:
    odd, seen = Odd(seed=len(path)), Counter[int]()
    for _ in range(250):
        request = odd.request()
        url = f"{path}?{request.pop('query', '')}"
        careful = {**request["headers"], "content-encoding": "identity"}
        short, long = client.post(url, **request), client.post(url, content=request["content"], headers=careful)
        assert short.status_code == long.status_code, (url, request, short.text, long.text)
        assert short.status_code not in (500, 503), (url, request)
        if short.is_error:
            assert short.json() == long.json(), (url, request)
            assert short.json()["error"]["message"]
        elif short.headers["content-type"] == "application/json":
            assert short.json()["data"][0].keys() == long.json()["data"][0].keys()
        seen[short.status_code] += 1
    assert seen.keys() >= {400, 401, 404, 422}, seen
    assert seen[200] > 10 or path not in ("/v1/embeddings", "/v1/reconstructions"), seen  # the model can these two


@pytest.mark.parametrize("path", [*(operation.path for operation in OPERATIONS), "/v1/jobs", "/v2/models/tiny/infer"])
def test_what_is_nested_too_deeply_is_malformed_everywhere(client: httpx.Client, path: str) -> None:
    for depth in (101, 1000):
        given = f'{{"model": "tiny", "input": {"[" * depth}1{"]" * depth}}}'
        answer = client.post(path, content=given, headers={"content-type": "application/json"})
        assert answer.status_code == 400, answer.text
        assert "100 deep" in answer.text
