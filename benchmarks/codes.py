"""Pictures in 8 numbers: the service's defaults, the reference autoencoder and PCA, as pictures and as plain vectors.

Everything goes through the HTTP API. Errors are of pixels from 0 to 1 on test rows; neighbours are judged by the frozen
probe of the service. The reference is 784-128-64-32-16-8 and back with ReLU, a linear code and a sigmoid, trained with
Adam at 0.001 on squared errors for 20 epochs. The intervals are over seeds, each of which draws and splits anew.

    apt-get download dataset-fashion-mnist
    dpkg -x dataset-fashion-mnist_*.deb ~/.cache/rootstock-benchmarks/dataset-fashion-mnist
    .venv/bin/python benchmarks/codes.py [--data digits clothes] [--rows 5000] [--modalities image vectors] [--seeds 3]
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from evaluation import Data, embed, nearest, parameters, reconstruct, seconds, shown, upload
from pictures import load

from app.demo.service import Client, started
from app.demo.story import REFERENCE
from worker.evaluation.baselines import pca

WIDTH = 8


def judge(client: Client, data: Data, modality: str, seed: int, request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By model: `mse`, `knn`, and of ours and the reference seconds and parameters."""
    train, known = data.part("train")
    test, truth = data.part("test")
    dataset = upload(client, data, modality)
    default = {"kind": "pretrain", "encoder": {"name": "auto", "dimensions": WIDTH}, **request}
    found: dict[str, dict[str, Any]] = {}
    for name, body in (("default", default), ("reference", REFERENCE)):
        if name == "reference" and modality == "vectors":
            body = {**body, "modality": {"name": "vectors", "scaling": "unit"}}
        training = {**body.get("training", {}), "seed": seed}
        job = client.train(
            f"{name} {data.name}", {**body, "name": f"{data.name}-{name}", "dataset": dataset, "training": training}
        )
        rebuilt = reconstruct(client, job["model"], test)
        found[name] = {
            "mse": float(((rebuilt / 255 - test / 255.0) ** 2).mean()),
            "knn": nearest(*(embed(client, job["model"], part) for part in (train, test)), known, truth),
            "seconds": seconds(job),
            "parameters": parameters(client, job),
        }
    rows, asked = (torch.from_numpy(part.reshape(len(part), -1) / 255.0).float() for part in (train, test))
    directions, mean = pca(rows, WIDTH)
    codes, others = (rows - mean) @ directions, (asked - mean) @ directions
    error = float((others @ directions.T + mean - asked).square().mean())
    found["PCA-8"] = {"mse": error, "knn": nearest(codes.numpy(), others.numpy(), known, truth)}
    found["all pixels"] = {"mse": 0.0, "knn": nearest(rows.numpy(), asked.numpy(), known, truth)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", default=["digits", "clothes"])
    parser.add_argument("--rows", type=int, default=5000, help="of each, the test's fifth among them")
    parser.add_argument("--modalities", nargs="*", default=["image", "vectors"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--request", type=json.loads, default={}, help="JSON to add to the request of the default")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "rootstock-benchmarks")
    arguments = parser.parse_args()
    with started() as client:
        for name in arguments.data:
            for modality in arguments.modalities:
                found = []
                for seed in range(arguments.seeds):
                    data = load(name, arguments.rows, seed, arguments.cache)
                    if modality == "vectors":
                        data = replace(data, rows=data.rows.reshape(len(data.rows), -1).astype(np.float32))
                    found.append(judge(client, data, modality, seed, arguments.request))
                print(f"\n{name} as {modality}, {len(data.rows):,} rows, {arguments.seeds} seeds")
                print("model          MSE               k-NN           s  parameters")
                for model in found[0]:
                    each = [scores[model] for scores in found]
                    line = f"{model:12} {shown([e['mse'] for e in each], 4, 1):16} {shown([e['knn'] for e in each]):12}"
                    if "seconds" in each[0]:
                        line += f" {np.mean([e['seconds'] for e in each]):5.1f}  {each[0]['parameters']}"
                    print(line)
                gains = [1 - scores["default"]["mse"] / scores["PCA-8"]["mse"] for scores in found]
                points = [scores["default"]["knn"] - scores["PCA-8"]["knn"] for scores in found]
                print(
                    f"default and PCA-8: MSE {shown(gains)} % under it, k-NN {shown(points)} points above it",
                    flush=True,
                )


if __name__ == "__main__":
    main()
