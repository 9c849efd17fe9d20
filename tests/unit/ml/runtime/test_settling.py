"""A settled graph says in numbers what it can and answers as before."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from app.ml.runtime.settling import settle


def test_branches_keep_what_they_read(tmp_path: Path) -> None:
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
    values, answer = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 6]) for name in ("values", "answer")
    )
    graph = helper.make_graph(nodes, "graph", [values], [answer])
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    settle(path)
    assert [node.op_type for node in onnx.load(path).graph.node] == ["If", "Reshape"]
    rows = np.arange(18, dtype=np.float32).reshape(3, 6)
    (found,) = onnxruntime.InferenceSession(str(path)).run(["answer"], {"values": rows})
    np.testing.assert_array_equal(found, rows * 2)
