"""Classes of texts: `classification` by default against TF-IDF with logistic regression, on the same rows.

For each set of labelled texts (benchmarks/labelled_texts.py), Rootstock gets a table of texts, labels and splits
through its HTTP API, classifies with defaults alone and is asked for the classes of the test rows. The baseline is
scikit-learn's: TF-IDF of words and pairs of words with logarithmic counts, and logistic regression whose strength is
chosen by cross-validation in 3 folds of the training and validation rows, from which it then learns.

    .venv/bin/python benchmarks/text_classes.py [--sets news movies …] [--rows 4000] [--seeds 2]
"""

import argparse
import csv
import io
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from evaluation import Data, seconds, split
from labelled_texts import SETS, rows
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from app.demo.service import Client, started

STRENGTHS = [1, 4, 16, 64]
MOST_FEATURES = 150_000
SCORES = ("accuracy", "balanced_accuracy")


def table(drawn: Sequence[tuple[str, str]], splits: Sequence[str]) -> bytes:
    lines = io.StringIO(newline="")
    pairs = [(text, label, part) for (label, text), part in zip(drawn, splits, strict=True)]
    csv.writer(lines).writerows([("text", "label", "split"), *pairs])
    return lines.getvalue().encode()


def ours(client: Client, name: str, content: bytes, seed: int, request: dict[str, Any]) -> dict[str, Any]:
    """The job of a model."""
    columns = {"text": "text", "label": "label", "split": "split"}
    body = {"name": name, "modality": "text", "columns": columns, "cleaning": {"duplicates": "keep"}}
    dataset = client.dataset("texts.csv", content, body)
    training = {"seed": seed, **request.get("training", {})}
    objective = {"name": "classification", **request.get("objective", {})}
    parts = {**request, "objective": objective, "training": training}
    return client.train(name, {"kind": "pretrain", "name": name, "dataset": dataset, **parts})


def theirs(data: Data) -> dict[str, float]:
    """Scores of the test rows, and the seconds of choosing and learning."""
    began, held = time.perf_counter(), data.split == "test"
    known, told = data.rows[~held], data.labels[~held]
    bags = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), max_features=MOST_FEATURES)
    model = make_pipeline(bags, GridSearchCV(LogisticRegression(max_iter=1000), {"C": STRENGTHS}, cv=3)).fit(
        known, told
    )
    found = judged(data.labels[held], model.predict(data.rows[held]))
    common = DummyClassifier().fit(known, told).predict(data.rows[held])
    return {**found, "common": judged(data.labels[held], common)["accuracy"], "seconds": time.perf_counter() - began}


def judged(truth: Any, answers: Any) -> dict[str, float]:
    return {"accuracy": accuracy_score(truth, answers), "balanced_accuracy": balanced_accuracy_score(truth, answers)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=sorted(SETS), default=list(SETS))
    parser.add_argument("--rows", type=int, default=4000, help="of a set at most, those to judge included")
    parser.add_argument("--seeds", type=int, default=2, help="each draws and splits anew")
    parser.add_argument("--request", type=json.loads, default={}, help="JSON to add to the job's request")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "rootstock-benchmarks")
    arguments = parser.parse_args()
    print(
        "set       seed  rows    s    accuracy ours, TF-IDF, commonest   balanced ours, TF-IDF   difference  s TF-IDF"
    )
    means: dict[str, list[float]] = {}
    with started() as client:
        for name in arguments.sets:
            for seed in range(arguments.seeds):
                drawn = rows(name, arguments.cache, seed, arguments.rows)
                labels = np.array([label for label, _ in drawn])
                texts = np.array([text for _, text in drawn], object)
                data = Data(name, texts, labels, split(len(drawn), seed))
                job = ours(client, f"{name}-{seed}", table(drawn, data.split.tolist()), seed, arguments.request)
                asked, truth = data.part("test")
                answers = [item["label"] for item in client.predictions(job["model"], asked.tolist())]
                mine = [100 * judged(truth, answers)[score] for score in SCORES]
                base = theirs(data)
                rival = [100 * base[score] for score in SCORES]
                means.setdefault(name, []).append(mine[0] - rival[0])
                print(
                    f"{name:9} {seed:4} {len(drawn):5} {seconds(job):5.0f}   {mine[0]:5.1f}, {rival[0]:5.1f}, "
                    f"{100 * base['common']:5.1f}                {mine[1]:5.1f}, {rival[1]:5.1f}            "
                    f"{mine[0] - rival[0]:+5.1f}     {base['seconds']:5.0f}",
                    flush=True,
                )
    each = [float(np.mean(values)) for values in means.values()]
    print(f"\n{len(each)} sets: {np.mean(each):+.1f} points in the mean, at worst {min(each):+.1f}")


if __name__ == "__main__":
    main()
