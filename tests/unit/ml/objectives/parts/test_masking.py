"""Random numbers of a row, and the parts that they hide."""

import pytest
import torch

from app.ml.objectives.parts import masking
from app.ml.tensors.random_numbers import uniform


def test_numbers_belong_to_seed_row_and_place() -> None:
    drawn = uniform(torch.arange(2000), 7, 50)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.005)
    assert drawn.std().item() == pytest.approx(12**-0.5, abs=0.005)
    assert torch.corrcoef(drawn.T[:20]).fill_diagonal_(0).abs().max() < 0.1
    assert torch.equal(uniform(torch.tensor([9, 4]), 7, 20), drawn[[9, 4], :20])
    assert not torch.equal(uniform(torch.arange(2000), 8, 50), drawn)


@pytest.mark.parametrize(("ratio", "parts", "count"), [(0.75, 16, 12), (0.01, 10, 1), (0.99, 10, 9), (0.3, 2, 1)])
def test_something_is_hidden_and_something_seen(ratio: float, parts: int, count: int) -> None:
    where = masking.hidden(torch.arange(30), 0, ratio, parts)
    assert where.shape == (30, parts)
    assert (where.sum(1) == count).all()


def test_padding_is_never_hidden_and_a_word_always_is() -> None:
    mask = torch.arange(40) < torch.tensor([[1], [7], [40]])
    where = masking.hidden_tokens(uniform(torch.arange(3), 0, mask.shape[1]), 0.3, mask)
    assert not where[~mask].any()
    assert (where.sum(1) >= 1).all()
    many = masking.hidden_tokens(uniform(torch.arange(500), 0, 40), 0.3, torch.ones(500, 40, dtype=torch.bool))
    assert many.float().mean().item() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(("ratio", "parts", "count"), [(0.75, 16, 2), (0.3, 10, 3), (0.1, 4, 4)])
def test_groups_share_out_all_parts(ratio: float, parts: int, count: int) -> None:
    groups = masking.groups(ratio, parts)
    assert len(groups) == count
    assert torch.equal(torch.stack(groups).sum(0), torch.ones(parts, dtype=torch.long))
