"""A translator from pairs of texts: trained by a job, resumed alike, and asked over HTTP, by the stock SDK and /v2."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import tritonclient.http as triton

from app.errors import DoesNotFit
from app.ml import artifact
from app.registry import events
from app.registry.db import Database
from app.registry.tables import Dataset, Version
from app.storage import storage_at
from tests import networks
from tests.service import ADMIN_KEY, asking
from tests.workshop import Workshop

URL = "/v1/translations"
BODY: dict[str, Any] = {
    "roles": {
        "source": {
            "modality": {"name": "text", "tokenizer": "characters", "max_length": 20},
            "encoder": {"name": "rnn", "preset": "nano"},
        },
        "target": {"modality": {"name": "text", "tokenizer": "characters", "max_length": 20}},
    },
    "objective": {"name": "translation", "width": 32, "heads": 2, "depth": 1, "dropout": 0, "hidden": 0},
    "training": {"epochs": 16, "batch_size": 32, "learning_rate": 5e-3},
}


def lines(count: int, seed: int = 0) -> list[str]:
    draw = np.random.default_rng(seed)
    return list(dict.fromkeys("".join(draw.choice(list("abcdef"), draw.integers(2, 6))) for _ in range(count)))


def table(rows: list[tuple[str, str]], header: str = "source\ttarget") -> bytes:
    return "\n".join([header, *("\t".join(row) for row in rows)]).encode()


PAIRS = table([(line, line.upper()) for line in lines(600)])


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("workshop")
    database = Database(f"sqlite:///{folder}/registry.db")
    database.migrate()
    return Workshop(database, storage_at((folder / "objects").as_uri(), folder / "cache", 2**26), folder / "home")


def pairs(workshop: Workshop, content: bytes = PAIRS, name: str = "pairs.tsv") -> Dataset:
    made = workshop.dataset(content, name, modality="text", columns={"source": "source", "target": "target"})
    assert made.status == "ready", made.report
    return made


@pytest.fixture(scope="module")
def translator(workshop: Workshop) -> Version:
    return workshop.train(workshop.job(pairs(workshop), **BODY))


@pytest.fixture(scope="module")
def client(workshop: Workshop, translator: Version, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home = tmp_path_factory.mktemp("home")
    with asking(home, {"capitals": workshop.files_of(translator), "plain": networks.write(home / "plain")}) as client:
        yield client


def asked(client: httpx.Client, items: Any, **options: Any) -> list[str]:
    answer = client.post(URL, json={"model": "capitals", "input": items, **options})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["object"], body["model"]) == ("list", "capitals:1")
    assert [(item["object"], item["index"]) for item in body["data"]] == [
        ("translation", index) for index in range(len(body["data"]))
    ]
    return [item["text"] for item in body["data"]]


def test_a_job_learns_to_translate_and_is_judged_beside_easy_ways(translator: Version) -> None:
    assert (translator.abilities, translator.modality, translator.dimensions) == (["translate"], "text", None)
    metrics = translator.metrics
    assert metrics["split"] == "test"
    assert set(metrics["baselines"]) == {"copy", "most_frequent", "nearest"}
    assert metrics["chrf"] > 0.2 + max(figures["chrf"] for figures in metrics["baselines"].values())
    assert metrics["exact_match"] > 0.4
    assert translator.spec["roles"]["target"]["like"] == "source", "both are read in one way"


def test_a_resumed_job_ends_with_the_same_weights(workshop: Workshop) -> None:
    short = {**BODY, "training": {**BODY["training"], "epochs": 2}}
    dataset = pairs(workshop)
    whole, interrupted = workshop.job(dataset, **short), workshop.job(dataset, **short)
    expected = workshop.weights(workshop.train(whole))
    workshop.leave(interrupted)
    assert workshop.weights(workshop.train(interrupted)) == expected


def test_texts_are_translated_together_as_they_are_alone(client: httpx.Client) -> None:
    texts = lines(40, seed=1)
    together = asked(client, texts)
    assert together == [asked(client, text)[0] for text in texts] == asked(client, texts)
    assert sum(text == line.upper() for text, line in zip(together, texts, strict=True)) > 20
    assert asked(client, texts, beams=1) == [asked(client, text, beams=1)[0] for text in texts]


def test_options(client: httpx.Client) -> None:
    assert [len(text) for text in asked(client, ["abcde", "fedcb"], max_length=2)] == [2, 2]
    assert len(asked(client, "abcde", max_length=8192)[0]) <= 20


def test_the_stock_sdk_and_a_form_ask_alike(client: httpx.Client) -> None:
    expected = asked(client, ["abc", "fed"], beams=2)
    body = {"model": "capitals", "input": ["abc", "fed"], "beams": 2}
    with openai.OpenAI(api_key=ADMIN_KEY, base_url=f"{client.base_url}/v1") as sdk:
        answer: Any = sdk.post("/translations", body=body, cast_to=object)
    assert [item["text"] for item in answer["data"]] == expected
    fields = [("model", "capitals"), ("beams", "2"), ("input", "abc"), ("input", "fed")]
    form = client.post(URL, files=[(name, (None, value)) for name, value in fields])
    assert [item["text"] for item in form.json()["data"]] == expected


def test_triton_asks_for_translations(client: httpx.Client) -> None:
    with triton.InferenceServerClient(f"{client.base_url.host}:{client.base_url.port}") as asking_v2:
        texts = triton.InferInput("input", [2], "BYTES")
        texts.set_data_from_numpy(np.array(["abc", "fed"], dtype=object))
        answer = asking_v2.infer("capitals", [texts], headers={"authorization": f"Bearer {ADMIN_KEY}"})
        found = [each.decode() for each in answer.as_numpy("text")]
    assert found == asked(client, ["abc", "fed"])


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ({"input": ""}, 400, "empty_input", "give at least one word"),
        ({"input": ["abc", "  "]}, 400, "empty_input", "input[1]"),
        ({"input": []}, 400, "empty_input", "input"),
        ({"input": "abc" * 7}, 422, "out_of_range", "longer than the 20 tokens"),
        ({"input": ["abc", "a" * 21]}, 422, "out_of_range", "input[1]: is longer"),
        ({"input": ["abc", " " * 99 + "a" * 9000]}, 422, "out_of_range", "input[1]: is longer"),
        ({"input": [[5] * 21]}, 422, "out_of_range", "longer than the 20 tokens"),
        ({"input": 7}, 422, "wrong_type", "input"),
        ({"input": "abc", "beams": 0}, 422, "out_of_range", "beams"),
        ({"input": "abc", "beams": 17}, 422, "out_of_range", "beams"),
        ({"input": "abc", "max_length": 0}, 422, "out_of_range", "max_length"),
        ({"input": "abc", "model": "plain"}, 422, "ability_missing", "cannot translate"),
        ({"input": "abc", "model": "nobody"}, 404, "model_not_found", "nobody"),
    ],
)
def test_what_cannot_be_translated_has_a_name(
    client: httpx.Client, body: dict[str, Any], status: int, code: str, said: str
) -> None:
    answer = client.post(URL, json={"model": "capitals", **body})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), error
    assert said in error["message"]


def test_a_translator_cannot_embed(client: httpx.Client) -> None:
    answer = client.post("/v1/embeddings", json={"model": "capitals", "input": "abc"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "ability_missing")


def more_pairs(workshop: Workshop) -> Dataset:
    rows = [json.dumps({"source": line, "target": line.upper()}) for line in lines(60, 2)]
    return pairs(workshop, "\n".join(rows).encode(), "more.jsonl")


@pytest.mark.parametrize("more", [{"kind": "pretrain", "objective": BODY["objective"]}, {"kind": "finetune"}])
def test_a_translator_goes_on_with_other_pairs(workshop: Workshop, translator: Version, more: dict[str, Any]) -> None:
    again = workshop.train(workshop.job(more_pairs(workshop), translator, training={"epochs": 1}, **more))
    assert again.spec["objective"] == translator.spec["objective"]
    assert again.metrics["exact_match"] > 0.4, "what the base has learned is where it begins"
    assert again.metrics["base"]["model"] == f"{translator.model.name}:{translator.number}"


def test_words_that_a_translator_tells_keep_their_numbers_where_sources_have_others(workshop: Workshop) -> None:
    apart = {**BODY, "objective": {**BODY["objective"], "shared": False}, "training": {"epochs": 1}}
    base = workshop.train(workshop.job(pairs(workshop), **apart))
    again = workshop.train(workshop.job(more_pairs(workshop), base, kind="finetune", training={"epochs": 1}))
    assert again.spec["roles"]["target"]["like"] is None
    assert again.spec["roles"]["target"] == base.spec["roles"]["target"]
    tokenizers = [artifact.load(workshop.files_of(each)).roles["target"].state() for each in (base, again)]
    assert tokenizers[0] == tokenizers[1]


def test_an_encoder_of_texts_is_the_source_side_of_a_graft(workshop: Workshop) -> None:
    texts = workshop.dataset("\n".join(lines(60)).encode(), "lines.txt", modality="text")
    body: dict[str, Any] = {"encoder": {"name": "transformer", "preset": "nano"}, "objective": {"name": "masked"}}
    base = workshop.train(workshop.job(texts, **body, training={"epochs": 1}))
    graft = workshop.train(
        workshop.job(pairs(workshop), base, kind="finetune", training={"epochs": 1, "batch_size": 64})
    )
    assert graft.abilities == ["translate"], "the target decides"
    assert graft.spec["roles"]["source"]["encoder"]["name"] == "transformer"
    assert graft.spec["roles"]["target"]["like"] is None, "the base knows nothing of targets"


def test_a_model_that_is_worth_less_than_a_simple_answer_says_so(workshop: Workshop) -> None:
    job = workshop.job(pairs(workshop), **{**BODY, "training": {"epochs": 1, "learning_rate": 1e-6}})
    metrics = workshop.train(job).metrics
    assert metrics["chrf"] < metrics["baselines"]["nearest"]["chrf"]
    with workshop.database.reading() as session:
        told = [event for event in events.after(session, job.id, 0, 1000) if event.data and "finding" in event.data]
    (finding,) = [event for event in told if event.data["finding"] == "outdone"]
    assert finding.type == "warning"
    assert "the simple answer 'nearest' has" in finding.message


def test_data_that_nothing_can_be_learned_from_are_named(workshop: Workshop) -> None:
    texts = workshop.dataset(b"an oak is a tree\na wren is a bird\n" * 20, "lines.txt", modality="text")
    with pytest.raises(DoesNotFit, match="needs source, and the dataset has none"):
        workshop.train(workshop.job(texts, objective={"name": "translation"}))
    labelled = workshop.dataset(
        table([("an oak", "tree"), ("a wren", "bird")] * 20, "text\tlabel"), "labels.tsv", modality="text"
    )
    with pytest.raises(DoesNotFit, match="needs source, and the dataset has none"):
        workshop.train(workshop.job(labelled, objective={"name": "translation"}))
    same = pairs(workshop, table([(line, "always this") for line in lines(40)]))
    with pytest.raises(DoesNotFit, match="all targets of the training rows are the same text"):
        workshop.train(workshop.job(same, **BODY))
    with pytest.raises(DoesNotFit, match="learns every row as it is"):
        workshop.train(workshop.job(pairs(workshop), **BODY, augmentation={"name": "text"}))
    one = workshop.dataset(
        table([("ab", "AB")]), "one.tsv", modality="text", columns={"source": "source", "target": "target"}
    )
    assert one.status == "failed"
    assert one.report is not None
    assert [fault["code"] for fault in one.report["faults"]] == ["single_row"]
