import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from app.errors import AbilityMissing, ArtifactDamaged, InferenceFailed, NonFinite, OutOfRange, WrongShape
from app.ml import artifact
from app.ml.inference.predictor import Predictor
from app.ml.operations.base import Operation
from app.ml.operations.embed import Embed
from app.ml.operations.predict import Predict
from app.ml.operations.reconstruct import Reconstruct
from tests import networks


@pytest.fixture
def loaded(tmp_path: Path) -> artifact.Artifact:
    return artifact.load(networks.write(tmp_path))


@pytest.fixture
def predictor(loaded: artifact.Artifact) -> Iterator[Predictor]:
    made = networks.predictor(loaded, max_inputs=64)
    yield made
    made.close()
    made.batcher.join(30)


async def ask(predictor: Predictor, operation: Operation, items: Any, *, large: bool = False, **options: Any) -> Any:
    request = operation.Request.model_validate({"model": "tiny", "input": items, **options})
    answer, timings = await predictor.answer(operation, request, large=large, pack=dict)
    assert timings.preprocess > 0
    assert timings.queue >= 0
    assert timings.inference > 0
    assert answer["model"] == "tiny:1"
    return answer["data"]


def test_an_answer_with_strangers_in_the_batch_is_the_answer_alone(predictor: Predictor) -> None:
    column = networks.rows(48, seed=5)

    async def story() -> tuple[list[Any], list[Any]]:
        alone = [await ask(predictor, Embed(), row.tolist()) for row in column]
        crowd = await asyncio.gather(
            *(ask(predictor, Embed(), row.tolist(), large=index % 2 == 0) for index, row in enumerate(column)),
            *(ask(predictor, Reconstruct(), column.tolist()) for _ in range(4)),
            ask(predictor, Embed(), column.tolist()),
        )
        return alone, crowd

    alone, crowd = asyncio.run(story())
    wanted = np.array([data[0]["embedding"] for data in alone])
    together = np.array([data[0]["embedding"] for data in crowd[: len(column)]])
    at_once = np.array([item["embedding"] for item in crowd[-1]])
    np.testing.assert_allclose(together, wanted, atol=1e-4)
    np.testing.assert_allclose(at_once, wanted, atol=1e-4)
    assert np.abs(wanted).max() > 1e-2


def test_texts_of_different_lengths_share_a_batch(tmp_path: Path) -> None:
    predictor = networks.predictor(artifact.load(networks.write(tmp_path, modality="text")))
    texts = networks.texts(48, seed=5).tolist()

    async def story(operation: Operation) -> tuple[list[Any], list[Any]]:
        alone = [(await ask(predictor, operation, text))[0] for text in texts]
        crowd = await asyncio.gather(*(ask(predictor, operation, text) for text in texts))
        return [*alone, *alone], [*(data[0] for data in crowd), *await ask(predictor, operation, texts)]

    alone, crowd = asyncio.run(story(Embed()))
    wanted, given = (np.array([item["embedding"] for item in items]) for items in (alone, crowd))
    np.testing.assert_allclose(given, wanted, atol=1e-5)
    assert np.abs(wanted - wanted[0]).max() > 1e-3
    alone, crowd = asyncio.run(story(Reconstruct()))
    assert [item["reconstruction"] for item in crowd] == [item["reconstruction"] for item in alone]
    predictor.close()


def test_every_ability_is_answered(tmp_path: Path, predictor: Predictor) -> None:
    data = asyncio.run(ask(predictor, Reconstruct(), networks.rows(3).tolist()))
    assert [item["index"] for item in data] == [0, 1, 2]
    classifier = networks.predictor(artifact.load(networks.write(tmp_path / "c", objective="classification")))
    [prediction] = asyncio.run(ask(classifier, Predict(), networks.rows(1).tolist()))
    assert set(prediction["scores"]) == {"cat", "dog", "owl"}
    classifier.close()
    classifier.batcher.join(30)


@pytest.mark.parametrize("operation", [Embed(), Reconstruct()])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_never_leaves(
    loaded: artifact.Artifact, predictor: Predictor, operation: Operation, value: float
) -> None:
    asyncio.run(ask(predictor, operation, networks.rows(2).tolist()))
    with torch.no_grad():
        for weight in loaded.network.parameters():
            weight.fill_(value)
    with pytest.raises(InferenceFailed, match=r"input\[0\]") as failure:
        asyncio.run(ask(predictor, operation, networks.rows(2).tolist()))
    assert failure.value.status == 424


def test_whatever_its_weights_are_no_answer_holds_a_number_that_is_not_finite(
    loaded: artifact.Artifact, predictor: Predictor
) -> None:
    """Weights near the end of the range, where some rows overflow and others do not: each alone, and all at once."""
    draw = np.random.default_rng(0)
    first = {name: tensor.clone() for name, tensor in loaded.network.state_dict().items()}

    async def story(rows: list[Any]) -> list[Any]:
        asked = [ask(predictor, Embed(), row) for row in rows]
        return await asyncio.gather(*asked, ask(predictor, Embed(), rows), return_exceptions=True)

    answered, failed = 0, 0
    for exponent in np.linspace(36, 40, 12):
        wild = {name: tensor * 10.0**exponent if "bottleneck" in name else tensor for name, tensor in first.items()}
        loaded.network.load_state_dict(wild)
        column = networks.rows(8, seed=int(draw.integers(1000))).tolist()
        for outcome in asyncio.run(story(column)):
            if isinstance(outcome, InferenceFailed):
                failed += 1
            else:
                answered += 1
                assert all(np.isfinite(item["embedding"]).all() for item in outcome)
    assert failed > 0
    assert answered > 0


def test_a_model_that_does_not_give_its_golden_answers_is_not_served(loaded: artifact.Artifact) -> None:
    with torch.no_grad():
        next(loaded.network.parameters())[0, 0].add_(0.5)
    with pytest.raises(ArtifactDamaged):
        networks.predictor(loaded)


def test_an_ability_that_the_model_lacks_is_named(predictor: Predictor) -> None:
    with pytest.raises(
        AbilityMissing, match=r"it can embed, reconstruct\. Models that learned by 'classification' .* can$"
    ):
        asyncio.run(ask(predictor, Predict(), networks.rows(1).tolist()))


def test_wrong_input_is_named_before_it_waits(predictor: Predictor) -> None:
    with pytest.raises(OutOfRange, match="65 items; at most 64"):
        asyncio.run(ask(predictor, Embed(), networks.rows(65).tolist()))
    with pytest.raises(WrongShape, match="11"):
        asyncio.run(ask(predictor, Embed(), [[0.0] * 11]))
    with pytest.raises(NonFinite):
        asyncio.run(ask(predictor, Embed(), [[float("nan")] * 12], large=True))
    with pytest.raises(OutOfRange, match="dimensions: 3 asked"):
        asyncio.run(ask(predictor, Embed(), networks.rows(1).tolist(), dimensions=3))
    assert len(asyncio.run(ask(predictor, Embed(), networks.rows(1).tolist(), dimensions=4))[0]["embedding"]) == 4


def test_work_is_counted_per_row(loaded: artifact.Artifact) -> None:
    linear = [module for module in loaded.network.modules() if isinstance(module, torch.nn.Linear)]
    whole = sum(layer.weight.numel() for layer in linear)
    coding = sum(
        layer.weight.numel()
        for part in (loaded.network.encoders, loaded.network.bottleneck)
        if isinstance(part, torch.nn.Module)
        for layer in part.modules()
        if isinstance(layer, torch.nn.Linear)
    )
    assert loaded.work_per_row == (whole + coding) // 2
