"""Randomised iteration finds what a full decomposition finds, of dense, sparse and deficient matrices."""

import pytest
import torch

from app.ml.decomposition import factorisation
from app.ml.decomposition.factorisation import Block, Sparse, eigen, largest, leading, merged


def spectrum(rows: int, columns: int) -> torch.Tensor:
    """A matrix whose singular values fall like 1 / n."""
    torch.manual_seed(0)
    left, right = torch.linalg.qr(torch.randn(rows, 40)).Q, torch.linalg.qr(torch.randn(columns, 40)).Q
    matrix: torch.Tensor = left @ torch.diag(1 / torch.arange(1, 41)) @ right.T
    return matrix


def test_leading_directions_are_those_of_the_full_decomposition() -> None:
    matrix = spectrum(300, 200)
    torch.manual_seed(1)
    vectors, values = leading(lambda basis: matrix.T @ (matrix @ basis), 200, 10)
    wanted = torch.linalg.svd(matrix)
    torch.testing.assert_close(values.sqrt(), wanted.S[:10], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close((vectors.T @ wanted.Vh[:10].T).abs(), torch.eye(10), atol=2e-2, rtol=0)


@pytest.mark.parametrize(("dense", "widest"), [(1024, 4096), (10, 4096), (10, 50)])
def test_largest_eigenvalues_may_be_negative(dense: int, widest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factorisation, "DENSE", dense)
    monkeypatch.setattr(factorisation, "WIDEST", widest)
    torch.manual_seed(0)
    size = 300
    axes = torch.linalg.qr(torch.randn(size, 40)).Q
    values = 1 / torch.arange(1.0, 41) * torch.tensor([1.0, -1.0]).repeat(20)
    matrix = axes @ torch.diag(values) @ axes.T
    vectors, found = largest(lambda basis: matrix @ basis, size, 10)
    torch.testing.assert_close(found, values[:10].abs(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close((vectors.T @ axes[:, :10]).abs(), torch.eye(10), atol=2e-2, rtol=0)


def test_missing_directions_are_zero() -> None:
    one = torch.outer(torch.arange(5.0), torch.arange(5.0))
    for vectors, values in (eigen(one, 8), leading(lambda basis: one @ basis, 5, 8)):
        assert vectors.shape == (5, 8)
        assert vectors[:, 1:].abs().max() == 0
        torch.testing.assert_close(values, torch.tensor([30.0] + [0.0] * 7), rtol=1e-4, atol=1e-4)
    assert eigen(torch.zeros(3, 3), 2)[0].abs().sum() == 0


def test_sparse_blocks_multiply_like_the_dense_matrix() -> None:
    torch.manual_seed(0)
    dense = torch.randn(9, 7) * (torch.rand(9, 7) < 0.3)
    dense[4] = 0
    matrix = Sparse(7)
    blocks = []
    for part in (dense[:2], dense[2:5], dense[5:]):
        rows, columns = part.nonzero(as_tuple=True)
        blocks.append(Block.of(rows, columns, part[rows, columns], len(part)))
    matrix.add(merged(blocks[:2]))
    matrix.add(blocks[2])
    told: list[None] = []
    basis = torch.randn(7, 3)
    torch.testing.assert_close(matrix.gram(lambda: told.append(None))(basis), dense.T @ dense @ basis)
    assert len(told) == 2
    assert matrix.rows == 9
