"""Makes a graph plain, for programs that do not compute a graph but translate it, to TensorFlow for one.

They lay out pictures anew, and for that have to know what is a weight and what shape each tensor has. That is measured:
the graph is computed for a few batches, and what all of them have in common holds for every batch.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.ml.tensors.shapes import Arrays

Sizes = NDArray[np.int64]
"""Of a tensor in each of the batches: [batches, axes]."""
OPEN = -1
"""A size that depends on the batch."""
SMALL = 1 << 20
"""Bytes of a weight below which what is made of it is a weight, too."""
SHAPED = ("Reshape", "Flatten", "Expand", "Resize")
"""What is told the shape of its answer, or can be."""


def settle(path: Path, batches: Sequence[Arrays]) -> None:
    """Rewrites the graph at `path` to one that answers alike: what is known is a weight, and nothing is there twice.

    `batches` of what it takes have nothing in common but what all batches have; without any, shapes stay as they are.
    """
    import onnx  # here, since most processes never need it

    model = onnx.load(path)
    graph = model.graph
    _spell(graph)
    if batches:
        _number(graph, *_measured(model, batches))
    _merge(graph)
    asked = {output.name for output in graph.output}
    needed = []
    for node in reversed(graph.node):
        if asked.intersection(node.output):
            asked.update(_read(node))
            needed.append(node)
    _place(graph.node, needed[::-1])
    _place(graph.initializer, [weight for weight in graph.initializer if weight.name in asked])
    onnx.save(model, path)


def _place(held: Any, kept: Sequence[Any]) -> None:
    """Makes a list of a graph hold what is `kept` of it, and no more."""
    del held[:]
    held.extend(kept)


def _read(node: Any) -> Iterator[str]:
    """Names of what a node reads, its branches included."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _read(inner)
        yield from (output.name for output in attribute.g.output)


def _branches(node: Any) -> bool:
    return any(attribute.HasField("g") for attribute in node.attribute)


def _spell(graph: Any) -> None:
    """Makes constants weights, and lengths of vectors roots of sums: onnx2tf fails at both."""
    import onnx

    kept = []
    for node in graph.node:
        if node.op_type == "Constant":
            graph.initializer.append(node.attribute[0].t)
            graph.initializer[-1].name = node.output[0]
            continue
        kept.append(node)
        if node.op_type == "ReduceL2":
            square = f"{node.output[0]}_square"
            kept.append(onnx.helper.make_node("Sqrt", [square], node.output, f"{node.name}_root"))
            node.op_type, node.output[0] = "ReduceSumSquare", square
    _place(graph.node, kept)


def _measured(model: Any, batches: Sequence[Arrays]) -> tuple[dict[str, Sizes], Arrays]:
    """Sizes of what the shaped nodes take and give, and what nodes give that is the same in all batches."""
    import onnx
    import onnxruntime

    graph = model.graph
    nodes, outputs = list(graph.node), list(graph.output)
    shaped = sorted({name for node in nodes if node.op_type in SHAPED for name in (node.input[0], node.output[0])})
    known = _known(graph)
    names = [f"{name}_measured" for name in shaped]
    graph.node.extend(onnx.helper.make_node("Shape", [name], [f"{name}_measured"]) for name in shaped)
    _place(graph.output, [*(onnx.ValueInfoProto(name=name) for name in [*names, *known]), *outputs])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    _place(graph.output, outputs)
    _place(graph.node, nodes)
    taken = [each.name for each in session.get_inputs()]
    answers: list[Any] = [session.run(None, {name: batch[name] for name in taken}) for batch in batches]
    found = list(zip(*answers, strict=True))
    sizes = {name: np.array(each) for name, each in zip(shaped, found, strict=False)}
    values = zip(known, found[len(shaped) :], strict=False)
    same = {name: each[0] for name, each in values if all(np.array_equal(each[0], other) for other in each)}
    return sizes, same


def _known(graph: Any) -> list[str]:
    """What is made of nothing but small weights and the shapes of things."""
    given = {output.name for output in graph.output}
    found = dict.fromkeys([weight.name for weight in graph.initializer if weight.ByteSize() < SMALL], False)
    for node in graph.node:
        plain = len(node.output) == 1 and node.output[0] not in given and not _branches(node)
        if plain and (node.op_type == "Shape" or all(name in found for name in node.input)):
            found[node.output[0]] = True
    return [name for name, made in found.items() if made]


def _number(graph: Any, sizes: dict[str, Sizes], same: Arrays) -> None:
    """Makes weights of what is the `same` in all batches, and tells the shaped nodes numbers where there are such."""
    import onnx

    graph.initializer.extend(onnx.numpy_helper.from_array(value, name) for name, value in same.items())
    _place(graph.node, [node for node in graph.node if node.output[0] not in same])
    for node in graph.node:
        if node.op_type not in SHAPED:
            continue
        before, after = sizes[node.input[0]], sizes[node.output[0]]
        told = {"Expand": _spread, "Resize": _scales}.get(node.op_type, _numbered)(before, after)
        if told is None:
            continue
        name = f"{node.output[0]}_told"
        graph.initializer.append(onnx.numpy_helper.from_array(told, name))
        if node.op_type == "Flatten":
            node.CopyFrom(onnx.helper.make_node("Reshape", [node.input[0]], node.output, node.name))
        _place(node.input, [node.input[0], "", name] if node.op_type == "Resize" else [node.input[0], name])


def _open(sizes: Sizes) -> Sizes:
    """Those of all batches [axes], OPEN where they differ."""
    return np.where((sizes == sizes[0]).all(0), sizes[0], OPEN)


def _numbered(before: Sizes, after: Sizes) -> Sizes | None:
    """What Reshape is told: one axis may be left to it, and others may be as long as they were."""
    shape = _open(after)
    unknown = np.flatnonzero(shape == OPEN).tolist()
    if len(unknown) > 1:
        kept = [axis for axis in unknown if axis < before.shape[1] and (before[:, axis] == after[:, axis]).all()]
        shape[kept] = 0
        unknown = [axis for axis in unknown if axis not in kept]
    return shape if len(unknown) <= 1 else None


def _spread(before: Sizes, after: Sizes) -> Sizes | None:
    """What Expand is told: 1 for an axis that stays as long as it was."""
    shape, added = _open(after), after.shape[1] - before.shape[1]
    stays = np.array(
        [axis >= added and (before[:, axis - added] == after[:, axis]).all() for axis in range(len(shape))]
    )
    return np.where(stays, 1, shape) if (stays | (shape != OPEN)).all() else None


def _scales(before: Sizes, after: Sizes) -> NDArray[np.float32] | None:
    """What Resize is told: how many times as long each axis becomes, where that gives just these sizes."""
    scales = (after / before).astype(np.float32)
    exact = (np.floor(before.astype(np.float32) * scales) == after).all()
    return scales[0] if exact and (scales == scales[0]).all() else None


def _merge(graph: Any) -> None:
    """Lets all read the first of weights that are equal, and of nodes that compute the same."""
    first: dict[Any, Sequence[str]] = {}
    instead: dict[str, str] = {}
    for weight in graph.initializer:
        name, weight.name = weight.name, ""
        instead[name], *_ = first.setdefault(sha256(weight.SerializeToString()).digest(), [name])
        weight.name = name
    for node in graph.node:
        if _branches(node):
            continue  # branches read by names from outside, too
        _place(node.input, [instead.get(name, name) for name in node.input])
        settings = sorted(attribute.SerializeToString() for attribute in node.attribute)
        same = (node.domain, node.op_type, *node.input, *settings, *map(bool, node.output))
        instead.update(zip(node.output, first.setdefault(same, list(node.output)), strict=True))
