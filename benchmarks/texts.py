"""Texts without labels: embeddings by default against TF-IDF with SVD of the same width, under the same probes.

For each set of labelled texts (benchmarks/labelled_texts.py), Rootstock gets the training texts alone through its HTTP
API, pretrains with its defaults and embeds all texts. The baseline is scikit-learn's: TF-IDF with logarithmic counts
and truncated SVD, of words alone or of words and pairs of words: what does better, under the same probe, on a fifth of
the training texts that the probe has not seen.
Rows of both have length 1. Judged on texts that nothing was learned from: a linear probe and the 10 nearest neighbours
by cosine, with all labels, with 10 of each class (mean of `--draws`), and with all labels where only `--few` training
texts are known at all. Every seed draws the split anew; intervals (Student's t, 95 %) are over all seeds of a kind.

    .venv/bin/python benchmarks/texts.py [--sets news movies …] [--rows 8000] [--seeds 3]
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from labelled_texts import SETS, TOPICS, Row, rows
from scipy.stats import t
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor
from torch.nn.functional import normalize

from app.demo.service import Client, started
from worker.evaluation.probes import Labelled, linear_right, nearest_right

TRAIN = 0.7
"""Share of the rows that are learned from."""
VALIDATION = 0.2
"""Share of the training rows by which the baseline is chosen."""
FEW_LABELS = 10
PER_CLASS = "10 a class"
MOST_FEATURES = 150_000
PROBES = {"linear": linear_right, "k-NN": nearest_right}
Scores = dict[tuple[str, str], float]
"""Probe and labels to the share of right answers."""


def ours(client: Client, name: str, texts: Sequence[str], train: int, request: dict[str, Any]) -> tuple[Tensor, float]:
    """Embeddings of all texts, learned from the first `train`, and the seconds from the request to the model."""
    lines = "\n".join(texts[:train]).encode()
    split = {"train": 0.98, "validation": 0.01, "test": 0.01}
    body: dict[str, Any] = {"name": name, "modality": "text", "split": split}
    made = client.dataset("texts.txt", lines, body)
    began = time.perf_counter()
    job = client.train(name, {"kind": "pretrain", "dataset": made, "name": name, **request})
    seconds = time.perf_counter() - began
    return normalize(torch.tensor(client.embeddings(job["model"], list(texts)))), seconds


def theirs(texts: Sequence[str], train: int, width: int, longest: int) -> Tensor:
    """TF-IDF of runs of up to `longest` words, with SVD."""
    bags = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, longest), min_df=longest, max_features=MOST_FEATURES)
    learned = bags.fit_transform(texts[:train])
    svd = TruncatedSVD(min(width, *(side - 1 for side in learned.shape)), random_state=0).fit(learned)
    return normalize(torch.from_numpy(svd.transform(bags.transform(texts))).float())


def chosen(bases: Sequence[Tensor], labels: Tensor, train: int, probe: str) -> Tensor:
    """What does best under the probe on the last training rows, of which the probe learns nothing."""
    kept = train - round(VALIDATION * train)

    def score(features: Tensor) -> float:
        parts = Labelled(features[:kept], features[kept:train], labels[:kept], labels[kept:train])
        return float(PROBES[probe](parts).double().mean())

    return max(bases, key=score)


def judged(features: Tensor, labels: Tensor, train: int, draws: int, probes: Sequence[str] = tuple(PROBES)) -> Scores:
    """With all labels and with few."""
    found: Scores = {}
    learned, heard = features[:train], labels[:train]
    for probe in probes:
        right = PROBES[probe]
        whole = Labelled(learned, features[train:], heard, labels[train:])
        found[probe, "all"] = float(right(whole).double().mean())
        few = []
        for draw in range(draws):
            random = torch.Generator().manual_seed(draw)
            order = torch.randperm(train, generator=random)
            chosen = torch.cat([order[heard[order] == label][:FEW_LABELS] for label in heard.unique()])
            part = Labelled(learned[chosen], features[train:], heard[chosen], labels[train:])
            few.append(float(right(part).double().mean()))
        found[probe, PER_CLASS] = float(np.mean(few))
    return found


def trial(client: Client, name: str, drawn: Sequence[Row], seed: int, arguments: argparse.Namespace) -> Scores:
    """The differences to the baseline, in points, of one split of a set."""
    names = sorted({label for label, _ in drawn})
    labels, texts = torch.tensor([names.index(label) for label, _ in drawn]), [text for _, text in drawn]
    train = round(TRAIN * len(texts))
    gains: Scores = {}
    for known, what in ((train, ""), (arguments.few, f"{arguments.few} texts")):
        told = [*texts[:known], *texts[train:]]
        marks = torch.cat([labels[:known], labels[train:]])
        request = {**arguments.request, "training": {"seed": seed, **arguments.request.get("training", {})}}
        features, seconds = ours(client, f"{name}-{seed}-{known}", told, known, request)
        mine = judged(features, marks, known, arguments.draws)
        bases = [theirs(told, known, features.shape[1], longest) for longest in (1, 2)]
        best: Scores = {}
        for probe in PROBES:
            best |= judged(chosen(bases, marks, known, probe), marks, known, arguments.draws, [probe])
        for probe, which in mine:
            if what and which != "all":
                continue
            base = best[probe, which]
            gains[probe, what or which] = 100 * (mine[probe, which] - base)
            print(
                f"{name:9} seed {seed} {known:5} texts {seconds:5.1f} s  {probe:6} {what or which:10} "
                f"{100 * mine[probe, which]:5.1f}  {100 * base:5.1f}  {gains[probe, what or which]:+5.1f}",
                flush=True,
            )
    return gains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=sorted(SETS), default=list(SETS))
    parser.add_argument("--rows", type=int, default=8000, help="of a set at most, those to judge included")
    parser.add_argument("--few", type=int, default=500, help="training texts where there is less text")
    parser.add_argument("--draws", type=int, default=10, help="of few labels")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--request", type=json.loads, default={}, help="JSON to add to the job's request")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "rootstock-benchmarks")
    arguments = parser.parse_args()
    kinds: dict[str, list[Scores]] = {"topics": [], "opinions": []}
    print("set       seed   texts  training  probe  labels     ours   TF-IDF + SVD  difference")
    with started() as client:
        for name in arguments.sets:
            for seed in range(arguments.seeds):
                drawn = rows(name, arguments.cache, seed, arguments.rows)
                gains = trial(client, name, drawn, seed, arguments)
                kinds["topics" if name in TOPICS else "opinions"].append(gains)
    print("\nkind      probe  labels      difference in points, mean over sets and seeds")
    for kind, found in kinds.items():
        for probe, which in found[0] if found else ():
            values = [gains[probe, which] for gains in found]
            line = f"{kind:9} {probe:6} {which:10}  {np.mean(values):+5.1f}"
            if len(values) > 1:
                half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
                line += f" +- {half:.1f}"
            print(line)


if __name__ == "__main__":
    main()
