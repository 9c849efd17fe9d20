"""What a model is worth on rows it never saw, each figure beside its baselines on the same rows.

Protocol, version 1: the test split, or the validation split where there is none; at most `TRAIN_ROWS` and `TEST_ROWS`
rows, spread evenly. `knn_accuracy` is the share of rows whose label is the commonest among the 10 nearest training rows
by Euclidean distance. PCA (Pearson 1901), for texts TF-IDF with SVD, has the width of the model's embedding.
Legend: `N` rows, `W` numbers per row, `E` width of the embedding.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.ml.bag_fitting import fit_bags
from app.ml.bags import Bags
from app.ml.build import build_network
from app.ml.modalities.base import Fitted, Tensors
from app.ml.modalities.classes import Classes
from app.ml.objectives.base import Batch, Objective
from app.ml.padding import joined, joined_answers, shortened
from worker.loader import Loader
from worker.preparation import Run

PROTOCOL = 1
TRAIN_ROWS, TEST_ROWS = 10_000, 5_000
ENOUGH_LABELS = 20
NEIGHBOURS = 10
CHUNK, PLACES = 1024, 256 * 1024
"""Rows, and places of padded rows, that are answered at once."""


@dataclass(frozen=True)
class Rows:
    """Rows of a split, encoded, and their class numbers [N] where labels were asked for."""

    inputs: Tensors
    labels: Tensor

    @property
    def flat(self) -> Tensor:
        """[N, W]"""
        return self.inputs["values"].flatten(1).float()


def evaluate(run: Run) -> dict[str, Any]:
    """`{"split", "rows", "protocol", "<metric>": …, "baselines": {"<name>": {"<metric>": …}}}`.

    Errors are mean squared errors in the unit of the scaled input; accuracies are shares in [0, 1].
    """
    split = "test" if run.dataset.splits["test"].rows else "validation"
    abilities = run.spec.objective.abilities
    result: dict[str, Any] = {"protocol": PROTOCOL, "split": split, "rows": run.dataset.splits[split].rows}
    baselines: dict[str, dict[str, float]] = {}
    target = labels_of(run)
    with torch.inference_mode():
        train = read_rows(run, "train", TRAIN_ROWS)
        if "reconstruct" in abilities:
            reconstruction(run, train, read_rows(run, split, TEST_ROWS), result, baselines)
        if target is not None:
            labelled = read_rows(run, "train", TRAIN_ROWS, target), read_rows(run, split, TEST_ROWS, target)
            if "embed" in abilities:
                neighbours(run, train, *labelled, result, baselines)
            if "predict" in abilities:
                prediction(run, *labelled, result, baselines)
        elif "target" in run.fitted and run.fitted["target"].shape.layout != "classes":
            batches = [
                list(run.loader(name, CHUNK).in_order(rows))
                for name, rows in (("train", TRAIN_ROWS), (split, TEST_ROWS))
            ]
            if all(batches):
                result |= run.network.metrics(batches[1])
                baselines |= run.network.baselines(*batches)
    return {**result, "baselines": baselines}


def reconstruction(
    run: Run, train: Rows, test: Rows, result: dict[str, Any], baselines: dict[str, dict[str, float]]
) -> None:
    """The error of the reconstructions against PCA of the embedding's width and against the training mean.

    Of texts, what the objective itself measures.
    """
    if "mask" in test.inputs:
        few = pieces_of(test.inputs, PLACES // 64)  # scores of a whole vocabulary at every place
        result |= run.network.metrics(Batch({"input": piece}, torch.arange(len(piece["values"]))) for piece in few)
        return
    answers = answer(run.network, "reconstruct", test.inputs)
    result["mse"] = float((answers.flatten(1) - test.flat).square().mean())
    components, mean = pca(train.flat, answer(run.network, "embed", test.inputs).shape[1])
    back = (test.flat - mean) @ components @ components.T + mean
    baselines.setdefault("pca", {})["mse"] = float((back - test.flat).square().mean())
    baselines.setdefault("mean", {})["mse"] = float((test.flat - mean).square().mean())


def neighbours(
    run: Run, unlabelled: Rows, train: Rows, test: Rows, result: dict[str, Any], baselines: dict[str, dict[str, float]]
) -> None:
    """Judges the embedding by its neighbours against the best simple one of its width, the untrained network and the
    raw rows."""
    torch.manual_seed(run.spec.training.seed)
    untrained = build_network(run.spec.network(), run.fitted).eval()
    codes = [answer(run.network, "embed", rows.inputs) for rows in (train, test)]
    name, simple = classical(run, unlabelled, codes[0].shape[1])
    compared = {
        name: [simple(rows) for rows in (train, test)],
        "untrained": [answer(untrained, "embed", rows.inputs) for rows in (train, test)],
    }
    if "mask" not in train.inputs:
        compared["raw"] = [rows.flat for rows in (train, test)]
    result["knn_accuracy"] = knn_accuracy(codes[0], codes[1], train.labels, test.labels)
    for name, (ours, theirs) in compared.items():
        baselines.setdefault(name, {})["knn_accuracy"] = knn_accuracy(ours, theirs, train.labels, test.labels)


def prediction(
    run: Run, train: Rows, test: Rows, result: dict[str, Any], baselines: dict[str, dict[str, float]]
) -> None:
    """The accuracy of the predictions against always naming the commonest class."""
    scores = answer(run.network, "predict", test.inputs)
    result["accuracy"] = float((scores.argmax(1) == test.labels).float().mean())
    majority = train.labels.mode().values
    baselines.setdefault("majority", {})["accuracy"] = float((test.labels == majority).float().mean())


def labels_of(run: Run) -> Fitted | None:
    """The modality of the labels, when the training split and the judged one have enough of them."""
    facts = run.dataset.profile["target"]
    if facts is None or facts["modality"] != "classes":
        return None
    split = "test" if run.dataset.splits["test"].rows else "validation"
    if min(int(run.dataset.splits[name].present("target").sum()) for name in ("train", split)) < ENOUGH_LABELS:
        return None
    if "target" in run.fitted:
        return run.fitted["target"]
    return Classes().fit([np.array(sorted(facts["classes"]), dtype=object)])


def read_rows(run: Run, split: str, limit: int, target: Fitted | None = None) -> Rows:
    """At most `limit` rows of a split; with `target`, labelled ones only."""
    roles = {"input": run.fitted["input"]} | ({"target": target} if target is not None else {})
    loader = Loader(run.dataset.splits[split], roles, batch_size=CHUNK, seed=0, window_bytes=run.window_bytes)
    batches = list(loader.in_order(limit))
    inputs = joined([batch.roles["input"] for batch in batches])
    labels = torch.cat([b.roles["target"]["values"] for b in batches]) if target is not None else torch.empty(0)
    return Rows(inputs, labels)


def answer(network: Objective, ability: str, inputs: Tensors) -> Tensor:
    """An ability's answers [N, …], computed in chunks."""
    parts = [getattr(network, ability)(piece) for piece in pieces_of(inputs)]
    return joined_answers(parts).float()


def classical(run: Run, rows: Rows, width: int) -> tuple[str, Callable[[Rows], Tensor]]:
    """Name and map of the best simple embedding that `rows` teach: TF-IDF with SVD for texts, PCA for all else."""
    shape = run.fitted["input"].shape
    if shape.vocabulary is None:
        components, mean = pca(rows.flat, width)
        return "pca", lambda other: (other.flat - mean) @ components
    bags = Bags(shape.vocabulary, width)
    pieces = list(pieces_of(rows.inputs))
    torch.manual_seed(0)
    fit_bags(bags, lambda: iter(pieces), lambda share: None)
    return "tfidf_svd", lambda other: torch.cat(
        [bags(piece["values"], piece["mask"]) for piece in pieces_of(other.inputs)]
    )


def pieces_of(inputs: Tensors, places: int = PLACES) -> Iterator[Tensors]:
    """The rows in chunks of bounded size."""
    rows = len(inputs["values"])
    chunk = max(1, min(CHUNK, places // inputs["mask"].shape[1])) if "mask" in inputs else CHUNK
    for first in range(0, rows, chunk):
        yield shortened({name: tensor[first : first + chunk] for name, tensor in inputs.items()})


def pca(rows: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Principal directions [W, E] and mean [W] of `rows` [N, W]; by randomised SVD (Halko 2011) where W is large."""
    width = min(width, *rows.shape)
    mean = rows.mean(0)
    centred = rows - mean
    if rows.shape[1] <= 2048:
        _, vectors = torch.linalg.eigh((centred.T @ centred).double())
        return vectors[:, -width:].flip(1).float(), mean
    torch.manual_seed(0)
    return torch.svd_lowrank(centred, q=min(width + 8, *rows.shape), niter=4)[2][:, :width], mean


def knn_accuracy(train: Tensor, test: Tensor, train_labels: Tensor, test_labels: Tensor) -> float:
    """Share of `test` rows whose label is the commonest of their nearest `train` rows; ties go to the lower class."""
    neighbours = min(NEIGHBOURS, len(train))
    correct = 0
    for first in range(0, len(test), CHUNK):
        nearest = torch.cdist(test[first : first + CHUNK], train).topk(neighbours, largest=False).indices
        voted = train_labels[nearest].mode(1).values
        correct += int((voted == test_labels[first : first + CHUNK]).sum())
    return correct / len(test)
