"""What the benchmarks of tables and pictures share: asking a service over HTTP, and one way to judge all codes.

The probes are the frozen ones of the service itself; they scale every column and row alike for ours and for theirs.
Legend: `N` rows, `E` width of a code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.demo.digits import npz
from app.demo.service import Client
from worker.evaluation.probes import Labelled, linear_right, nearest_right

Rows = NDArray[Any]
STUDENT = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}
"""Quantiles of Student's t for an interval of 95 %, by the number of draws."""


@dataclass(frozen=True)
class Data:
    """Rows [N, …] with their classes [N], and which of them are held back for validation and for the test."""

    name: str
    rows: Rows
    labels: NDArray[np.int64]
    split: NDArray[np.str_]

    def part(self, name: str) -> tuple[Rows, NDArray[np.int64]]:
        chosen = self.split == name
        return self.rows[chosen], self.labels[chosen]


def split(count: int, seed: int, *, validation: float = 0.1, test: float = 0.2) -> NDArray[np.str_]:
    """The split of each of `count` rows, drawn by `seed`."""
    order = np.random.default_rng(seed).permutation(count)
    names = np.full(count, "train", dtype="<U10")
    held = round(test * count)
    names[order[:held]] = "test"
    names[order[held : held + round(validation * count)]] = "validation"
    return names


def upload(client: Client, data: Data, modality: str) -> str:
    """Makes a dataset and waits until it is checked; gives its id."""
    archive = npz(rows=data.rows, labels=data.labels.astype(np.str_), split=data.split)
    role = "image" if modality == "image" else "features"
    body = {
        "name": data.name,
        "modality": modality,
        "columns": {role: "rows", "label": "labels", "split": "split"},
        "cleaning": {"duplicates": "keep"},
    }
    return client.dataset("rows.npz", archive, body)


def seconds(job: dict[str, Any]) -> float:
    """From the request to the registered model."""
    return float(job["finished_at"] - job["created_at"])


def parameters(client: Client, job: dict[str, Any]) -> str:
    """As the job's events tell it."""
    events = client.call("GET", f"/v1/jobs/{job['id']}/events")["data"]
    told = [event["message"] for event in events if event["message"].endswith(" parameters")]
    return str(told[-1]).rsplit(": ", 1)[1].removesuffix(" parameters") if told else "?"


def embed(client: Client, model: str, rows: Rows) -> Rows:
    """[N, E]"""
    return np.array(client.embeddings(model, rows.tolist()), dtype=np.float32)


def reconstruct(client: Client, model: str, rows: Rows) -> Rows:
    """Like `rows`, in their unit."""
    answers = client.reconstructions(model, rows.tolist())
    return np.array([answer["reconstruction"] for answer in answers], dtype=np.float64).reshape(rows.shape)


def nearest(train: Rows, test: Rows, known: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Share of the test rows that their 10 nearest training rows name rightly."""
    return float(nearest_right(_labelled(train, test, known, truth)).float().mean())


def linear(train: Rows, test: Rows, known: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Share of the test rows that a linear classifier of the training rows names rightly."""
    return float(linear_right(_labelled(train, test, known, truth)).float().mean())


def shown(values: Sequence[float], digits: int = 1, scale: float = 100) -> str:
    """The mean, and half the width of its interval of 95 % where there are several."""
    mean = scale * float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.{digits}f}"
    half = scale * STUDENT.get(len(values), 2.2) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return f"{mean:.{digits}f} ±{half:.{digits}f}"


def _labelled(train: Rows, test: Rows, known: NDArray[np.int64], truth: NDArray[np.int64]) -> Labelled:
    features = (torch.from_numpy(np.ascontiguousarray(part)).float().flatten(1) for part in (train, test))
    return Labelled(*features, torch.from_numpy(known), torch.from_numpy(truth))
