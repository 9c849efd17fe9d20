"""Every solved objective on what fits it: the same weights at every solving, answers in the documented shape."""

from collections.abc import Iterator

import pytest
import torch

from app.errors import RootstockError
from app.ml.objectives.base import Objective, Solved
from app.ml.tensors.batch import Batch
from tests.contracts.specimens import ROWS, Pair, pairs
from tests.contracts.test_objectives import part
from worker.progress import Stopped

ALL = [pytest.param(pair, id=str(pair)) for pair in pairs(solved=True)]


def solve(pair: Pair, rows: int = ROWS) -> tuple[Objective, list[float]]:
    """The solved network, and the shares that it told."""
    network, batch, shares = pair.build(seed=0), pair.batch(rows), list[float]()

    def stream(most: int | None = None) -> Iterator[Batch]:
        for first in range(0, rows, 4):
            yield part(batch, slice(first, first + 4))

    assert isinstance(network, Solved)
    torch.manual_seed(0)
    network.solve(stream, shares.append)
    return network.eval(), shares


@pytest.mark.parametrize("pair", ALL)
def test_a_restart_ends_with_the_same_weights(pair: Pair) -> None:
    (first, shares), (second, _) = solve(pair), solve(pair)
    weights, again = first.state_dict(), second.state_dict()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    assert all(tensor.isfinite().all() for tensor in weights.values() if tensor.is_floating_point())
    assert shares == sorted(shares)
    assert shares[-1] <= 1


@pytest.mark.parametrize("pair", ALL)
@pytest.mark.parametrize("rows", [ROWS, 2])
@torch.inference_mode()
def test_abilities_answer_in_the_documented_shape_even_after_two_rows(pair: Pair, rows: int) -> None:
    network, _ = solve(pair, rows)
    inputs = pair.batch(rows).roles["input"]
    for ability in pair.objective.abilities:
        answer = getattr(network, ability)(inputs)
        width = (pair.dimensions or network.encoders["input"].width,)
        assert answer.shape == ((rows, *width) if ability == "embed" else inputs["values"].shape)
        assert answer.isfinite().all()
    assert all(value == value for value in network.metrics([pair.batch(rows)]).values())


@pytest.mark.parametrize("pair", ALL)
@torch.inference_mode()
def test_loaded_into_a_fresh_network_it_answers_the_same(pair: Pair) -> None:
    network, _ = solve(pair)
    other, inputs = pair.build(seed=1).eval(), pair.batch().roles["input"]
    other.load_state_dict(network.state_dict())
    for ability in pair.objective.abilities:
        assert torch.equal(getattr(other, ability)(inputs), getattr(network, ability)(inputs))


@pytest.mark.parametrize("pair", ALL)
def test_it_leaves_when_asked_to(pair: Pair) -> None:
    def leave(share: float) -> None:
        raise Stopped

    network = pair.build()
    assert isinstance(network, Solved)
    with pytest.raises(Stopped):
        network.solve(lambda *_: iter([pair.batch()]), leave)
    assert not issubclass(Stopped, RootstockError)
