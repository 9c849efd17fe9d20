"""What a model gives, over HTTP and by the stock SDK."""

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from PIL import Image

from app.ml import artifact
from tests import networks
from tests.service import ADMIN_KEY, House, numbers, uri


def test_an_embedding_is_what_the_model_gives(house: House, tmp_path: Path) -> None:
    loaded = artifact.load(networks.write(tmp_path))
    column = networks.rows(5, seed=1)
    expected = artifact.ask(loaded.network, "embed", loaded.roles["input"].encode(column)).numpy()
    response = house.embed(column.tolist())
    np.testing.assert_allclose(numbers(response), expected, atol=1e-4)
    body = response.json()
    assert body["object"] == "list"
    assert body["model"] == "tiny:1"
    assert body["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    assert [item["index"] for item in body["data"]] == [0, 1, 2, 3, 4]
    names = [part.partition(";dur=")[0] for part in response.headers["server-timing"].split(", ")]
    assert names == ["preprocess", "queue", "inference"]


def test_one_vector_a_version_and_an_alias_are_the_same(house: House) -> None:
    row = networks.rows(1)[0].tolist()
    expected = numbers(house.embed(row))
    for items, model in ((row, "tiny:1"), ([row], "tiny@default")):
        np.testing.assert_allclose(numbers(house.embed(items, model)), expected, atol=1e-6)


def test_base64_is_float(house: House) -> None:
    column = networks.rows(3).tolist()
    packed = house.embed(column, encoding_format="base64").json()["data"]
    decoded = [np.frombuffer(base64.b64decode(item["embedding"]), dtype="<f4") for item in packed]
    assert np.array_equal(np.stack(decoded), numbers(house.embed(column)).astype(np.float32))


def test_the_stock_sdk_works(house: House) -> None:
    column = networks.rows(4, 784)
    expected = numbers(house.embed(column.tolist(), "wide"))
    given: Any = column.tolist()

    async def ask_async() -> list[list[float]]:
        async with openai.AsyncOpenAI(api_key=ADMIN_KEY, base_url=f"{house.url}/v1") as client:
            found = await asyncio.gather(*(client.embeddings.create(model="wide", input=row) for row in given))
            return [answer.data[0].embedding for answer in found]

    with openai.OpenAI(api_key=ADMIN_KEY, base_url=f"{house.url}/v1") as client:
        answer = client.embeddings.create(model="wide", input=given)
        plain = client.embeddings.create(model="wide", input=given, encoding_format="float")
        assert answer.model == "wide:1"
        assert answer.usage.total_tokens == 4
        for found in (answer, plain):
            np.testing.assert_allclose([item.embedding for item in found.data], expected, atol=1e-5)
        with pytest.raises(openai.NotFoundError) as missing:
            client.embeddings.create(model="wid", input=given)
        assert missing.value.code == "model_not_found"
        assert "'wide'" in missing.value.message
    np.testing.assert_allclose(asyncio.run(ask_async()), expected, atol=1e-5)


def test_pictures_are_read_in_every_form(house: House) -> None:
    picture = networks.pictures(1)[0]
    gray = picture[:, :, 0].tolist()
    expected = numbers(house.embed(gray, "picture"))
    forms = [[gray], picture.tolist(), [picture.tolist()], picture.ravel().tolist(), uri(picture[:, :, 0]), [uri(gray)]]
    for form in forms:
        np.testing.assert_allclose(numbers(house.embed(form, "picture")), expected, atol=1e-5)
    answer = house.post("/v1/reconstructions", {"model": "picture", "input": gray, "encoding_format": "png"}).json()
    [item] = answer["data"]
    assert item["object"] == "reconstruction"
    assert item["error"] > 0
    drawn = Image.open(io.BytesIO(base64.b64decode(item["reconstruction"].partition(",")[2])))
    assert drawn.size == (8, 8)
    plain = house.post("/v1/reconstructions", {"model": "picture", "input": gray}).json()["data"][0]["reconstruction"]
    assert np.array_equal(np.asarray(drawn), plain)


def test_files_come_in_a_form(house: House) -> None:
    pictures = networks.pictures(2)[:, :, :, 0]
    expected = numbers(house.embed(pictures.tolist(), "picture"))
    encoded = [base64.b64decode(uri(picture).partition(",")[2]) for picture in pictures]
    for count in (1, 2):
        files = [("input", (f"{place}.png", content)) for place, content in enumerate(encoded[:count])]
        answer = house.client.post("/v1/embeddings", files=files, data={"model": "picture", "dimensions": "4"})
        np.testing.assert_allclose(numbers(answer), expected[:count], atol=1e-5)
    text = house.client.post("/v1/embeddings", files={"input": (None, uri(pictures[0])), "model": (None, "picture")})
    np.testing.assert_allclose(numbers(text), expected[:1], atol=1e-5)


def test_predictions(house: House) -> None:
    body = {"model": "graft", "input": networks.pictures(3).tolist(), "top_k": 2}
    answer = house.post("/v1/predictions", body).json()
    assert answer["model"] == "graft:1"
    for index, item in enumerate(answer["data"]):
        assert item["index"] == index
        assert next(iter(item["scores"])) == item["label"]
        assert len(item["scores"]) == 2


def test_embeddings_that_nest_are_cut_and_others_are_not(house: House) -> None:
    rows = networks.rows(5).tolist()
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=ADMIN_KEY, max_retries=0) as client:
        whole = np.array([each.embedding for each in client.embeddings.create(model="nested", input=rows).data])
        answer = client.embeddings.create(model="nested", input=rows, dimensions=2)
        cut = np.array([each.embedding for each in answer.data])
        np.testing.assert_array_equal(cut, whole[:, :2])
        assert client.embeddings.create(model="nested", input=rows, dimensions=4).data[0].embedding == list(whole[0])
        for model, dimensions, says in (("nested", 1, "to 2"), ("nested", 5, "to 2"), ("tiny", 2, "cannot shorten")):
            with pytest.raises(openai.UnprocessableEntityError, match=says):
                client.embeddings.create(model=model, input=rows, dimensions=dimensions)
        shortest = {each.id: (each.model_extra or {})["shortest_dimensions"] for each in client.models.list()}
    assert (shortest["nested"], shortest["tiny"]) == (2, None)


def test_texts_and_their_tokens_embed_alike_and_usage_counts_tokens(house: House, tmp_path: Path) -> None:
    texts = ["oak elm", "fig fir yew oak elm"]
    answer = house.embed(texts, "reader")
    wanted = numbers(answer)
    assert [item["index"] for item in answer.json()["data"]] == [0, 1]
    np.testing.assert_allclose(numbers(house.embed(texts[1], "reader"))[0], wanted[1], atol=1e-5)

    modality = artifact.load(networks.write(tmp_path, modality="text")).roles["input"]
    encoded = modality.encode(modality.read(texts))
    tokens = [row[real].tolist() for row, real in zip(encoded["values"], encoded["mask"], strict=True)]
    used = sum(map(len, tokens))
    assert answer.json()["usage"] == {"prompt_tokens": used, "total_tokens": used}
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=ADMIN_KEY) as client:
        given = [item.embedding for item in client.embeddings.create(model="reader", input=tokens).data]
        assert client.embeddings.create(model="reader", input=tokens[0]).usage.total_tokens == len(tokens[0])
    np.testing.assert_allclose(given, wanted, atol=1e-5)
