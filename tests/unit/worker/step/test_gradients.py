"""A batch has one gradient, in however many parts it is computed."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from app.ml.objectives.autoencoding import Autoencoding
from app.ml.objectives.base import Comparison
from app.ml.objectives.base import network as network_module
from app.ml.tensors.batch import Loss
from app.ml.tensors.equal_items import first_equal
from tests.contracts.specimens import Pair, pairs
from worker.step.devices import Devices
from worker.step.gradients import Gradients

PAIRS = {
    name: next(pair for pair in pairs() if str(pair).startswith(name))
    for name in ("autoencoding-mlp", "contrastive-mlp", "vicreg-mlp", "contrastive-transformer-text", "alignment")
}


def gradient(pair: Pair, parts: int, rows: int) -> tuple[Loss, dict[str, torch.Tensor]]:
    network = pair.build().eval()  # without noise, which parts draw for themselves
    network.requires_grad_(True)
    loss = Gradients(network, torch.device("cpu"), Devices(), nullcontext).add(pair.batch(rows), parts)
    return loss, {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("parts", [2, 3])
def test_parts_give_the_gradient_of_the_whole(name: str, parts: int) -> None:
    (whole, expected), (pieces, given) = (gradient(PAIRS[name], count, rows=7) for count in (1, parts))
    assert pieces.count == whole.count == 7
    torch.testing.assert_close(pieces.sum, whole.sum, rtol=1e-4, atol=1e-5)
    assert given.keys() == expected.keys()
    for weight, grad in expected.items():
        torch.testing.assert_close(given[weight], grad, rtol=1e-3, atol=1e-5, msg=weight)


@pytest.mark.parametrize(
    "name", ["next_token-transformer", "contrastive-transformer-text", "alignment-transformer-text", "translation"]
)
@pytest.mark.parametrize("parts", [1, 2])
def test_long_texts_are_computed_in_parts_of_one_length(name: str, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the gradient of the whole, and without its padding."""
    pair = next(pair for pair in pairs() if str(pair).startswith(name))
    network, batch = pair.build().eval().requires_grad_(True), pair.batch(7)
    for number, rows in enumerate(batch.roles.values()):
        lengths = torch.tensor([4, 1, 3, 2, 4, 1, 2]).roll(number)
        rows["mask"] = torch.arange(rows["mask"].shape[1]) < lengths[:, None]
        rows["values"] = rows["values"] * rows["mask"]
    batch = replace(batch, views=(batch.roles,) * len(batch.views))
    given, cuts = [], []
    for places in (None, 8):
        monkeypatch.setattr(network_module, "PLACES", places)
        network.zero_grad()
        loss = Gradients(network, torch.device("cpu"), Devices(), nullcontext).add(batch, parts)
        given.append([loss.sum, *(weight.grad.clone() for weight in network.parameters() if weight.grad is not None)])
        cuts.append(batch.parts(parts, places))
    assert len(cuts[1]) > len(cuts[0]) == parts
    for part in cuts[1]:
        longest = [int(rows["mask"].sum(1).max()) for rows in part.roles.values()]
        assert [rows["values"].shape[1] for rows in part.roles.values()] == longest
        assert len(part.rows) == 1 or len(part.rows) * sum(longest) <= 8 + len(part.rows)
    assert sorted(torch.cat([part.rows for part in cuts[1]]).tolist()) == sorted(batch.rows.tolist())
    for whole, pieces in zip(*given, strict=True):
        torch.testing.assert_close(pieces, whole, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("told", [False, True])
def test_parts_of_pairs_give_the_gradient_of_those_that_are_partners(told: bool) -> None:
    """What is equal lies in different parts."""
    given = []
    for parts in (1, 3):
        network, batch = PAIRS["alignment"].build().eval().requires_grad_(True), PAIRS["alignment"].batch(7)
        for tensor in batch.roles["left"].values():
            tensor[6] = tensor[0]
        if told:
            batch = replace(batch, equals={role: first_equal(items) for role, items in batch.roles.items()})
        loss = Gradients(network, torch.device("cpu"), Devices(), nullcontext).add(batch, parts)
        given.append([loss.sum, *(weight.grad for weight in network.parameters() if weight.grad is not None)])
    for whole, pieces in zip(*given, strict=True):
        torch.testing.assert_close(pieces, whole, rtol=1e-3, atol=1e-5)


def test_parts_of_a_table_give_the_gradient_of_its_distances() -> None:
    stressed = Autoencoding(residual=True, stress=1.0)
    pair = replace(PAIRS["autoencoding-mlp"], objective=stressed, dimensions=5)
    given = []
    for parts in (1, 3):
        network = pair.build().train()
        assert isinstance(network, Comparison)
        loss = Gradients(network, torch.device("cpu"), Devices(), nullcontext).add(pair.batch(7), parts)
        given.append([loss.sum, *(weight.grad for weight in network.parameters() if weight.grad is not None)])
    for whole, pieces in zip(*given, strict=True):
        torch.testing.assert_close(pieces, whole, rtol=1e-3, atol=1e-5)


def test_a_comparison_in_parts_draws_the_same_noise_twice() -> None:
    """The second representation of a part must be the one that the loss has seen."""
    pair = PAIRS["contrastive-mlp"]
    network, batch = pair.build().train(), pair.batch(8)
    assert isinstance(network, Comparison)
    Gradients(network, torch.device("cpu"), Devices(), nullcontext).add(batch, 2)
    given = {name: weight.grad for name, weight in network.named_parameters()}
    parts = batch.parts(2)
    twin = pair.build().train()
    assert isinstance(twin, Comparison)
    loss = twin.loss_from(torch.cat([twin.represent(part) for part in parts]), batch)
    (loss.sum / 8).backward()  # type: ignore[no-untyped-call]
    for name, weight in twin.named_parameters():
        torch.testing.assert_close(given[name], weight.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("rows", "count", "sizes"), [(7, 3, [2, 2, 3]), (6, 2, [3, 3]), (2, 4, [2]), (5, 1, [5])])
def test_parts_of_a_batch_are_its_rows_in_order(rows: int, count: int, sizes: list[int]) -> None:
    batch = PAIRS["autoencoding-mlp"].batch(rows, seed=7)
    parts = batch.parts(count)
    assert [len(part.rows) for part in parts] == sizes
    assert torch.equal(torch.cat([part.rows for part in parts]), batch.rows)
    assert torch.equal(torch.cat([p.roles["input"]["values"] for p in parts]), batch.roles["input"]["values"])
    assert parts[0].seed == 7
    assert len({part.seed for part in parts}) == len(parts)
