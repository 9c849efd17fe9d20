"""Sums of a table's rows, and what their gradient costs."""

import pytest
import torch
from torch.nn.functional import one_hot

from app.ml.decomposition.factorisation import Block
from app.ml.words.bags import Bags, summed


def drawn(rows: int = 7, features: int = 50, width: int = 4) -> tuple[Block, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    places = torch.arange(rows).repeat_interleave(5)
    columns = torch.randint(features, (len(places),), generator=random)
    weights = torch.rand(len(places), generator=random)
    return Block.of(places, columns, weights, rows), torch.randn(features, width, generator=random)


def test_sums_and_their_gradient_are_those_of_a_product_of_matrices() -> None:
    block, values = drawn()
    ours, plain = values.clone().requires_grad_(), values.clone().requires_grad_()
    matrix = torch.zeros(7, 50)
    for row in range(7):
        chosen = slice(int(block.starts[row]), int(block.starts[row + 1]))
        matrix[row] = block.values[chosen] @ one_hot(block.columns[chosen], 50).float()
    found, wanted = summed(block, ours), matrix @ plain
    torch.testing.assert_close(found, wanted)
    ours.grad = torch.ones_like(values)  # as a trainer does, which holds the memory
    held = ours.grad
    for sums in (found, wanted):
        sums.square().sum().backward()  # type: ignore[no-untyped-call]
    assert ours.grad is held
    assert plain.grad is not None
    torch.testing.assert_close(held - 1, plain.grad)


@pytest.mark.parametrize("held", [True, False])
def test_few_rows_of_a_large_table_leave_the_gradient_dense(*, held: bool) -> None:
    bags = Bags(100_000, 8)
    if held:
        bags.table.grad = torch.zeros_like(bags.table)
    words = torch.tensor([[7, 7, 11], [11, 99_999, 0]])
    bags(words, words > 0).sum().backward()
    gradient = bags.table.grad
    assert gradient is not None
    assert not gradient.is_sparse
    assert set(gradient.any(1).nonzero()[:, 0].tolist()) == {7, 11, 99_999}


def test_a_trainers_step_makes_no_gradient_of_the_whole_table() -> None:
    block, values = drawn()
    table = values.requires_grad_()
    kinds: list[torch.layout] = []
    table.register_hook(lambda gradient: kinds.append(gradient.layout))  # type: ignore[no-untyped-call]
    summed(block, table).sum().backward()  # type: ignore[no-untyped-call]
    summed(block, table).sum().backward()  # type: ignore[no-untyped-call]
    assert kinds == [torch.strided, torch.sparse_coo]
