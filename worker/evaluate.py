"""What a model is worth on rows it never saw, each figure beside its baselines on the same rows.

Protocol, version 2: the test split, or the validation split where there is none; at most `TRAIN_ROWS` and `TEST_ROWS`
rows, spread evenly, fewer where rows or networks are large (`rows_learned`, `rows_judged` say how many).
`knn_accuracy` is the share of rows whose label is the commonest among the 10 nearest training rows by cosine,
`linear_accuracy` that which a regularised linear classifier tells; worker/evaluation/probes.py says how rows are scaled
and what is chosen by which rows. `intervals` are the middle 95 % of 1,000 bootstrap samples of the judged rows;
`advantages` those of the difference to the best baseline: a win is one whose whole interval is above 0.
Legend: `N` rows, `W` numbers per row, `E` width of the embedding.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.ml.batch import Batch
from app.ml.build import build_network
from app.ml.evaluation_job import require_fit
from app.ml.modalities.base import Fitted
from app.ml.modalities.classes import Classes
from app.ml.modalities.text import FittedText
from app.ml.objectives.base import Objective
from app.ml.words.bag_fitting import fit_bags
from app.ml.words.bags import Bags
from worker.evaluation import baselines as easy
from worker.evaluation import geometry, probes, words
from worker.evaluation.exam import PLACES, Exam, Rows, answer, pieces_of, read_rows
from worker.evaluation.words import WordTests

PROTOCOL = 2
TRAIN_ROWS, TEST_ROWS = 10_000, 5_000
OWN_ROWS = 2000
"""Rows by which an objective judges itself."""
WIDEST_RAW = 4096
"""Numbers per row beyond which raw rows are no baseline: their probe alone would outlast the training."""
ENOUGH_LABELS = 20

Featured = Callable[["Rows"], Tensor]
Scores = dict[str, dict[str, float]]
Principal = Callable[[int], tuple[Tensor, Tensor]]
"""Width to so many principal components of the rows that are learned from, and their mean."""


def evaluate(exam: Exam) -> dict[str, Any]:
    """`{"split", "rows", "protocol", "<metric>": …, "intervals", "advantages", "baselines": {"<name>": {…}}}`.

    Errors are mean squared errors in the unit of the scaled input, perplexities are per token; accuracies are shares
    in [0, 1]; `effective_rank` counts dimensions.
    """
    split = "test" if exam.dataset.splits["test"].rows else "validation"
    abilities = exam.spec.objective.abilities
    result: dict[str, Any] = {"protocol": PROTOCOL, "split": split, "rows": exam.dataset.splits[split].rows}
    scores: Scores = {}
    with torch.no_grad():
        train, test = read_rows(exam, "train", TRAIN_ROWS), read_rows(exam, split, TEST_ROWS)
        result |= {"rows_learned": len(train.labels), "rows_judged": len(test.labels)}
        principal = functools.cache(lambda width: easy.pca(train.flat, width))  # of pictures it takes a while
        if "reconstruct" in abilities and "mask" not in test.inputs:
            reconstruction(exam, principal, test, result, scores)
        exam.tick()
        if "embed" in abilities:
            features = representations(exam, principal, train, test)
            shape_of_space(features, test, result, scores)
        target = labels_of(exam, split)
        if target is not None:
            labelled = read_rows(exam, "train", TRAIN_ROWS, target), read_rows(exam, split, TEST_ROWS, target)
            if "embed" in abilities:
                probed(exam, features, *labelled, result, scores)
            if "predict" in abilities:
                prediction(exam, *labelled, result, scores)
        exam.tick()
        judged_by_itself(exam, split, train, test, result, scores)
        if exam.words is not None:
            asked_of_words(exam, exam.words, result, scores)
    return {**result, "baselines": scores}


def evaluate_fitting(exam: Exam) -> dict[str, Any]:
    """The figures of the protocol. Raises Invalid where the dataset is not what the network was made for."""
    require_fit(exam.spec.roles, exam.dataset.profile)
    return evaluate(exam)


def reconstruction(exam: Exam, principal: Principal, test: Rows, result: dict[str, Any], scores: Scores) -> None:
    """The error of the reconstructions against PCA of the embedding's width and against the training mean."""
    answers = answer(exam.network, "reconstruct", test.inputs)
    result["mse"] = float((answers.flatten(1) - test.flat).square().mean())
    width = answer(exam.network, "embed", {name: tensor[:1] for name, tensor in test.inputs.items()}).shape[1]
    components, mean = principal(width)
    back = (test.flat - mean) @ components @ components.T + mean
    scores.setdefault("pca", {})["mse"] = float((back - test.flat).square().mean())
    scores.setdefault("mean", {})["mse"] = float((test.flat - mean).square().mean())


def untrained_network(exam: Exam) -> Objective:
    """As it was before its first step."""
    torch.manual_seed(exam.seed)
    return build_network(exam.spec.network(), exam.fitted).eval()


def representations(exam: Exam, principal: Principal, train: Rows, test: Rows) -> dict[str, Featured]:
    """Name to features [N, E] of rows: of the model under the name "", and of the baselines that suit the modality."""
    untrained = untrained_network(exam)
    ours = answer(exam.network, "embed", {name: tensor[:1] for name, tensor in test.inputs.items()})
    found: dict[str, Featured] = {
        "": lambda rows: answer(exam.network, "embed", rows.inputs),
        "untrained": lambda rows: answer(untrained, "embed", rows.inputs),
    }
    fitted, width = exam.fitted[exam.spec.objective.asked], ours.shape[1]
    if fitted.shape.layout == "tokens":

        @functools.cache  # it takes a while, and without labels nobody asks for it
        def bags() -> Bags:
            made, pieces = Bags(fitted.shape.words, width), list(pieces_of(train.inputs))
            torch.manual_seed(0)
            assert isinstance(fitted, FittedText)
            fit_bags(made, lambda: iter(pieces), lambda share: None, letters=fitted.letters())
            return made

        found["tfidf_svd"] = lambda rows: torch.cat([bags()(**piece) for piece in pieces_of(rows.inputs)])
        return found

    def projected(rows: Rows) -> Tensor:
        components, mean = principal(width)
        return (rows.flat - mean) @ components

    found["pca"] = projected
    if fitted.settings.name == "audio":
        found["mfcc"] = lambda rows: easy.mfcc(rows.inputs["values"])
    if fitted.shape.count <= WIDEST_RAW:
        found["raw"] = lambda rows: rows.flat
    return found


def shape_of_space(features: dict[str, Featured], test: Rows, result: dict[str, Any], scores: Scores) -> None:
    """Figures of the embeddings that need no labels, beside those of the untrained network."""
    few = Rows({name: tensor[: geometry.ROWS] for name, tensor in test.inputs.items()}, test.labels)
    for name, into in (("", result), ("untrained", scores.setdefault("untrained", {}))):
        embeddings = features[name](few)
        into["effective_rank"] = geometry.effective_rank(embeddings)
        into["uniformity"] = geometry.uniformity(embeddings)


def probed(
    exam: Exam, features: dict[str, Featured], train: Rows, test: Rows, result: dict[str, Any], scores: Scores
) -> None:
    """Judges the embedding and every baseline by its neighbours and by a linear classifier."""
    right: dict[str, dict[str, Tensor]] = {"knn_accuracy": {}, "linear_accuracy": {}}
    for name, features_of in features.items():
        exam.tick()
        rows = probes.Labelled(features_of(train), features_of(test), train.labels, test.labels)
        right["knn_accuracy"][name] = probes.nearest_right(rows)
        right["linear_accuracy"][name] = probes.linear_right(rows, exam.seed)
    result["intervals"], result["advantages"] = {}, {}
    for metric, told in right.items():
        means = {name: float(each.double().mean()) for name, each in told.items()}
        result[metric] = means.pop("")
        for name, mean in means.items():
            scores.setdefault(name, {})[metric] = mean
        best = max(means, key=lambda name: means[name])
        ahead = told[""].double() - told[best].double()
        result["intervals"][metric] = list(probes.interval(told[""]))
        result["advantages"][metric] = {
            "over": best,
            "difference": float(ahead.mean()),
            "interval": list(probes.interval(ahead)),
        }


def prediction(exam: Exam, train: Rows, test: Rows, result: dict[str, Any], scores: Scores) -> None:
    """The accuracy of the predictions against always naming the commonest class."""
    told = answer(exam.network, "predict", test.inputs).argmax(1) == test.labels
    result["accuracy"] = float(told.double().mean())
    result.setdefault("intervals", {})["accuracy"] = list(probes.interval(told))
    majority = train.labels.mode().values
    scores.setdefault("majority", {})["accuracy"] = float((test.labels == majority).float().mean())


def judged_by_itself(exam: Exam, split: str, train: Rows, test: Rows, result: dict[str, Any], scores: Scores) -> None:
    """The objective's own figures and their baselines; what is judged above already stays."""
    if len(exam.fitted) > 1:
        limits = {"train": exam.network.learned_rows, split: OWN_ROWS}
        kept = [list(exam.loader(name, exam.fitted).in_order(rows)) for name, rows in limits.items()]
        if all(kept):
            result |= exam.network.metrics(kept[1]) | result
            for name, figures in exam.network.baselines(*kept).items():
                scores[name] = figures | scores.get(name, {})
        return
    few = {name: tensor[:OWN_ROWS] for name, tensor in test.inputs.items()}
    pieces = pieces_of(few, PLACES // 64)  # scores of a whole vocabulary at every place
    own = exam.network.metrics(Batch({"input": piece}, torch.arange(len(piece["values"]))) for piece in pieces)
    result |= own | result
    if "perplexity" in own:
        vocabulary = exam.fitted["input"].shape.vocabulary
        assert vocabulary is not None
        scores.setdefault("unigram", {}).update(easy.unigram(train.inputs, few, vocabulary))


def asked_of_words(exam: Exam, tests: WordTests, result: dict[str, Any], scores: Scores) -> None:
    """What the embeddings of single words are like, and those of the untrained network."""
    fitted = exam.fitted[exam.spec.objective.asked]
    assert isinstance(fitted, FittedText), "only models of texts are asked about words: this is a bug"
    untrained = untrained_network(exam)

    def judged(network: Objective) -> dict[str, Any]:
        return words.judge(tests, fitted, lambda asked: answer(network, "embed", fitted.encode(fitted.read(asked))))

    found = judged(exam.network)
    result.setdefault("intervals", {}).update(found.pop("intervals", {}))
    result |= found
    of_none = judged(untrained)
    names = [name for name in ("word_similarity", "analogy_accuracy") if name in of_none]
    scores.setdefault("untrained", {}).update({name: of_none[name] for name in names})


def labels_of(exam: Exam, split: str) -> Fitted | None:
    """The modality of the labels, when the training split and the judged one have enough of them."""
    facts = exam.dataset.profile["target"]
    if facts is None or facts["modality"] != "classes":
        return None
    if min(int(exam.dataset.splits[name].present("target").sum()) for name in ("train", split)) < ENOUGH_LABELS:
        return None
    if "target" in exam.fitted:
        return exam.fitted["target"]
    return Classes().fit([np.array(sorted(facts["classes"]), dtype=object)])
