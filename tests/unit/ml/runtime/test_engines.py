"""Engines answer what the network answers, and those that a machine lacks are not used."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch

from app.ml import artifact
from app.ml.inference.counters import Counters
from app.ml.inference.predictor import Predictor
from app.ml.networks.work import HEAVY
from app.ml.operations.embed import Embed
from app.ml.runtime import engines, onnx
from app.ml.runtime.halving import halved
from tests import networks

CPU = torch.device("cpu")


@pytest.fixture
def loaded(tmp_path: Path) -> artifact.Artifact:
    return artifact.load(networks.write(tmp_path))


@pytest.fixture
def graph(tmp_path: Path, loaded: artifact.Artifact) -> Path:
    path = tmp_path / onnx.FILE
    onnx.export(loaded, engines.ABILITY, path)
    return path


def test_an_engine_that_the_machine_lacks_is_not_used(
    loaded: artifact.Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "can", lambda name: name == "fp32")
    for published in ({"name": "bf16"}, {"name": "onnx", "rows": 8, "beyond": [{"name": "bf16"}]}, {}):
        assert set(engines.ready(published, loaded, device=CPU, threads=1, graph=None).names) == {"fp32"}


def test_a_network_that_was_exported_still_answers_without_dropout(loaded: artifact.Artifact, graph: Path) -> None:
    assert graph.exists()
    assert not any(module.training for module in loaded.network.modules())


def test_a_graph_answers_for_the_network_up_to_its_number_of_rows(loaded: artifact.Artifact, graph: Path) -> None:
    engine = engines.ready({"name": "onnx", "rows": 8}, loaded, device=CPU, threads=1, graph=lambda: graph)
    assert engine.names == ["onnx", "fp32"]
    column = networks.rows(9)
    for count in (1, 8, 9):
        inputs = loaded.roles["input"].encode(column[:count])
        by_torch = artifact.ask(loaded.network, "embed", inputs)
        torch.testing.assert_close(engine.ask("embed", inputs), by_torch, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            engine.ask("reconstruct", inputs), artifact.ask(loaded.network, "reconstruct", inputs), atol=0, rtol=0
        )
    for parameter in loaded.network.parameters():
        parameter.zero_()
    inputs = loaded.roles["input"].encode(column)
    assert not engine.ask("embed", inputs).any(), "nine rows are torch's"
    assert engine.ask("embed", {"values": inputs["values"][:8]}).any(), "a session has weights of its own"


def test_a_graph_that_is_gone_damaged_or_of_another_network_is_not_used(
    tmp_path: Path, loaded: artifact.Artifact, graph: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = artifact.load(networks.write(tmp_path / "other", code=3))
    half = tmp_path / "half.onnx"
    half.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])
    wrong = tmp_path / "wrong.onnx"
    onnx.export(other, "embed", wrong)
    for path in (tmp_path / "gone.onnx", half, wrong):
        engine = engines.ready({"name": "onnx"}, loaded, device=CPU, threads=1, graph=lambda path=path: path)  # type: ignore[misc]
        assert (engine.names, engine.session) == (["fp32"], None)
    assert engines.ready({"name": "onnx"}, loaded, device=CPU, threads=1, graph=None).names == ["fp32"]
    assert caplog.text.count("torch answers for it") == 4


def test_texts_of_several_lengths_are_answered_by_torch_and_lone_ones_by_the_graph(tmp_path: Path) -> None:
    loaded = artifact.load(networks.write(tmp_path, modality="text"))
    path = tmp_path / onnx.FILE
    onnx.export(loaded, "embed", path)
    engine = engines.ready({"name": "onnx"}, loaded, device=CPU, threads=1, graph=lambda: path)
    assert engine.names == ["onnx"]
    inputs = loaded.roles["input"].encode(networks.texts(16, seed=3))
    together = engine.ask("embed", inputs)
    torch.testing.assert_close(together, artifact.ask(loaded.network, "embed", inputs), atol=0, rtol=0)
    alone = torch.cat([engine.ask("embed", onnx.row(inputs, place)) for place in range(16)])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-4)


def test_a_model_published_for_bf16_answers_in_it_and_alike_in_every_crowd(
    loaded: artifact.Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "can", lambda name: True)
    predictor = Predictor(loaded, reference="tiny:1", max_inputs=64, counters=Counters(), engine={"name": "bf16"})
    assert predictor.engine.names == ["bf16"]
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
    assert cosine.min() > 0.9999
    assert not np.array_equal(together, fp32)
    np.testing.assert_allclose(np.concatenate(alone), together, atol=2e-2)
    predictor.close()
    predictor.batcher.join(30)


def test_each_size_of_batch_has_the_engine_that_was_published_for_it(
    loaded: artifact.Artifact, graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "can", lambda name: True)
    published = {"name": "onnx", "rows": 1, "beyond": [{"name": "fp32", "rows": 8}, {"name": "bf16"}]}
    engine = engines.ready(published, loaded, device=CPU, threads=1, graph=lambda: graph)
    assert engine.names == ["onnx", "fp32", "bf16"]
    inputs = loaded.roles["input"].encode(networks.rows(9))
    fp32 = artifact.ask(loaded.network, "embed", inputs)
    assert engine.session_for("embed", 1)
    assert not engine.session_for("embed", 2)
    assert torch.equal(
        engine.ask("embed", {"values": inputs["values"][:8]}),
        artifact.ask(loaded.network, "embed", {"values": inputs["values"][:8]}),
    )
    half = engine.ask("embed", inputs)
    assert not torch.equal(half, fp32)
    assert torch.cosine_similarity(half, fp32).min() > 0.9999


def test_bf16_that_is_not_close_on_this_machine_is_not_used(
    loaded: artifact.Artifact, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engines, "can", lambda name: True)
    loaded.golden_outputs["embed"][3] *= torch.linspace(0.5, 1.5, loaded.golden_outputs["embed"].shape[1])
    assert engines.ready({"name": "bf16"}, loaded, device=CPU, threads=1, graph=None).names == ["fp32"]
    assert "bf16 is not close here" in caplog.text


def test_only_the_weights_of_products_are_held_twice(loaded: artifact.Artifact) -> None:
    half = halved(loaded.network)
    before, after = dict(loaded.network.named_parameters()), dict(half.named_parameters())
    heavy = {name for name, module in loaded.network.named_modules() if isinstance(module, HEAVY)}
    assert heavy
    assert before.keys() == after.keys()
    for name, tensor in after.items():
        rounded = name.rpartition(".")[0] in heavy
        assert (tensor.dtype == torch.bfloat16) == rounded == (tensor is not before[name])
        assert before[name].dtype == torch.float32
