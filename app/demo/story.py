"""The demo, top to bottom: digits go in; embeddings, reconstructions and a classifier come out. Knows HTTP only."""

import contextlib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.demo import digits, service
from app.demo.terminal import table

DIMENSIONS = 8
FEW_PER_CLASS = 10
FEW_DRAWS = 3
"""Of the few labels: which ones they are moves an accuracy by more than what is to be seen."""
SHOWN_DIGITS = 10
PICTURES = {"modality": "image", "columns": {"image": "images", "label": "labels", "split": "split"}}
REFERENCE_EPOCHS = 20

REFERENCE: dict[str, Any] = {
    "kind": "pretrain",
    "name": "digits-reference",
    "encoder": {"name": "mlp", "preset": "reference", "dimensions": DIMENSIONS},
    "objective": {"name": "autoencoding"},
    "training": {"optimizer": "adam", "learning_rate": 0.001, "schedule": "constant", "epochs": REFERENCE_EPOCHS},
}
"""The autoencoder of many tutorials: 784-128-64-32-16-8 and back, as it is usually written."""

DEFAULT: dict[str, Any] = {
    "kind": "pretrain",
    "name": "digits-default",
    "encoder": {"name": "auto", "dimensions": DIMENSIONS},
    "objective": {"name": "autoencoding"},
}
"""The same task with everything else left to the service."""

Floats = NDArray[np.float64]


class Watch:
    """Seconds of each step, in the order in which they came first; of one that is repeated, of all its turns."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begun = time.monotonic()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - begun, 2)

    def total(self) -> dict[str, float]:
        return {**self.seconds, "total": round(time.monotonic() - self._begun, 2)}


def run(
    output: Path,
    *,
    per_class: int = digits.PER_CLASS,
    draws: int = FEW_DRAWS,
    training: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Runs the demo, writes its pictures and its report into `output`, and gives the report.

    `training` overrides what every job is told about its training: with fewer digits and draws of labels, it is for
    those who want to see it faster. Raises DemoError when the service does not do what is asked of it,
    KeyboardInterrupt on Ctrl-C and SIGTERM; whatever was started is stopped in any case.
    """
    with _termination_is_ctrl_c():
        watch = Watch()
        with watch.step("load"):
            data = digits.load(per_class)
        print(f"Rootstock demo: {len(data.images):,} handwritten digits of 28 x 28 pixels\n")
        with contextlib.ExitStack() as running:
            with watch.step("start"):
                client = running.enter_context(service.started())
            report = tell(client, data, watch, output, draws, training or {})
        report["seconds"] = watch.total()
        output.mkdir(parents=True, exist_ok=True)
        (output / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        show(report, output)
        return report


def tell(
    client: service.Client, data: digits.Digits, watch: Watch, output: Path, draws: int, training: dict[str, Any]
) -> dict[str, Any]:
    """The story itself, against a service that runs."""
    train_rows, test_rows = data.train_images.tolist(), data.test_images.tolist()

    with watch.step("upload"):
        dataset = client.dataset("digits.npz", data.archive(), {"name": "digits", **PICTURES})

    jobs = {}
    for name, recipe in (("reference", REFERENCE), ("default", DEFAULT)):
        asked = {**recipe, "dataset": dataset, "training": {**recipe.get("training", {}), **training}}
        with watch.step(f"pretrain_{name}"):
            jobs[name] = client.train(f"pretrain {name}", asked)

    codes: dict[str, Floats] = {}
    scores: dict[str, dict[str, float]] = {}
    rebuilt: dict[str, Floats] = {}
    for name, job in jobs.items():
        with watch.step(f"embed_{name}"):
            train_codes = np.array(client.embeddings(job["model"], train_rows))
            codes[name] = np.array(client.embeddings(job["model"], test_rows))
        with watch.step(f"reconstruct_{name}"):
            answers = client.reconstructions(job["model"], test_rows)
        rebuilt[name] = np.array([answer["reconstruction"] for answer in answers]) / 255
        scores[name] = {
            "mse": float(np.mean([answer["error"] for answer in answers])),
            "knn_accuracy": digits.neighbour_accuracy(train_codes, data.train_labels, codes[name], data.test_labels),
        }

    with watch.step("pca"):
        pca = digits.Pca.fit(data.train_images, DIMENSIONS)
        codes["pca"], rebuilt["pca"] = pca.codes(data.test_images), pca.reconstruct(data.test_images)
        scores["pca"] = {
            "mse": float(((rebuilt["pca"] - digits.flat(data.test_images)) ** 2).mean()),
            "knn_accuracy": digits.neighbour_accuracy(
                pca.codes(data.train_images), data.train_labels, codes["pca"], data.test_labels
            ),
        }

    encoder = jobs["default"]["spec"]["roles"]["input"]["encoder"] | {"dimensions": None}  # a graft reads the features
    recipes: dict[str, dict[str, Any]] = {
        "fine_tuned": {"kind": "finetune", "name": "digits-grafted", "base_model": jobs["default"]["model"]},
        "from_scratch": {"kind": "pretrain", "name": "digits-from-scratch", "encoder": encoder},
    }
    right: dict[str, list[float]] = {name: [] for name in recipes}
    for draw_number in range(draws):
        with watch.step("upload_few"):
            few = client.dataset("few.npz", data.few(FEW_PER_CLASS, draw_number), {"name": "few-digits", **PICTURES})
        for name, recipe in recipes.items():
            asked = {**recipe, "dataset": few, "objective": {"name": "classification"}, "training": training}
            with watch.step(name):
                model = client.train(f"100 labels, {name.replace('_', ' ')}", asked)["model"]
            with watch.step(f"predict_{name}"):
                said = np.array([answer["label"] for answer in client.predictions(model, test_rows)])
            right[name].append(float((said == data.test_labels).mean()))
    few_labels: dict[str, Any] = {"labels": FEW_PER_CLASS * len(np.unique(data.labels)), "draws": draws}
    for name, accuracies in right.items():
        few_labels |= {f"{name}_accuracy": float(np.mean(accuracies)), f"{name}_accuracies": accuracies}

    with watch.step("pictures"):
        draw(output, data, codes, rebuilt, scores)
    return {"models": scores, "few_labels": few_labels}


def draw(
    output: Path,
    data: digits.Digits,
    codes: dict[str, Floats],
    rebuilt: dict[str, Floats],
    scores: dict[str, dict[str, float]],
) -> None:
    from app.demo import pictures  # matplotlib takes a while to import

    output.mkdir(parents=True, exist_ok=True)
    shown = [int(np.flatnonzero(data.test_labels == label)[0]) for label in np.unique(data.labels)][:SHOWN_DIGITS]
    rows = {name: images[shown].reshape(-1, 28, 28) for name, images in rebuilt.items()}
    errors = {name: score["mse"] for name, score in scores.items()}
    pictures.draw_reconstructions(output / "reconstructions.png", data.test_images[shown], rows, errors)
    titles = {
        f"{title}: {scores[name]['knn_accuracy']:.1%} by 10 nearest neighbours": codes[name]
        for name, title in (("pca", "PCA"), ("default", "Rootstock's default"))
    }
    pictures.draw_maps(output / "embeddings.png", titles, data.test_labels)


def show(report: dict[str, Any], output: Path) -> None:
    """Prints the report as tables, and where the files are."""
    models = [
        [name, f"{score['mse']:.4f}", f"{100 * score['knn_accuracy']:.1f} %"]
        for name, score in report["models"].items()
    ]
    few = report["few_labels"]
    accuracies = [
        [
            title,
            f"{100 * few[f'{name}_accuracy']:.1f} %",
            "  ".join(f"{100 * each:.1f}" for each in few[f"{name}_accuracies"]),
        ]
        for name, title in (
            ("fine_tuned", "fine-tuned from digits-default"),
            ("from_scratch", "same network from scratch"),
        )
    ]
    seconds = [[name.replace("_", " "), f"{value:.1f} s"] for name, value in report["seconds"].items()]
    print()
    print(table(["8 numbers per digit", "mean squared error, pixels 0 to 1", "10-nearest-neighbour accuracy"], models))
    print()
    heads = [
        f"classifier from {few['labels']} labels",
        "accuracy on the test split",
        f"in {few['draws']} draws of labels, %",
    ]
    print(table(heads, accuracies))
    print()
    print(table(["step", "time"], seconds))
    print(f"\nWritten: {output}/reconstructions.png, {output}/embeddings.png, {output}/report.json")


@contextlib.contextmanager
def _termination_is_ctrl_c() -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
