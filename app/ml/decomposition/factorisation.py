"""Leading directions of large matrices by randomised subspace iteration (Halko, Martinsson & Tropp 2011).

A matrix is given by what it does to a few vectors, so that it may be streamed or sparse. Knows no text and no network.
Legend: `N` rows, `F` columns, `Q` vectors, `T` entries that are not zero.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

MORE = 16
"""Vectors that are carried beside those asked for: the wanted ones converge the faster."""
PASSES, STEPS = 5, 8
DENSE, WIDEST = 1024, 4096
"""Sides up to which a matrix is written out, and vectors of a Krylov space: more would take too much memory."""
BLOCK_ENTRIES = 4_000_000
"""Entries of a sparse block: its products take a fraction of a second."""

Apply = Callable[[Tensor], Tensor]


def leading(apply: Apply, size: int, rank: int, *, passes: int = PASSES) -> tuple[Tensor, Tensor]:
    """The `rank` leading eigenvectors [size, rank] and eigenvalues [rank] of a symmetric matrix without negative ones.

    `apply` multiplies it with [size, Q]; it is called `passes` times. Directions that the matrix does not have are
    zero. Begins at vectors from torch's global random state.
    """
    width = min(size, rank + MORE)
    basis = torch.linalg.qr(torch.randn(size, width)).Q
    for _ in range(passes - 1):
        basis = torch.linalg.qr(apply(basis)).Q
    turns, values = eigen(basis.T @ apply(basis), rank)
    return basis @ turns, values


def largest(apply: Apply, size: int, rank: int) -> tuple[Tensor, Tensor]:
    """The `rank` eigenvectors [size, rank] of a symmetric matrix with the largest eigenvalues [rank] by their amount.

    By a block Krylov space, kept orthogonal (Golub & Underwood 1977, Musco & Musco 2015): it holds `STEPS` blocks of a
    little more than half as many vectors as are asked for, and multiplies each twice, since the square has the same
    vectors and their order. Signs are lost; directions that the matrix does not have are zero. Begins at vectors from
    torch's global random state.
    """

    def square(basis: Tensor) -> Tensor:
        return apply(apply(basis))

    width = rank // 2 + MORE // 2
    whole = width * STEPS
    if size <= DENSE:
        vectors, squares = eigen(square(torch.eye(size)), rank)
        return vectors, squares.sqrt()
    if whole > min(size, WIDEST):
        vectors, squares = leading(square, size, rank)
        return vectors, squares.sqrt()
    basis, image = torch.zeros(size, whole), torch.zeros(whole, whole)
    block = torch.linalg.qr(torch.randn(size, width)).Q
    for end in range(width, whole + 1, width):
        basis[:, end - width : end] = block
        known, block = basis[:, :end], square(block)
        image[:end, end - width : end] = known.T @ block
        if end < whole:
            for _ in range(2):  # the second time takes what rounding left of directions that the matrix lacks
                block = torch.linalg.qr(block - known @ (known.T @ block)).Q
    turns, squares = eigen(image.triu() + image.triu(1).T, rank)
    return basis @ turns, squares.sqrt()


def eigen(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The `rank` leading eigenvectors [F, rank] and eigenvalues [rank] of a symmetric matrix without negative ones.

    Vectors of directions that the matrix [F, F] does not have are zero.
    """
    values, vectors = torch.linalg.eigh((matrix + matrix.T).double() / 2)
    values, vectors = values.flip(0)[:rank], vectors.flip(1)[:, :rank]
    there = values > 1e-7 * values[:1].clamp(min=1e-30)
    missing = rank - len(values)
    values, vectors = values * there, vectors * there
    return pad(vectors, (0, missing)).float(), pad(values, (0, missing)).float()


@dataclass(frozen=True)
class Block:
    """Some rows of a sparse matrix."""

    starts: Tensor
    """[rows + 1] int64: where each row begins."""
    columns: Tensor
    """[T] int64"""
    values: Tensor
    """[T] float32"""

    @classmethod
    def of(cls, rows: Tensor, columns: Tensor, values: Tensor, count: int) -> "Block":
        """From entries ordered by their `rows` [T], which are below `count`."""
        starts = np.zeros(count + 1, np.int64)  # NumPy's calls are short, and many blocks are small
        np.cumsum(np.bincount(rows.cpu().numpy(), minlength=count), out=starts[1:])
        return cls(torch.from_numpy(starts).to(rows.device), columns, values)

    def to(self, device: torch.device) -> "Block":
        """The same there."""
        return Block(self.starts.to(device), self.columns.to(device), self.values.to(device))

    def times(self, dense: Tensor) -> Tensor:
        """[rows, Q] of `dense` [F, Q]. Sums of embeddings are sparse products, and far faster than those of CSR."""
        return embedding_bag(
            self.columns,
            dense.contiguous(),  # a QR lays columns in one piece, and rows in many are gathered ten times as slowly
            self.starts,
            mode="sum",
            per_sample_weights=self.values,
            include_last_offset=True,
        )

    def transposed(self, width: int) -> "Block":
        """The block on its side; `width` is F."""
        order = self.columns.argsort(stable=True)
        rows = torch.repeat_interleave(self.starts.diff())
        return Block.of(self.columns[order], rows[order], self.values[order], width)


class Sparse:
    """A sparse matrix [N, F] in blocks of rows."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.blocks: list[Block] = []

    @property
    def rows(self) -> int:
        return sum(len(block.starts) - 1 for block in self.blocks)

    def add(self, block: Block) -> None:
        """Appends rows."""
        self.blocks.append(block)

    def gram(self, tell: Callable[[], None]) -> Apply:
        """Multiplication by the transpose times the matrix [F, F]; `tell` is called after every block."""
        pairs = [(block, block.transposed(self.width)) for block in self.blocks]

        def apply(dense: Tensor) -> Tensor:
            total = torch.zeros_like(dense)
            for block, side in pairs:
                total += side.times(block.times(dense))
                tell()
            return total

        return apply

    def product(self, tell: Callable[[], None]) -> Apply:
        """Multiplication by the matrix itself, which is square; `tell` is called after every block."""

        def apply(dense: Tensor) -> Tensor:
            parts = []
            for block in self.blocks:
                parts.append(block.times(dense))
                tell()
            return torch.cat(parts)

        return apply


def merged(blocks: Sequence[Block]) -> Block:
    """The rows of all blocks, one after the other."""
    counts = torch.cat([block.starts.diff() for block in blocks])
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    columns, values = (torch.cat([getattr(block, name) for block in blocks]) for name in ("columns", "values"))
    return Block(starts, columns, values)
