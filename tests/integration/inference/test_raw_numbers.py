"""Numbers that come and go without JSON."""

import io

import numpy as np
import pytest

from tests import networks
from tests.service import NPY, RAW, House, npy, numbers


def test_numbers_come_and_go_without_json(house: House) -> None:
    column = networks.rows(3)
    expected = numbers(house.embed(column.tolist())).astype(np.float32)
    given = [
        (RAW, column.astype("<f4").tobytes()),
        (NPY, npy(column)),
        (NPY, npy(column.astype(np.float64))),
        (NPY, npy(np.asfortranarray(column))),
    ]
    for kind, body in given:
        for accept in (RAW, NPY, "application/json", "*/*"):
            answer = house.client.post(
                "/v1/embeddings?model=tiny", content=body, headers={"content-type": kind, "accept": accept}
            )
            assert answer.status_code == 200, answer.text
            if accept in (RAW, NPY):
                assert answer.headers["content-type"] == accept
                assert (answer.headers["x-model"], answer.headers["x-shape"]) == ("tiny:1", "3,4")
            if accept == RAW:
                found = np.frombuffer(answer.content, "<f4").reshape(3, 4)
            elif accept == NPY:
                found = np.load(io.BytesIO(answer.content))
            else:
                found = numbers(answer)
            np.testing.assert_allclose(found, expected, atol=1e-5)
    pictures = networks.pictures(2)
    for kind, body in ((NPY, npy(pictures[:, :, :, 0])), (RAW, pictures.astype("<f4").tobytes())):
        headers = {"content-type": kind, "accept": NPY}
        answer = house.client.post("/v1/reconstructions?model=picture", content=body, headers=headers)
        assert np.load(io.BytesIO(answer.content)).shape == (2, 8, 8)


@pytest.mark.parametrize(
    ("path", "kind", "body", "status", "code", "says"),
    [
        ("embeddings?model=tiny", RAW, b"", 400, "empty_input", "empty"),
        ("embeddings?model=tiny", RAW, b"\0" * 47, 422, "wrong_shape", "47 bytes"),
        ("embeddings?model=tiny", RAW, b"\xff" * 48, 422, "non_finite", "nan"),
        ("embeddings?model=tiny", RAW, b"\0" * 48 * 2049, 422, "out_of_range", "2049"),
        ("embeddings", RAW, b"\0" * 48, 422, "missing_key", "model"),
        ("embeddings?model=tiny&model", RAW, b"\0" * 48, 400, "malformed", "query"),
        ("embeddings?model=tiny&dimensions=x", RAW, b"\0" * 48, 422, "wrong_type", "dimensions"),
        ("embeddings?model=tiny&dimensions=3", RAW, b"\0" * 48, 422, "out_of_range", "3"),
        ("embeddings?model=tiny&input=1", RAW, b"\0" * 48, 422, "unknown_key", "input"),
        ("embeddings?model=tiny&colour=red", RAW, b"\0" * 48, 422, "unknown_key", "colour"),
        ("embeddings?model=tinny", RAW, b"\0" * 48, 404, "model_not_found", "'tiny'"),
        ("embeddings?model=" + "t" * 5000, RAW, b"\0" * 48, 400, "malformed", "bytes"),
        ("embeddings?model=tiny&encoding_format=base64", RAW, b"\0" * 48, 422, "unknown_choice", "accept"),
        ("predictions?model=graft", RAW, b"\0" * 256, 422, "unknown_choice", "accept"),
        ("embeddings?model=tiny", NPY, b"no such thing", 400, "malformed", ".npy"),
        ("embeddings?model=tiny", NPY, npy(np.zeros(12))[:-1], 400, "malformed", "bytes"),
        ("embeddings?model=tiny", NPY, npy(np.zeros(11)), 422, "wrong_shape", "11"),
        ("embeddings?model=tiny", NPY, npy(np.array(["a"])), 422, "wrong_type", "<U1"),
        ("embeddings?model=tiny", NPY, npy(np.array([None])), 422, "wrong_type", "object"),
        (
            "embeddings?model=tiny",
            NPY,
            npy(np.zeros(12)).replace(b"\x01\0", b"\x03\0", 1),
            400,
            "malformed",
            "1.0 and 2.0",
        ),
        ("embeddings?model=tiny", NPY, npy(np.zeros(12))[:9] + b"(" * 60, 400, "malformed", ".npy"),
        ("embeddings?model=tiny", NPY, npy(np.zeros(12)).replace(b"{'descr':", b"((((((((("), 400, "malformed", ".npy"),
        (
            "embeddings?model=tiny",
            NPY,
            npy(np.zeros((1, 12))).replace(b"(1, 12), }  ", b"(-1, -12), }"),
            400,
            "malformed",
            "-12",
        ),
    ],
)
def test_bad_numbers_are_named(
    house: House, path: str, kind: str, body: bytes, status: int, code: str, says: str
) -> None:
    answer = house.client.post(f"/v1/{path}", content=body, headers={"content-type": kind, "accept": RAW})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), error
    assert says in error["message"]
