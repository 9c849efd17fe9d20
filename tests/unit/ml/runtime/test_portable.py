"""The graph for other programs takes what clients have, and is written only where it answers as the network does."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from app.ml import artifact
from app.ml.build import build_network
from app.ml.modalities.parts.rows import FittedVectors
from app.ml.runtime import portable
from app.ml.tensors.shapes import Column
from tests import networks
from tests.little_room import little_room


def answers(path: Path, **inputs: Any) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(str(path))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def written(folder: Path, modality: dict[str, Any], column: Column, encoder: str = "mlp") -> artifact.Artifact:
    """An untrained autoencoder that was fitted to the column."""
    torch.manual_seed(0)
    fitted = networks.MODALITY.validate_python(modality).fit([column])
    role = {"modality": modality, "encoder": {"name": encoder, "preset": "nano"}, "dimensions": 4}
    spec = {"roles": {"input": role}, "objective": {"name": "autoencoding"}}
    network = build_network(spec, {"input": fitted})
    golden = fitted.encode(column[:8])
    return artifact.load(artifact.save(folder, network, {"input": fitted}, spec, golden_inputs=golden, extra={}))


def with_gaps() -> Column:
    """[64, 3]: numbers, some of them withheld, a category, and numbers without gaps."""
    column = networks.rows(64, 3) * 50
    column[:, 1] = np.arange(64) % 3
    column[::5, 0] = column[::7, 1] = np.nan
    return column


TABLE = [{"name": "age"}, {"name": "colour", "categories": ["red", "green", "blue"]}, {"name": "height"}]


@pytest.mark.parametrize(
    ("modality", "column"),
    [
        *[({"name": "vectors", "scaling": s}, networks.rows(64) * 9 + 3) for s in ("standard", "minmax", "robust")],
        ({"name": "vectors", "scaling": "unit"}, abs(networks.rows(64))),
        ({"name": "vectors", "columns": TABLE}, with_gaps()),
        *[({"name": "image", "normalisation": n}, networks.pictures(64)) for n in ("none", "per_image", "per_channel")],
        ({"name": "image"}, np.repeat(networks.pictures(64), 3, axis=3)),
    ],
    ids=lambda given: "-".join(str(value)[:9] for value in given.values()) if isinstance(given, dict) else "",
)
def test_a_graph_takes_raw_rows(tmp_path: Path, modality: dict[str, Any], column: Column) -> None:
    loaded = written(tmp_path, modality, column)
    path = tmp_path / portable.FILE
    assert portable.write(loaded, path)
    fitted = loaded.roles["input"]
    items = fitted.read(column[8:])
    wanted = artifact.ask(loaded.network, "embed", fitted.encode(items))
    found = answers(path, values=items)
    np.testing.assert_allclose(found["embed"], wanted, atol=1e-4)
    told = artifact.ask(loaded.network, "reconstruct", fitted.encode(items))
    again = found["reconstruct"]
    if modality["name"] == "image":
        assert again.shape == (len(column) - 8, *column.shape[1:])
        np.testing.assert_allclose(again.squeeze(), fitted.render(told), atol=0.51)  # which are whole numbers
    elif "columns" in modality:
        numbers = loaded.roles["input"].numbers  # type: ignore[attr-defined]
        np.testing.assert_allclose(again[:, :2], numbers.render(told[:, :2]), rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(again[:, 2:], told[:, 2:], atol=1e-4)
    else:
        np.testing.assert_allclose(again, fitted.render(told), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("encoder", ["rnn", "transformer"])
def test_a_graph_takes_texts_of_several_lengths(tmp_path: Path, encoder: str) -> None:
    loaded = written(tmp_path, {"name": "text"}, networks.texts(64), encoder)
    path = tmp_path / portable.FILE
    assert portable.write(loaded, path)
    for column in (networks.texts(20, seed=1), networks.texts(1, seed=2)):
        inputs = loaded.roles["input"].encode(column)
        wanted = artifact.ask(loaded.network, "embed", inputs)
        found = answers(path, **{name: tensor.numpy() for name, tensor in inputs.items()})
        np.testing.assert_allclose(found["embed"], wanted, atol=1e-4)


def test_a_graph_also_predicts(tmp_path: Path) -> None:
    loaded = artifact.load(networks.write(tmp_path, objective="classification"))
    path = tmp_path / portable.FILE
    assert portable.write(loaded, path)
    column = networks.rows(5, seed=3)
    inputs = loaded.roles["input"].encode(column)
    found = answers(path, values=column)
    assert set(found) == {"embed", "predict"}
    for ability, answer in found.items():
        np.testing.assert_allclose(answer, artifact.ask(loaded.network, ability, inputs), atol=1e-4)


def test_a_number_is_predicted_in_its_unit(tmp_path: Path) -> None:
    column, numbers = networks.rows(64), np.linspace(900, 1000, 64, dtype=np.float32)
    fitted = {
        "input": networks.MODALITY.validate_python({"name": "vectors"}).fit([column]),
        "target": networks.MODALITY.validate_python({"name": "numbers"}).fit([numbers]),
    }
    encoder = {"name": "mlp", "preset": "nano"}
    roles = {
        "input": {"modality": {"name": "vectors"}, "encoder": encoder},
        "target": {"modality": {"name": "numbers"}},
    }
    spec = {"roles": roles, "objective": {"name": "regression"}}
    golden = fitted["input"].encode(column[:8])
    files = artifact.save(tmp_path, build_network(spec, fitted), fitted, spec, golden_inputs=golden, extra={})
    loaded = artifact.load(files)
    assert portable.write(loaded, tmp_path / portable.FILE)
    told = fitted["target"].render(artifact.ask(loaded.network, "predict", fitted["input"].encode(column)))
    found = answers(tmp_path / portable.FILE, values=column)["predict"]
    np.testing.assert_allclose(found[:, 0], [each["value"] for each in told], rtol=1e-4)


def test_no_graph_is_written_that_answers_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = artifact.load(networks.write(tmp_path))
    path = tmp_path / portable.FILE
    monkeypatch.setattr(FittedVectors, "scaled", lambda self, raw: raw * 2)
    assert not portable.write(loaded, path)
    assert not path.exists()


def test_boxes_have_no_graph(tmp_path: Path) -> None:
    loaded = artifact.load(networks.write(tmp_path, modality="image", objective="detection"))
    assert not portable.write(loaded, tmp_path / portable.FILE)


def test_what_is_too_large_has_no_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = artifact.load(networks.write(tmp_path))
    monkeypatch.setattr("app.ml.runtime.onnx.MOST_BYTES", loaded.size_bytes - 1)
    assert not portable.write(loaded, tmp_path / portable.FILE)


def test_a_full_disk_is_no_lack_of_a_graph(tmp_path: Path) -> None:
    """Or a model could never leave, since a disk was full for a moment."""
    loaded = artifact.load(networks.write(tmp_path))
    with little_room(1000), pytest.raises(OSError, match="too large"):
        portable.write(loaded, tmp_path / portable.FILE)
    assert portable.write(loaded, tmp_path / portable.FILE)
