"""Components are those of the exact decomposition, whether all products are summed or a few directions followed."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from app.errors import OutOfRange
from app.ml.decomposition import components
from app.ml.encoders.linear import Linear
from app.ml.modalities.vectors import Vectors
from app.ml.objectives.base import Role
from app.ml.objectives.pca import Components, Pca
from app.ml.tensors.batch import Batch


def solved(rows: np.ndarray[tuple[int, int], np.dtype[np.float32]], dimensions: int) -> Components:
    fitted = Vectors(scaling="none").fit([rows])
    network = Pca().build({"input": Role(fitted, Linear(dimensions=dimensions).build(fitted.shape), dimensions)})

    def stream(most: int | None = None) -> Iterator[Batch]:
        for first in range(0, len(rows), 100):
            part = rows[first : first + 100]
            yield Batch({"input": fitted.encode(part)}, torch.arange(first, first + len(part)))

    torch.manual_seed(0)
    network.solve(stream, lambda share: None)
    return network.requires_grad_(False)


@pytest.mark.parametrize("exact", [2048, 10])
def test_no_linear_code_rebuilds_better(exact: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "EXACT", exact)
    draw = np.random.default_rng(0)
    rows = (draw.normal(size=(450, 40)) @ draw.normal(size=(40, 40)) + 1000).astype(np.float32)
    network = solved(rows, 6)
    inputs = {"values": torch.from_numpy(rows)}
    error = float((network.reconstruct(inputs) - inputs["values"]).square().mean())
    least = (
        float(torch.linalg.svdvals((inputs["values"] - inputs["values"].mean(0)).double())[6:].square().sum()) / 18_000
    )
    assert error == pytest.approx(least, rel=0.02)
    assert network.embed(inputs).mean(0).abs().max() < 0.1


def test_rows_that_never_change_are_rebuilt() -> None:
    rows = np.full((20, 5), 3, np.float32)
    network = solved(rows, 3)
    inputs = {"values": torch.from_numpy(rows)}
    assert network.embed(inputs).abs().max() == 0
    torch.testing.assert_close(network.reconstruct(inputs), inputs["values"])


def test_there_are_no_more_components_than_numbers() -> None:
    with pytest.raises(OutOfRange, match="a row has 5 numbers"):
        solved(np.zeros((4, 5), np.float32), 6)
