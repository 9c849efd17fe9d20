"""Makes a graph plain, for programs that do not compute a graph but translate it, to TensorFlow for one.

They lay out pictures anew, and for that have to know what is a weight and what shape each tensor has.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any


def settle(path: Path) -> None:
    """Rewrites the graph at `path` to one that answers alike.

    Constants become weights, and shapes of which only the number of rows is open become numbers.
    """
    import onnx  # here, since most processes never need it

    model = onnx.load(path)
    graph = model.graph
    kept = []
    for node in graph.node:
        if node.op_type == "Constant":
            graph.initializer.append(node.attribute[0].t)
            graph.initializer[-1].name = node.output[0]
        else:
            kept.append(node)
    for node, shape in zip(kept, _shapes(model, kept), strict=True):
        if node.op_type in ("Reshape", "Flatten") and shape is not None:
            name = f"{node.output[0]}_shape"
            graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [len(shape)], shape))
            node.CopyFrom(onnx.helper.make_node("Reshape", [node.input[0], name], node.output, node.name))
    asked = {output.name for output in graph.output}
    needed = []
    for node in reversed(kept):
        if asked.intersection(node.output):
            asked.update(_read(node))
            needed.append(node)
    weights = [weight for weight in graph.initializer if weight.name in asked]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(needed))
    graph.initializer.extend(weights)
    onnx.save(model, path)


def _read(node: Any) -> Iterator[str]:
    """Names of what a node reads, its branches included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _read(inner)
        yield from (output.name for output in attribute.g.output)


def _shapes(model: Any, nodes: Any) -> list[list[int] | None]:
    """The shape of each node's answer, -1 for its rows; None where more of it than their number is open."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    told = {each.name: each.type.tensor_type for each in (*inferred.value_info, *inferred.output)}
    shapes: list[list[int] | None] = []
    for node in nodes:
        found = told.get(node.output[0])
        sizes = [] if found is None else [each.dim_value for each in found.shape.dim]
        shapes.append([-1, *sizes[1:]] if len(sizes) > 1 and all(sizes[1:]) else None)
    return shapes
