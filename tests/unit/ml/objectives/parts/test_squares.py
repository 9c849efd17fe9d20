"""Mean squared errors in few passes are those of plain operations, and so are their gradients."""

import pytest
import torch

from app.ml.objectives.parts.squares import mean_squares


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("shape", [(5, 7), (3, 2, 4, 5), (1, 1)])
def test_values_and_gradients_are_those_of_plain_operations(shape: tuple[int, ...], bounded: bool) -> None:
    values = torch.randn(shape)
    ours = torch.randn(shape).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    weights = torch.rand(shape[0])
    given = mean_squares(ours, values, bounded=bounded)
    expected = ((theirs.sigmoid() if bounded else theirs) - values).square().flatten(1).mean(1)
    torch.testing.assert_close(given, expected)
    (given * weights).sum().backward()  # type: ignore[no-untyped-call]
    (expected * weights).sum().backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_no_difference_has_no_gradient() -> None:
    values = torch.zeros(2, 3)
    drawn = torch.zeros(2, 3, requires_grad=True)
    mean_squares(drawn, values).sum().backward()  # type: ignore[no-untyped-call]
    assert drawn.grad is not None
    assert not drawn.grad.any()
