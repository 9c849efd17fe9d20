from collections.abc import Iterator

import numpy as np
import pytest
import torch

from app.errors import OutOfRange
from app.ml.encoders.kernels import Kernels
from app.ml.modalities.vectors import Vectors
from app.ml.objectives.base import Role
from app.ml.objectives.rocket import RandomKernels, Rocket
from app.ml.tensors.batch import Batch
from app.ml.tensors.shapes import Column

STEPS = 40


def bursts(rows: int = 80) -> tuple[Column, torch.Tensor]:
    """Series of two channels with a fast or a slow wave somewhere in noise, and which it is."""
    random = np.random.default_rng(0)
    series, fast = random.normal(0, 0.2, (rows, STEPS, 2)), random.integers(0, 2, rows)
    for row, kind in enumerate(fast):
        start = random.integers(0, STEPS - 16)
        series[row, start : start + 16, 1] += np.sin(np.arange(16) * (1.8 if kind else 0.6))
    return series.reshape(rows, -1).astype(np.float32), torch.from_numpy(fast)


def solved(column: Column, dimensions: int | None = None) -> tuple[RandomKernels, torch.Tensor]:
    fitted = Vectors(channels=2).fit([column])
    torch.manual_seed(0)
    encoder = Kernels(kernels=60, channels=2, dimensions=dimensions)
    network = Rocket().build({"input": Role(fitted, encoder.build(fitted.shape), encoder.dimensions)})
    values = fitted.encode(column)["values"]

    def stream(most: int | None = None) -> Iterator[Batch]:
        for first in range(0, len(values), 7):
            piece = values[first : first + 7]
            yield Batch({"input": {"values": piece}}, torch.arange(len(piece)))

    network.solve(stream, lambda share: None)
    with torch.inference_mode():
        return network, network.embed({"values": values})


def test_series_are_near_those_that_hold_the_like_wherever_it_stands() -> None:
    column, fast = bursts()
    _, embedded = solved(column)
    unit = torch.nn.functional.normalize(embedded - embedded.mean(0))
    nearest = (unit @ unit.T).fill_diagonal_(-1).topk(5).indices
    assert (fast[nearest].float().mean(1).round() == fast).float().mean() > 0.9


def test_numbers_are_about_equally_loud() -> None:
    """Else the last components, which are noise, would be as loud as the first for those who scale columns."""
    _, embedded = solved(bursts()[0], dimensions=20)
    deviations = embedded.std(0)
    assert deviations.max() / deviations.min() < 4
    assert embedded.var(0).mean() == pytest.approx(1, abs=0.1)


def test_series_that_never_change_have_finite_embeddings() -> None:
    _, embedded = solved(np.full((10, 2 * STEPS), 3.0, np.float32))
    assert embedded.isfinite().all()


def test_more_dimensions_than_are_told_are_refused() -> None:
    with pytest.raises(OutOfRange, match="500 asked, and 142 numbers are told of a series"):
        solved(bursts()[0], dimensions=500)
