"""Evaluation: the metrics of a model on held-out rows, beside those of simple baselines on the same rows.

Protocol, version 2: the test split, or the validation split where there is none or it has no labels; at most
`TRAIN_ROWS` and `TEST_ROWS` rows, spread evenly, fewer where rows or networks are large (`rows_learned`, `rows_judged`
say how many).
`knn_accuracy` is the share of rows whose label is the commonest among the 10 nearest training rows by cosine,
`linear_accuracy` that which a regularised linear classifier tells; worker/evaluation/probes.py says how rows are scaled
and what is chosen by which rows. `intervals` are the middle 95 % of 1,000 bootstrap samples of the evaluated rows;
`advantages` those of the difference to the best baseline: a win is one whose whole interval is above 0.
Legend: `N` rows, `W` numbers per row, `E` width of the embedding.
"""

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.ml.jobs.evaluate import require_fit
from app.ml.modalities.base import Fitted
from app.ml.modalities.classes import Classes
from app.ml.modalities.text import FittedText
from app.ml.objectives.base import Objective
from app.ml.tensors.batch import Batch
from app.ml.tensors.parts import parts
from worker.evaluation import baselines, geometry, probes, words
from worker.evaluation.features import Featured, Principal, all_features, untrained_network
from worker.evaluation.subject import Rows, Subject, answer, read_rows
from worker.evaluation.words import WordTests

PROTOCOL = 2
JUDGES = ("test", "validation")
"""Splits that can judge a model, the better one first."""
TRAIN_ROWS, TEST_ROWS = 10_000, 5_000
OWN_ROWS = 2000
"""Rows from which the objective's own metrics are computed."""
ENOUGH_LABELS = 20
"""Labelled rows below which probes and intervals would tell of chance alone."""


@dataclass
class Report:
    """What is found, part by part."""

    metrics: dict[str, Any]
    """Of the model."""
    baselines: dict[str, dict[str, float]] = field(default_factory=dict)
    """The same metrics of the baselines that have them, by the baseline's name."""

    def baseline(self, name: str) -> dict[str, float]:
        return self.baselines.setdefault(name, {})


def evaluate(subject: Subject) -> dict[str, Any]:
    """`{"split", "rows", "protocol", "<metric>": …, "intervals", "advantages", "baselines": {"<name>": {…}}}`.

    Errors are mean squared errors in the unit of the scaled input, perplexities are per token; accuracies are shares
    in [0, 1]; `effective_rank` counts dimensions.
    """
    split = judging(subject)
    abilities = subject.spec.objective.abilities
    report = Report({"protocol": PROTOCOL, "split": split, "rows": subject.dataset.splits[split].rows})
    with torch.no_grad():
        labelled = labelled_rows(subject, split)
        learned, held_out = labelled or (None, None)
        train, test = all_rows(subject, "train", TRAIN_ROWS, learned), all_rows(subject, split, TEST_ROWS, held_out)
        report.metrics |= {"rows_learned": len(train.labels), "rows_judged": len(test.labels)}
        principal = functools.cache(lambda width: baselines.pca(train.flat, width))  # of pictures it takes a while
        if "reconstruct" in abilities and "mask" not in test.inputs:
            reconstruction_metrics(subject, principal, test, report)
        subject.tick()
        if "embed" in abilities:
            features = all_features(subject, principal, train, test)
            few = test.first(geometry.ROWS)
            if labelled is not None and min(len(rows.labels) for rows in labelled) >= ENOUGH_LABELS:
                probe_metrics(subject, features, *labelled, report)
                few = test if test is held_out else few
            geometry_metrics(features, few, report)
        if "predict" in abilities and labelled is not None:
            prediction_metrics(subject, *labelled, report)
        subject.tick()
        objective_metrics(subject, split, train, test, report)
        if subject.words is not None:
            word_metrics(subject, subject.words, report)
    return {**report.metrics, "baselines": report.baselines}


def labelled_rows(subject: Subject, split: str) -> tuple[Rows, Rows] | None:
    """Those to learn from and those to judge by; None where there are no labels that a probe could tell."""
    target = labels_of(subject, split)
    if target is None:
        return None
    return read_rows(subject, "train", TRAIN_ROWS, target), read_rows(subject, split, TEST_ROWS, target)


def all_rows(subject: Subject, split: str, most: int, labelled: Rows | None) -> Rows:
    """At most so many rows of a split, whether they have a label or not; the `labelled` ones where these are all."""
    if labelled is not None and subject.dataset.splits[split].present("target").all():
        return labelled
    return read_rows(subject, split, most)


def judging(subject: Subject) -> str:
    """The split whose rows judge: `test`; `validation` where no row of test has all that the network learned from."""
    splits, roles = subject.dataset.splits, subject.fitted
    for name in JUDGES:
        if all(splits[name].present(role).any() for role in roles):
            return name
    return next((name for name in JUDGES if splits[name].rows), JUDGES[-1])


def evaluate_checked(subject: Subject) -> dict[str, Any]:
    """`evaluate` on any dataset. Raises Invalid where it is not of the kind that the network was made for."""
    require_fit(subject.spec.roles, subject.dataset.profile)
    return evaluate(subject)


def reconstruction_metrics(subject: Subject, principal: Principal, test: Rows, report: Report) -> None:
    """The error of the reconstructions against PCA of the embedding's width and against the training mean."""
    answers = answer(subject.network, "reconstruct", test.inputs)
    report.metrics["mse"] = float((answers.flatten(1) - test.flat).square().mean())
    width = answer(subject.network, "embed", {name: tensor[:1] for name, tensor in test.inputs.items()}).shape[1]
    components, mean = principal(width)
    back = (test.flat - mean) @ components @ components.T + mean
    report.baseline("pca")["mse"] = float((back - test.flat).square().mean())
    report.baseline("mean")["mse"] = float((test.flat - mean).square().mean())


def geometry_metrics(features: dict[str, Featured], test: Rows, report: Report) -> None:
    """Figures of the embeddings of the first rows that need no labels, beside those of the untrained network."""
    for name, into in (("", report.metrics), ("untrained", report.baseline("untrained"))):
        embeddings = features[name](test)[: geometry.ROWS]
        into["effective_rank"] = geometry.effective_rank(embeddings)
        into["uniformity"] = geometry.uniformity(embeddings)


def probe_metrics(subject: Subject, features: dict[str, Featured], train: Rows, test: Rows, report: Report) -> None:
    """How many labels neighbours and a linear classifier tell from the embedding, and from every baseline."""
    right: dict[str, dict[str, Tensor]] = {"knn_accuracy": {}, "linear_accuracy": {}}
    for name, features_of in features.items():
        subject.tick()
        rows = probes.Labelled(features_of(train), features_of(test), train.labels, test.labels)
        right["knn_accuracy"][name] = probes.nearest_right(rows)
        right["linear_accuracy"][name] = probes.linear_right(rows, subject.seed)
    report.metrics["intervals"], report.metrics["advantages"] = {}, {}
    for metric, told in right.items():
        means = {name: float(each.double().mean()) for name, each in told.items()}
        report.metrics[metric] = means.pop("")
        for name, mean in means.items():
            report.baseline(name)[metric] = mean
        best = max(means, key=lambda name: means[name])
        ahead = told[""].double() - told[best].double()
        report.metrics["intervals"][metric] = list(probes.interval(told[""]))
        report.metrics["advantages"][metric] = {
            "over": best,
            "difference": float(ahead.mean()),
            "interval": list(probes.interval(ahead)),
        }


def prediction_metrics(subject: Subject, train: Rows, test: Rows, report: Report) -> None:
    """The accuracy of the predictions against always naming the commonest class."""
    told = answer(subject.network, "predict", test.inputs).argmax(1) == test.labels
    report.metrics["accuracy"] = float(told.double().mean())
    if len(told) >= ENOUGH_LABELS:
        report.metrics.setdefault("intervals", {})["accuracy"] = list(probes.interval(told))
    majority = train.labels.mode().values
    report.baseline("majority")["accuracy"] = float((test.labels == majority).float().mean())


def objective_metrics(subject: Subject, split: str, train: Rows, test: Rows, report: Report) -> None:
    """The objective's own metrics and baselines; figures that are there already stay."""
    if len(subject.fitted) > 1:
        limits = {"train": subject.network.baseline_rows, split: OWN_ROWS}
        kept = [list(subject.loader(name, subject.fitted).in_order(rows)) for name, rows in limits.items()]
        if all(kept):
            report.metrics |= subject.network.metrics(kept[1]) | report.metrics
            for name, figures in subject.network.baselines(*kept).items():
                report.baselines[name] = figures | report.baseline(name)
        return
    few = {name: tensor[:OWN_ROWS] for name, tensor in test.inputs.items()}
    batches = (Batch({"input": piece}, torch.arange(len(piece["values"]))) for piece in parts(few))
    own = subject.network.metrics(batches)
    report.metrics |= own | report.metrics
    if "perplexity" in own:
        vocabulary = subject.fitted["input"].shape.vocabulary
        assert vocabulary is not None
        report.baseline("unigram").update(baselines.unigram(train.inputs, few, vocabulary))


def word_metrics(subject: Subject, tests: WordTests, report: Report) -> None:
    """What the embeddings of single words are like, and those of the untrained network."""
    fitted = subject.fitted[subject.spec.objective.request_role]
    assert isinstance(fitted, FittedText), "only models of texts are asked about words: this is a bug"
    untrained = untrained_network(subject)

    def tested(network: Objective) -> dict[str, Any]:
        return words.metrics(tests, fitted, lambda asked: answer(network, "embed", fitted.encode(fitted.read(asked))))

    found = tested(subject.network)
    report.metrics.setdefault("intervals", {}).update(found.pop("intervals", {}))
    report.metrics |= found
    beside = tested(untrained)
    names = [name for name in ("word_similarity", "analogy_accuracy") if name in beside]
    report.baseline("untrained").update({name: beside[name] for name in names})


def labels_of(subject: Subject, split: str) -> Fitted | None:
    """The modality of the labels, when the training split and the evaluated one have any, of more than one class."""
    facts = subject.dataset.profile["target"]
    if facts is None or facts["modality"] != "classes":
        return None
    if not all(subject.dataset.splits[name].present("target").any() for name in ("train", split)):
        return None
    if "target" in subject.fitted:
        return subject.fitted["target"]
    if len(facts["classes"]) < 2:
        return None
    return Classes().fit([np.array(sorted(facts["classes"]), dtype=object)])
