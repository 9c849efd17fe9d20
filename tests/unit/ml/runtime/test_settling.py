"""A settled graph says in numbers what it can, says nothing twice, and answers as before."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.numpy_helper import to_array

from app.ml.runtime.settling import settle

BATCHES = [{"values": np.ones((rows, 6), np.float32)} for rows in (2, 3, 5)]
ROWS = np.arange(18, dtype=np.float32).reshape(3, 6)


def written(path: Path, nodes: Sequence[Any], answer: Sequence[str | int] = ("rows", 6), **weights: Any) -> Path:
    """A graph from `values` [rows, 6] to `answer`."""
    held = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    values = helper.make_tensor_value_info("values", TensorProto.FLOAT, ["rows", 6])
    told = helper.make_tensor_value_info("answer", TensorProto.FLOAT, answer)
    graph = helper.make_graph(nodes, "graph", [values], [told], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    return path


def answered(path: Path, rows: Any = ROWS) -> Any:
    (found,) = onnxruntime.InferenceSession(str(path)).run(["answer"], {"values": rows})
    return found


def held(path: Path) -> tuple[list[str], dict[str, Any]]:
    """Kinds of the nodes, and the weights."""
    graph = onnx.load(path).graph
    return [node.op_type for node in graph.node], {weight.name: to_array(weight) for weight in graph.initializer}


@pytest.mark.parametrize("batches", [BATCHES, []])
def test_branches_keep_what_they_read(tmp_path: Path, batches: Any) -> None:
    """Of a constant that a branch alone reads, and a shape that is read off a tensor."""
    small = helper.make_tensor("small", TensorProto.FLOAT, [], [2.0])
    twice = helper.make_node("Mul", ["values", "factor"], ["twice"])
    once = helper.make_node("Identity", ["values"], ["once"])
    answers = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 6]) for name in ("twice", "once")]
    nodes = [
        helper.make_node("Constant", [], ["factor"], value=small),
        helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("yes", TensorProto.BOOL, [], [True])),
        helper.make_node(
            "If",
            ["yes"],
            ["chosen"],
            then_branch=helper.make_graph([twice], "then", [], answers[:1]),
            else_branch=helper.make_graph([once], "else", [], answers[1:]),
        ),
        helper.make_node("Shape", ["values"], ["shape"]),
        helper.make_node("Reshape", ["chosen", "shape"], ["answer"]),
    ]
    path = written(tmp_path / "model.onnx", nodes)
    settle(path, batches)
    assert held(path)[0] == (["If", "Reshape"] if batches else ["If", "Shape", "Reshape"])
    np.testing.assert_array_equal(answered(path), ROWS * 2)


def test_what_is_computed_of_shapes_is_a_weight_unless_it_depends_on_the_batch(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Shape", ["values"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["width"]),
        helper.make_node("Cast", ["width"], ["factor"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["values", "factor"], ["large"]),
        helper.make_node("Gather", ["shape", "none"], ["count"]),
        helper.make_node("Cast", ["count"], ["rows"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["large", "rows"], ["answer"]),
    ]
    path = written(tmp_path / "model.onnx", nodes, one=np.int64(1), none=np.int64(0))
    settle(path, BATCHES)
    kinds, weights = held(path)
    assert sorted(kinds) == ["Add", "Cast", "Gather", "Mul", "Shape"]
    assert weights["factor"] == 6
    np.testing.assert_array_equal(answered(path), ROWS * 6 + 3)


@pytest.mark.parametrize(
    ("node", "shape", "told"),
    [
        (helper.make_node("Flatten", ["values"], ["answer"]), ["rows", 6], [-1, 6]),
        (helper.make_node("Reshape", ["values", "sizes"], ["answer"]), ["rows", 2, 3], [-1, 2, 3]),
        (helper.make_node("Expand", ["values", "sizes"], ["answer"]), [2, "rows", 6], [2, 1, 1]),
    ],
    ids=["Flatten", "Reshape", "Expand"],
)
def test_shapes_are_numbers(tmp_path: Path, node: Any, shape: list[str | int], told: list[int]) -> None:
    """Which stand in the place of what was computed for every batch anew."""
    parts = [size for size in shape if size != "rows"]
    nodes = [
        helper.make_node("Shape", ["values"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["count"]),
        helper.make_node("Concat", ["before", "count", "behind"], ["sizes"], axis=0),
        node,
    ]
    place = shape.index("rows")
    weights = {"before": np.array(parts[:place], np.int64), "behind": np.array(parts[place:], np.int64)}
    path = written(tmp_path / "model.onnx", nodes, shape, first=np.array([0]), **weights)
    wanted = answered(path)
    settle(path, BATCHES)
    kinds, held_now = held(path)
    assert kinds == ["Expand" if node.op_type == "Expand" else "Reshape"]
    assert [weight.tolist() for weight in held_now.values()] == [told]
    np.testing.assert_array_equal(answered(path), wanted)


def test_an_axis_that_is_open_beside_the_rows_stays_where_it_is(tmp_path: Path) -> None:
    """Texts have as many tokens as they have; the last axis alone is split."""
    path = tmp_path / "model.onnx"
    values = helper.make_tensor_value_info("values", TensorProto.FLOAT, ["rows", "length", 6])
    told = helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["rows", "length", 2, 3])
    nodes = [
        helper.make_node("Shape", ["values"], ["shape"], start=0, end=2),
        helper.make_node("Concat", ["shape", "parts"], ["sizes"], axis=0),
        helper.make_node("Reshape", ["values", "sizes"], ["answer"]),
    ]
    parts = onnx.numpy_helper.from_array(np.array([2, 3]), "parts")
    graph = helper.make_graph(nodes, "graph", [values], [told], [parts])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    settle(path, [{"values": np.ones((*size, 6), np.float32)} for size in ((2, 4), (3, 3), (5, 4))])
    kinds, weights = held(path)
    assert kinds == ["Reshape"]
    assert [weight.tolist() for weight in weights.values()] == [[0, 0, 2, 3]]
    rows = np.arange(42, dtype=np.float32).reshape(1, 7, 6)
    np.testing.assert_array_equal(answered(path, rows), rows.reshape(1, 7, 2, 3))


@pytest.mark.parametrize(("side", "exact"), [(6, True), (5, True), (7, True)])
def test_maps_are_enlarged_by_numbers(tmp_path: Path, side: int, exact: bool) -> None:
    nodes = [
        helper.make_node("Reshape", ["values", "map"], ["maps"]),
        helper.make_node("Shape", ["maps"], ["shape"], start=0, end=2),
        helper.make_node("Concat", ["shape", "side"], ["sizes"], axis=0),
        helper.make_node(
            "Resize",
            ["maps", "", "", "sizes"],
            ["answer"],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
    ]
    weights = {"map": np.array([-1, 1, 2, 3]), "side": np.array([side, side])}
    path = written(tmp_path / "model.onnx", nodes, ["rows", 1, side, side], **weights)
    wanted = answered(path)
    settle(path, BATCHES)
    assert held(path)[0] == ["Reshape", "Resize"] if exact else ["Reshape", "Shape", "Concat", "Resize"]
    np.testing.assert_array_equal(answered(path), wanted)


def test_nothing_is_there_twice(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["values", "factor"], ["one"]),
        helper.make_node("Mul", ["values", "same"], ["other"]),
        helper.make_node("Mul", ["values", "another"], ["third"]),
        helper.make_node("Softmax", ["one"], ["first"], axis=1),
        helper.make_node("Softmax", ["other"], ["second"], axis=0),
        helper.make_node("Sum", ["first", "second", "one", "other", "third"], ["answer"]),
    ]
    factor = np.linspace(0.1, 0.6, 6, dtype=np.float32)
    path = written(tmp_path / "model.onnx", nodes, factor=factor, same=factor, another=factor[::-1].copy())
    wanted = answered(path)
    settle(path, BATCHES)
    kinds, weights = held(path)
    assert kinds == ["Mul", "Mul", "Softmax", "Softmax", "Sum"]
    assert sorted(weights) == ["another", "factor"]
    np.testing.assert_array_equal(answered(path), wanted)


def test_a_length_is_the_root_of_a_sum(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceL2", ["values", "axes"], ["answer"], keepdims=1)]
    path = written(tmp_path / "model.onnx", nodes, ["rows", 1], axes=np.array([1]))
    settle(path, BATCHES)
    assert held(path)[0] == ["ReduceSumSquare", "Sqrt"]
    np.testing.assert_allclose(answered(path), np.linalg.norm(ROWS, axis=1, keepdims=True), rtol=1e-6)
