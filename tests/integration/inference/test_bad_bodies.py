"""What a client can send that no model reads: each is named, and the service works on."""

from typing import Any

import numpy as np
import pytest

from tests.service import VECTOR, House, uri


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        ({"model": "tiny", "input": VECTOR[:-1]}, 422, "wrong_shape", "11"),
        ({"model": "tiny", "input": [VECTOR, VECTOR[:3]]}, 422, "wrong_shape", "input[1]"),
        ({"model": "tiny", "input": [*VECTOR[:-1], "7"]}, 422, "wrong_type", "'7'"),
        ({"model": "tiny", "input": [*VECTOR[:-1], None]}, 422, "wrong_type", "got null"),
        ({"model": "tiny", "input": [*VECTOR[:-1], 1e300]}, 422, "non_finite", "1e+300"),
        ({"model": "tiny", "input": "a text"}, 422, "wrong_type", "got a text"),
        ({"model": "tiny", "input": {}}, 422, "wrong_type", "no names"),
        ({"model": "tiny", "input": None}, 422, "wrong_type", "got null"),
        ({"model": "tiny", "input": 7}, 422, "wrong_type", "got a number"),
        ({"model": "tiny", "input": [[[VECTOR]]]}, 422, "wrong_type", "input[0]"),
        ({"model": "tiny", "input": []}, 400, "empty_input", "empty"),
        ({"model": "tiny", "input": [VECTOR] * 2049}, 422, "out_of_range", "2049"),
        ({"model": "tiny"}, 422, "missing_key", "input"),
        ({"input": VECTOR}, 422, "missing_key", "model"),
        ({"model": 7, "input": VECTOR}, 422, "wrong_type", "model"),
        ({"model": "tinny", "input": VECTOR}, 404, "model_not_found", "'tiny'"),
        ({"model": "tiny:9", "input": VECTOR}, 404, "model_not_found", "9"),
        ({"model": "tiny@champion", "input": VECTOR}, 404, "model_not_found", "champion"),
        ({"model": "ti\u0000ny", "input": VECTOR}, 404, "model_not_found", "x00"),
        ({"model": "t" * 5000, "input": VECTOR}, 404, "model_not_found", "ttt"),
        ({"model": "", "input": VECTOR}, 404, "model_not_found", "''"),
        ({"model": "tiny", "input": VECTOR, "dimensions": 3}, 422, "out_of_range", "4"),
        ({"model": "tiny", "input": VECTOR, "encoding_format": "hex"}, 422, "unknown_choice", "hex"),
        ({"model": "tiny", "input": VECTOR, "colour": 1}, 422, "unknown_key", "colour"),
        ({"model": "picture", "input": "a text"}, 400, "malformed", "data:"),
        ({"model": "picture", "input": VECTOR[:7]}, 422, "wrong_shape", "7"),
        ({"model": "reader", "input": VECTOR}, 422, "wrong_type", "input"),
        ({"model": "picture", "input": "http://127.0.0.1/picture.png"}, 400, "malformed", "never fetched"),
        ({"model": "picture", "input": "data:image/png;base64,AAAA"}, 400, "malformed", "input"),
        ({"model": "picture", "input": uri(np.zeros((9, 9)))}, 422, "wrong_shape", "9"),
        ({"model": "damaged", "input": VECTOR}, 424, "inference_failed", "damaged"),
    ],
)
def test_a_bad_body_is_named_and_the_service_works_on(
    house: House, body: dict[str, Any], status: int, code: str, says: str
) -> None:
    response = house.post("/v1/embeddings", body)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code), error
    assert says in error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    assert house.embed(VECTOR).status_code == 200


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (
            "/v1/embeddings",
            "the body is image/png; send JSON with the item as a data: URI, or the file as 'input' of a",
        ),
        ("/v1/generations", "the body is image/png; send JSON"),
    ],
)
def test_a_file_as_the_body_is_told_how_it_is_sent(house: House, path: str, says: str) -> None:
    answer = house.client.post(path, content=b"\x89PNG\r\n", headers={"content-type": "image/png"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed")
    assert answer.json()["error"]["message"].startswith(says)


def test_a_form_where_none_is_read_is_told_so(house: House) -> None:
    answer = house.client.post("/v1/generations", files={"model": (None, "tiny")})
    assert answer.json()["error"]["message"] == "the body is multipart/form-data; send JSON"


def test_a_file_of_another_name_is_told_what_it_is_called(house: House) -> None:
    answer = house.client.post("/v1/embeddings", files={"file": ("a.png", b"\x89PNG")}, data={"model": "picture"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "malformed", "file")
    assert error["message"] == "file: is a file; the form's files are its items, called 'input'"


def test_what_is_no_text_is_told_in_the_clients_words(house: House) -> None:
    file = house.client.post("/v1/embeddings", files={"input": ("a.txt", b"caf\xe9")}, data={"model": "reader"})
    error = file.json()["error"]
    assert (file.status_code, error["param"]) == (400, "input")
    assert error["message"] == "input: is a file that holds no text in UTF-8: byte 3 is 0xe9; save it as such"
    numbers = house.client.post(
        "/v1/embeddings",
        params={"model": "reader"},
        content=np.ones(2, "<f4").tobytes(),
        headers={"content-type": "application/octet-stream"},
    )
    assert numbers.json()["error"]["message"].endswith("expected a text or a list of token ids, got 1.0")


def test_files_of_texts_are_texts(house: House) -> None:
    texts = ["a text", "another one"]
    files = [("input", (f"{place}.txt", text.encode())) for place, text in enumerate(texts)]
    asked = house.client.post("/v1/embeddings", files=files, data={"model": "reader"}).json()
    said = house.client.post("/v1/embeddings", json={"model": "reader", "input": texts}).json()
    assert asked["data"] == said["data"]
    alone = house.client.post("/v1/embeddings", files=files[:1], data={"model": "reader"}).json()
    np.testing.assert_allclose(alone["data"][0]["embedding"], said["data"][0]["embedding"], atol=1e-5)


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b'{"model": "tiny", "input": [NaN, 1]}', 422, "non_finite"),
        (b'{"model": "tiny", "input": [[1, Infinity]]}', 422, "non_finite"),
        (b'{"model": "tiny", "input": [-Infinity]}', 422, "non_finite"),
        (b'{"model": "tiny", "input": [1e999]}', 422, "non_finite"),
        (b"", 400, "empty_input"),
        (b'{"model": "tiny", "input": [1,', 400, "malformed"),
        (b'[{"model": "tiny"}]', 400, "malformed"),
        (b"\xff\xfe", 400, "malformed"),
        (b"[" * 100_000, 400, "malformed"),
        (b'{"model": "tiny", "input": ' + b"[" * 99 + b"1" + b"]" * 99 + b"}", 422, None),
        (b'{"model": "tiny", "input": ' + b"[" * 900 + b"1" + b"]" * 900 + b"}", 400, "malformed"),
        (b'{"model": "tiny", "input": [' + b"9" * 5000 + b"]}", None, None),
        (b'{"model": "tiny", "input": [' + b"1," * 4_000_000 + b"1]}", 413, "too_large"),
    ],
)
def test_raw_bodies_are_never_a_bug(house: House, raw: bytes, status: int | None, code: str | None) -> None:
    response = house.post("/v1/embeddings", content=raw)
    error = response.json()["error"]
    assert 400 <= response.status_code < 500, error
    assert status in (None, response.status_code), error
    assert code in (None, error["code"]), error
    assert house.embed(VECTOR).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ("", 400, "empty_input"),
        (["oak", ""], 400, "empty_input"),
        ([[1, 10**6]], 422, "out_of_range"),
        (["oak", [5]], 422, "wrong_type"),
        (["oak", 1.5], 422, "wrong_type"),
        ("x" * 5_000_000, 422, "out_of_range"),
        ("x" * 10_000_000, 413, "too_large"),
        (["oak"] * 2049, 422, "out_of_range"),
    ],
)
def test_wrong_texts_are_named(house: House, wrong: Any, status: int, code: str) -> None:
    answer = house.embed(wrong, "reader")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text


def test_an_ability_that_is_missing_is_named(house: House) -> None:
    for path, model in (("/v1/predictions", "tiny"), ("/v1/reconstructions", "graft")):
        response = house.post(path, {"model": model, "input": VECTOR})
        assert response.status_code == 422
        assert response.json()["error"]["code"] == "ability_missing"
