"""The graph for other programs takes what clients have, and is written only where it answers as the network does."""

import json
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import onnx as onnx_files
import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer

from app.ml import artifact
from app.ml.build import build_network
from app.ml.modalities.parts.rows import FittedVectors
from app.ml.runtime import onnx, portable
from app.ml.tensors.shapes import Column, Tensors
from tests import networks
from tests.contracts.recording import STORED
from tests.little_room import little_room


def answers(path: Path, **inputs: Any) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(str(path))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def written(
    folder: Path,
    modality: dict[str, Any],
    column: Column,
    encoder: str = "mlp",
    objective: str | dict[str, Any] = "autoencoding",
    **settings: Any,
) -> artifact.Artifact:
    """An untrained model, by default an autoencoder, that was fitted to the column; `settings` are its encoder's."""
    torch.manual_seed(0)
    fitted = networks.MODALITY.validate_python(modality).fit([column])
    role = {"modality": modality, "encoder": {"name": encoder, "preset": "nano", **settings}, "dimensions": 4}
    asked = {"name": objective} if isinstance(objective, str) else objective
    spec = {"roles": {"input": role}, "objective": asked}
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
    portable.write(loaded, path)
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
    portable.write(loaded, path)
    for column in (networks.texts(20, seed=1), networks.texts(1, seed=2)):
        inputs = loaded.roles["input"].encode(column)
        wanted = artifact.ask(loaded.network, "embed", inputs)
        found = answers(path, **{name: tensor.numpy() for name, tensor in inputs.items()})
        np.testing.assert_allclose(found["embed"], wanted, atol=1e-4)


def test_a_graph_also_predicts(tmp_path: Path) -> None:
    loaded = artifact.load(networks.write(tmp_path, objective="classification"))
    path = tmp_path / portable.FILE
    portable.write(loaded, path)
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
    portable.write(loaded, tmp_path / portable.FILE)
    told = fitted["target"].render(artifact.ask(loaded.network, "predict", fitted["input"].encode(column)))
    found = answers(tmp_path / portable.FILE, values=column)["predict"]
    np.testing.assert_allclose(found[:, 0], [each["value"] for each in told], rtol=1e-4)


def test_no_graph_is_written_that_answers_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = artifact.load(networks.write(tmp_path))
    path = tmp_path / portable.FILE
    monkeypatch.setattr(FittedVectors, "scaled", lambda self, raw: raw * 2)
    with pytest.raises(portable.NoGraph):
        portable.write(loaded, path)
    assert not path.exists()


def test_boxes_have_no_graph(tmp_path: Path) -> None:
    loaded = artifact.load(networks.write(tmp_path, modality="image", objective="detection"))
    with pytest.raises(portable.NoGraph):
        portable.write(loaded, tmp_path / portable.FILE)


def test_what_is_too_large_has_no_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = artifact.load(networks.write(tmp_path))
    monkeypatch.setattr("app.ml.runtime.onnx.MOST_BYTES", loaded.size_bytes - 1)
    with pytest.raises(portable.NoGraph):
        portable.write(loaded, tmp_path / portable.FILE)


def test_a_full_disk_is_no_lack_of_a_graph(tmp_path: Path) -> None:
    """Or a model could never leave, since a disk was full for a moment."""
    loaded = artifact.load(networks.write(tmp_path))
    with little_room(1000), pytest.raises(OSError, match="too large"):
        portable.write(loaded, tmp_path / portable.FILE)
    portable.write(loaded, tmp_path / portable.FILE)


def test_a_graph_knows_padding_where_all_golden_rows_have_one_length(tmp_path: Path) -> None:
    """As those of long texts have, all of which are cut; a BERT then computes without a mask."""
    loaded = artifact.load({file: STORED / "0.1/models/imported" / file for file in artifact.FILES})
    assert onnx.whole(loaded.golden_inputs)
    portable.write(loaded, tmp_path / portable.FILE)
    fitted = loaded.roles["input"]
    inputs = fitted.encode(fitted.read(["a", "a rose is a tree", "trees"]))
    assert not onnx.whole(inputs)
    wanted = artifact.ask(loaded.network, "embed", inputs)
    found = answers(tmp_path / portable.FILE, **{name: tensor.numpy() for name, tensor in inputs.items()})
    np.testing.assert_allclose(found["embed"], wanted, atol=1e-4)


STRANGE = [
    "The gardener plants an elm, oaks and oaks!",
    "Größe 東京 ñ 🙂 [PAD]",
    "x",
    "?",
    "unheard unheard words " * 9,
]


def numbered(tokenizer: Tokenizer, text: str, max_length: int, ngrams: int | None) -> list[int]:
    """The ids of a text, as docs/api.md tells everybody who has no Rootstock."""
    ids: list[int] = []
    normal = tokenizer.normalizer.normalize_str(text[: 64 * max_length])
    for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal):
        token = tokenizer.token_to_id(word)
        ids.append(1 if token is None else token)
        if token is None and ngrams:
            marked = f"<{word[:40]}>"
            grams = {marked[i : i + n] for n in range(3, 7) for i in range(max(1, len(marked) - n + 1))}
            ids += sorted({tokenizer.get_vocab_size() + crc32(gram.encode()) % ngrams for gram in grams})
    return ids[:max_length] or [1]


@pytest.mark.parametrize("name", ["texts", "words", "tfidf"])
@pytest.mark.parametrize("large", [0, None], ids=["weights beside the exporter", "weights in the exporter"])
def test_a_graph_of_words_takes_what_anybody_makes_of_texts(
    tmp_path: Path, name: str, large: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.ml.runtime.onnx.LARGE", onnx.LARGE if large is None else large)
    loaded = artifact.load({file: STORED / "0.1/models" / name / file for file in artifact.FILES})
    portable.write(loaded, tmp_path / portable.FILE)
    about = json.loads((STORED / "0.1/models" / name / artifact.MODEL).read_text(encoding="utf-8"))
    state, ngrams = about["fitted"]["input"], about["spec"]["roles"]["input"]["modality"]["ngrams"]
    tokenizer = Tokenizer.from_str(json.dumps(state["tokenizer"]))
    rows = [numbered(tokenizer, text, state["max_length"], ngrams) for text in STRANGE]
    mask = np.array([[place < len(row) for place in range(max(map(len, rows)))] for row in rows])
    values = np.zeros(mask.shape, np.int64)
    values[mask] = np.concatenate(rows)
    fitted = loaded.roles["input"]
    wanted = artifact.ask(loaded.network, "embed", fitted.encode(fitted.read(STRANGE)))
    np.testing.assert_allclose(answers(tmp_path / portable.FILE, values=values, mask=mask)["embed"], wanted, atol=1e-5)


PICTURES, TEXTS = {"name": "image"}, {"name": "text"}
STUMBLED_OVER = {"Constant", "GatherND", "IsNaN", "NonZero", "ReduceL2", "ScatterND", "Tile"}
"""What onnx2tf makes nothing of, or something else."""


@pytest.mark.parametrize("objective", ["autoencoding", "masked"])
@pytest.mark.parametrize("encoder", ["cnn", "rnn", "transformer"])
def test_a_graph_of_pictures_is_laid_out_anew(tmp_path: Path, encoder: str, objective: str) -> None:
    """Since nothing in it is computed of shapes, and no node knows more axes than it must."""
    loaded = written(
        tmp_path, {**PICTURES, "normalisation": "per_image"}, networks.pictures(64, 24), encoder, objective
    )
    portable.write(loaded, tmp_path / portable.FILE)
    graph = onnx_files.shape_inference.infer_shapes(onnx_files.load(tmp_path / portable.FILE)).graph
    axes = {each.name: len(each.type.tensor_type.shape.dim) for each in graph.value_info}
    weights = {weight.name: onnx_files.numpy_helper.to_array(weight) for weight in graph.initializer}
    assert {output.name for output in graph.output} == {"embed", "reconstruct"}
    assert not STUMBLED_OVER & {node.op_type for node in graph.node}
    for node in graph.node:
        if node.op_type in ("Reshape", "Expand"):
            assert node.input[1] in weights
        elif node.op_type == "Resize":
            assert node.input[2] in weights
        elif node.op_type == "ReduceMean":
            assert len(weights[node.input[1]]) == 1  # of several axes the wrong ones are taken
        elif node.op_type == "Where":
            assert axes[node.output[0]] == 2
    items = networks.pictures(5, 24, seed=2)
    wanted = artifact.ask(loaded.network, "reconstruct", loaded.roles["input"].encode(items))
    shown = loaded.roles["input"].unscaled(wanted)
    np.testing.assert_allclose(answers(tmp_path / portable.FILE, values=items)["reconstruct"], shown, atol=1e-2)


@pytest.mark.parametrize(
    ("encoder", "objective"), [("transformer", "masked"), ("transformer", "next_token"), ("bert", "masked")]
)
def test_a_graph_of_texts_has_masks_for_padding(tmp_path: Path, encoder: str, objective: str) -> None:
    """A network packs what is real, which other programs have no operations for."""
    loaded = written(tmp_path, TEXTS, networks.texts(64), encoder, objective)
    portable.write(loaded, tmp_path / portable.FILE)
    graph = onnx_files.load(tmp_path / portable.FILE).graph
    kinds = {output: node.op_type for node in graph.node for output in node.output}
    assert not STUMBLED_OVER & {*kinds.values()}
    inserted = [node for node in graph.node if node.op_type == "Unsqueeze"]
    assert inserted
    assert not [node for node in inserted if kinds.get(node.input[0]) == "Unsqueeze"]
    weights = {weight.name for weight in graph.initializer}
    assert all(node.input[1] in weights for node in graph.node if node.op_type == "Reshape")
    inputs = loaded.roles["input"].encode(networks.texts(20, seed=1))
    found = answers(tmp_path / portable.FILE, **{name: tensor.numpy() for name, tensor in inputs.items()})["embed"]
    np.testing.assert_allclose(found, artifact.ask(loaded.network, "embed", inputs), atol=1e-5)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("modality", [TEXTS, PICTURES], ids=["texts", "square pictures"])
def test_a_graph_of_recurrent_layers_leaves_no_axes_to_be_mixed_up(
    tmp_path: Path, cell: str, modality: dict[str, Any]
) -> None:
    """As onnx2tf does with those that are equally long, or both unknown; and it overlooks where an item ends."""
    column = networks.texts(64) if modality is TEXTS else networks.pictures(64, 24)
    loaded = written(tmp_path, modality, column, "rnn", cell=cell, depth=2)
    portable.write(loaded, tmp_path / portable.FILE)
    graph = onnx_files.load(tmp_path / portable.FILE).graph
    layers = [node for node in graph.node if node.op_type == cell.upper()]
    assert len(layers) == (2 if modality is TEXTS else 4)  # those of the decoder, too
    assert not [node for node in layers if node.input[4]]
    moved = [node.attribute[0].ints for node in graph.node if node.op_type == "Transpose"]
    assert all(axes[0] == 0 and len(axes) == 4 for axes in moved)
    inputs = loaded.roles["input"].encode(column[20:40])
    given = inputs if modality is TEXTS else {"values": torch.from_numpy(column[20:40])}
    found = answers(tmp_path / portable.FILE, **{name: tensor.numpy() for name, tensor in given.items()})["embed"]
    np.testing.assert_allclose(found, artifact.ask(loaded.network, "embed", inputs), atol=1e-5)


def test_a_graph_for_texts_of_one_length_alone_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = written(tmp_path, TEXTS, networks.texts(64), "transformer", "masked")
    kind: Any = type(loaded.network)
    embed = kind.embed

    def traced(self: Any, inputs: Tensors) -> Any:
        length = inputs["values"].shape[1]
        share = torch.as_tensor(length) / int(length)  # 1, and in a graph so at one length
        return embed(self, inputs) * share

    monkeypatch.setattr(kind, "embed", traced)
    with pytest.raises(portable.NoGraph, match="were not those of the network"):
        portable.write(loaded, tmp_path / portable.FILE)


def test_a_graph_holds_weights_once_though_it_answers_twice(tmp_path: Path) -> None:
    loaded = artifact.load(networks.write(tmp_path, objective="classification"))
    portable.write(loaded, tmp_path / portable.FILE)
    graph = onnx_files.load(tmp_path / portable.FILE).graph
    assert len(graph.output) == 2
    assert (
        sum(onnx_files.numpy_helper.to_array(weight).nbytes for weight in graph.initializer) < 1.1 * loaded.size_bytes
    )


@pytest.mark.parametrize("encoder", ["rnn", "transformer"])
def test_texts_of_one_token_have_a_graph_for_longer_ones(tmp_path: Path, encoder: str) -> None:
    """Golden rows tell nothing of other lengths there."""
    single = np.array(["rose", "tree", "leaf", "root"] * 16, dtype=object)
    loaded = written(tmp_path, {**TEXTS, "tokenizer": "words", "max_length": 8}, single, encoder)
    assert loaded.golden_inputs["values"].shape[1] == 1
    portable.write(loaded, tmp_path / portable.FILE)
    inputs = loaded.roles["input"].encode(np.array(["rose tree leaf", "root root leaf rose"], dtype=object))
    found = answers(tmp_path / portable.FILE, **{name: tensor.numpy() for name, tensor in inputs.items()})["embed"]
    np.testing.assert_allclose(found, artifact.ask(loaded.network, "embed", inputs), atol=1e-5)


@pytest.mark.parametrize("objective", ["contrastive", "vicreg"])
def test_components_beside_what_is_learned_are_in_the_graph(tmp_path: Path, objective: str) -> None:
    """As by default of pictures."""
    pictures = networks.pictures(64, size=24)
    asked = {"name": objective, "components": 8}
    loaded = written(tmp_path, {"name": "image"}, pictures, "cnn", asked)
    portable.write(loaded, tmp_path / portable.FILE)
    wanted = artifact.ask(loaded.network, "embed", loaded.roles["input"].encode(pictures[:3]))
    found = answers(tmp_path / portable.FILE, values=pictures[:3])
    np.testing.assert_allclose(found["embed"], wanted, atol=1e-5)


def test_a_graph_of_convolutions_says_what_translators_ask(tmp_path: Path) -> None:
    """Weights that are no nodes, and shapes in numbers: onnx2tf, which lays out maps anew, otherwise fails."""
    loaded = written(tmp_path, {"name": "image"}, networks.pictures(64, size=24), "cnn", "contrastive")
    portable.write(loaded, tmp_path / portable.FILE)
    graph = onnx_files.load(tmp_path / portable.FILE).graph
    weights = {weight.name: onnx_files.numpy_helper.to_array(weight) for weight in graph.initializer}
    assert "Constant" not in {node.op_type for node in graph.node}
    assert len(weights) == len({name for node in graph.node for name in node.input} & set(weights))
    normalised = {node.input[0] for node in graph.node if node.op_type == "InstanceNormalization"}
    grouped = [node for node in graph.node if node.op_type == "Reshape" and normalised & {*node.output}]
    assert len(grouped) == len(normalised) > 0
    for node in grouped:
        rows, groups, places = weights[node.input[1]]
        assert (rows, groups) == (-1, 8)
        assert places > 0
