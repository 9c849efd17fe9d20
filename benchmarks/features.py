"""Pictures without labels: the features that the service's defaults learn, and classifiers from ten labels per class.

Everything that is trained goes through the HTTP API, with defaults alone and for ten minutes at most. Embeddings are
judged by the frozen probes of the service, a linear classifier and the 10 nearest neighbours by cosine, beside PCA of
64 and of the same width, all pixels, and the mean of three untrained networks of the same form. With few labels, the
learned encoder and the same encoder from scratch get equally many steps and the same learning rates; each takes the one
that is best on validation rows over all draws of labels. The intervals are over seeds, and over draws of labels.

    apt-get download dataset-fashion-mnist
    dpkg -x dataset-fashion-mnist_*.deb ~/.cache/rootstock-benchmarks/dataset-fashion-mnist
    .venv/bin/python benchmarks/features.py [--data small digits clothes] [--rows 20000] [--seeds 3] [--draws 5]
    .venv/bin/python benchmarks/features.py --data small --seeds 1 --seconds 60 --steps 100 --rates 1e-3 3e-3  # minutes
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from evaluation import Data, Rows, embed, linear, nearest, parameters, seconds, shown, upload
from pictures import load

from app.demo.service import Client, started
from app.ml.build import build_network
from app.ml.modalities.image import Image
from worker.evaluation.baselines import pca

UNTRAINED = 3
PER_CLASS = 10
RATES = (3e-4, 1e-3, 3e-3)
PIECE = 500


def untrained(job: dict[str, Any], parts: list[Rows], seed: int) -> list[Rows]:
    """Embeddings by a network of the job's form whose weights nobody has taught."""
    pixels = [part[..., None] for part in parts]
    fitted = Image().fit([pixels[0]])
    torch.manual_seed(1000 + seed)
    network = build_network(job["spec"], {"input": fitted}).eval()
    with torch.inference_mode():
        return [
            np.concatenate(
                [network.embed(fitted.encode(part[at : at + PIECE])).numpy() for at in range(0, len(part), PIECE)]
            )
            for part in pixels
        ]


def judge(client: Client, data: Data, seed: int, request: dict[str, Any], limit: float) -> tuple[dict[str, Any], Any]:
    """Accuracies by features and probe; the job."""
    train, known = data.part("train")
    test, truth = data.part("test")
    training = {"max_seconds": limit, **request.get("training", {}), "seed": seed}
    body = {"kind": "pretrain", "name": data.name, **request, "dataset": upload(client, data, "image")}
    job = client.train(f"{data.name} {seed}", {**body, "training": training})
    ours = [embed(client, job["model"], part) for part in (train, test)]
    rows, asked = (torch.from_numpy(part.reshape(len(part), -1) / 255.0).float() for part in (train, test))
    features: dict[str, list[Rows]] = {"ours": ours}
    for width in (64, ours[0].shape[1]):
        directions, mean = pca(rows, width)
        features[f"PCA-{directions.shape[1]}"] = [((part - mean) @ directions).numpy() for part in (rows, asked)]
    features["all pixels"] = [rows.numpy(), asked.numpy()]
    for number in range(UNTRAINED):
        features[f"untrained {number}"] = untrained(job, [train, test], number)
    scores = {
        name: {"linear": linear(*both, known, truth), "k-NN": nearest(*both, known, truth)}
        for name, both in features.items()
    }
    blank = [scores.pop(f"untrained {number}") for number in range(UNTRAINED)]
    scores["untrained"] = {probe: float(np.mean([each[probe] for each in blank])) for probe in blank[0]}
    return scores, job


def few(
    client: Client, data: Data, job: dict[str, Any], draws: int, steps: int, rates: Sequence[float]
) -> dict[str, list[float]]:
    """Test accuracies of both classifiers over the draws, each with its best rate."""
    held, held_labels = data.part("validation")
    test, truth = data.part("test")
    train, known = data.part("train")
    encoder = {**job["spec"]["roles"]["input"]["encoder"], "dimensions": None}
    recipes = {
        "fine-tuned": {"kind": "finetune", "base_model": job["model"]},
        "from scratch": {"kind": "pretrain", "encoder": encoder},
    }
    found = {name: np.zeros((len(rates), draws, 2)) for name in recipes}
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(len(train))
        chosen = np.concatenate([order[known[order] == label][:PER_CLASS] for label in np.unique(known)])
        rows = Data("few", train[chosen], known[chosen], np.full(len(chosen), "train", dtype="<U10"))
        dataset = upload(client, replace(rows, name=f"few-{draw}"), "image")
        for name, recipe in recipes.items():
            for place, rate in enumerate(rates):
                batch = min(len(chosen), 50)
                training = {
                    "learning_rate": rate,
                    "batch_size": batch,
                    "epochs": -(-steps * batch // len(chosen)),
                    "early_stopping": None,
                    "seed": draw,
                }
                body = {**recipe, "dataset": dataset, "name": f"few-{name.replace(' ', '-')}", "training": training}
                model = client.train(f"{name} {draw}", {**body, "objective": {"name": "classification"}})["model"]
                for which, (asked, labels) in enumerate(((held, held_labels), (test, truth))):
                    told = [answer["label"] for answer in client.predictions(model, asked.tolist())]
                    found[name][place, draw, which] = np.mean(np.array(told) == labels.astype(np.str_))
    return {name: scores[scores[:, :, 0].mean(1).argmax(), :, 1].tolist() for name, scores in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", default=["digits", "clothes"])
    parser.add_argument("--rows", type=int, default=20_000, help="of each at most, the test's fifth among them")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="number of the first seed: for several runs side by side")
    parser.add_argument("--draws", type=int, default=5, help="of labels; 0 leaves them out")
    parser.add_argument("--steps", type=int, default=200, help="of a classifier from few labels")
    parser.add_argument("--rates", type=float, nargs="*", default=RATES, help="of which each classifier takes its best")
    parser.add_argument("--seconds", type=float, default=600.0, help="that training may take")
    parser.add_argument("--request", type=json.loads, default={}, help="JSON to add to the job's request")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "rootstock-benchmarks")
    arguments = parser.parse_args()
    with started() as client:
        for name in arguments.data:
            found, spent = [], []
            for seed in range(arguments.first, arguments.first + arguments.seeds):
                data = load(name, arguments.rows, seed, arguments.cache)
                scores, job = judge(client, data, seed, arguments.request, arguments.seconds)
                found.append(scores)
                spent.append(seconds(job))
            spec = job["spec"]
            print(
                f"\n{name}, {len(data.rows):,} rows, {arguments.seeds} seeds: {spec['objective']['name']} through "
                f"{spec['roles']['input']['encoder']['name']}, {parameters(client, job)} parameters, "
                f"{np.mean(spent):.0f} s, {job['progress']['step']:,} steps of {spec['training']['batch_size']}\n"
                "features       linear         k-NN"
            )
            for model in found[0]:
                each = [scores[model] for scores in found]
                print(f"{model:14} {shown([e['linear'] for e in each]):14} {shown([e['k-NN'] for e in each])}")
            if arguments.draws:
                print(f"accuracy from {PER_CLASS} labels per class, {arguments.draws} draws, {arguments.steps} steps")
                accuracies = few(client, data, job, arguments.draws, arguments.steps, arguments.rates)
                for model, values in accuracies.items():
                    print(f"{model:14} {shown(values)}")
                gains = np.array(accuracies["fine-tuned"]) - np.array(accuracies["from scratch"])
                print(f"{'difference':14} {shown(gains.tolist())}", flush=True)


if __name__ == "__main__":
    main()
