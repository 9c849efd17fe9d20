"""The engine of a network is chosen by measurement and parity, and its answers stay close."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch

from app.ml import artifact, engines
from app.ml.admission import Counters
from app.ml.operations.embed import Embed
from app.ml.predictor import Predictor
from tests import networks


@pytest.fixture
def loaded(tmp_path: Path) -> artifact.Artifact:
    return artifact.load(networks.write(tmp_path))


def test_what_is_chosen_is_what_was_measured(loaded: artifact.Artifact) -> None:
    chosen = engines.choose(loaded)
    if not engines.can("bf16"):
        assert chosen == {"name": "fp32"}
        return
    times = chosen["milliseconds"]
    pays = times["fp32"]["64"] / times["bf16"]["64"] >= engines.LEAST_GAIN and times["fp32"]["1"] >= times["bf16"]["1"]
    assert chosen["name"] == ("bf16" if pays and chosen["cosine"] >= engines.LEAST_COSINE else "fp32")
    assert 0.99 < chosen["cosine"] <= 1


@pytest.mark.parametrize("faster", [True, False])
def test_speed_and_closeness_decide(loaded: artifact.Artifact, monkeypatch: pytest.MonkeyPatch, faster: bool) -> None:
    monkeypatch.setattr(engines, "can", lambda name: True)
    times = {"fp32": {"1": 1.0, "64": 2.0}, "bf16": {"1": 0.9 if faster else 1.1, "64": 1.0}}
    monkeypatch.setattr(engines, "_measured", lambda loaded: (0.99995, times))
    assert engines.choose(loaded)["name"] == ("bf16" if faster else "fp32")
    monkeypatch.setattr(engines, "_measured", lambda loaded: (0.9998, times))
    assert engines.choose(loaded)["name"] == "fp32", "too far from fp32"


def test_an_engine_that_the_machine_lacks_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "can", lambda name: name == "fp32")
    assert engines.chosen({"name": "bf16"}, torch.device("cpu")) == "fp32"
    assert engines.chosen({}, torch.device("cpu")) == "fp32"


def test_a_model_published_for_bf16_answers_in_it_and_alike_in_every_crowd(
    loaded: artifact.Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "can", lambda name: True)
    predictor = Predictor(loaded, reference="tiny:1", max_inputs=64, counters=Counters(), engine={"name": "bf16"})
    assert predictor.engine == "bf16"
    column = networks.rows(16)

    async def ask(items: object) -> np.ndarray:
        request = Embed.Request.model_validate({"model": "tiny", "input": items})
        answer, _ = await predictor.answer(Embed(), request, large=False, pack=dict)
        return np.stack([item["embedding"] for item in answer["data"]])

    async def story() -> tuple[np.ndarray, list[np.ndarray]]:
        return await ask(column.tolist()), list(await asyncio.gather(*(ask(row.tolist()) for row in column)))

    together, alone = asyncio.run(story())
    fp32 = artifact.ask(loaded.network, "embed", loaded.roles["input"].encode(column)).numpy()
    cosine = (together * fp32).sum(1) / np.linalg.norm(together, axis=1) / np.linalg.norm(fp32, axis=1)
    assert cosine.min() > 0.999
    assert not np.array_equal(together, fp32)
    np.testing.assert_allclose(np.concatenate(alone), together, atol=2e-2)
    predictor.close()
    predictor.batcher.join(30)
