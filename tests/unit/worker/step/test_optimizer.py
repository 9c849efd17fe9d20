"""One flat buffer moves the weights as an optimizer over all tensors would."""

import copy
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn

from app.ml.jobs.optimization import ResolvedTraining
from app.ml.objectives.base import Objective
from app.ml.objectives.translation import Translator
from tests.contracts.specimens import Pair, pairs
from worker.step.devices import Devices
from worker.step.gradients import Gradients
from worker.step.optimizer import FAST, Weights


def resolved(**values: Any) -> ResolvedTraining:
    usual: dict[str, Any] = {
        "epochs": 1,
        "batch_size": 6,
        "learning_rate": 1e-2,
        "optimizer": "adamw",
        "weight_decay": 0.1,
        "schedule": "constant",
        "warmup": 0.0,
        "clip_norm": 0.5,
        "precision": "fp32",
        "seed": 0,
        "early_stopping": None,
        "checkpoint_seconds": 60.0,
    }
    return ResolvedTraining.model_validate(usual | values)


@pytest.fixture(params=["autoencoding-mlp", "autoencoding-cnn-image", "autoencoding-rnn"])
def pair(request: pytest.FixtureRequest) -> Pair:
    return next(pair for pair in pairs() if str(pair).startswith(request.param))


def plainly(network: Objective, training: ResolvedTraining) -> torch.optim.Optimizer:
    decaying = [weight for weight in network.parameters() if weight.ndim > 1]
    others = [weight for weight in network.parameters() if weight.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decaying}, {"params": others, "weight_decay": 0.0}]
    if training.optimizer == "sgd":
        return torch.optim.SGD(groups, 1e-2, momentum=0.9, nesterov=True, weight_decay=0.1)
    return torch.optim.AdamW(groups, lr=1e-2, weight_decay=0.1)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_steps_are_those_of_one_optimizer_over_all_tensors(pair: Pair, optimizer: str, channels_last: bool) -> None:
    training = resolved(optimizer=optimizer)
    network, batch = pair.build().train(), pair.batch()
    twin = copy.deepcopy(network)
    if channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    weights, reference = Weights(network, training), plainly(twin, training)
    gradients = Gradients(network, torch.device("cpu"), Devices(), nullcontext)
    for step in range(5):
        weights.clear()
        gradients.add(batch, 1)
        weights.step(step, step / 5)
        reference.zero_grad()
        loss = twin.loss(batch)
        (loss.sum / loss.count).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
        reference.step()
    for (name, ours), theirs in zip(network.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4, msg=name)
        assert ours.data_ptr() % 64 == weights.values.data_ptr() % 64


def test_the_average_follows_the_weights_and_is_swapped_in_and_out(pair: Pair) -> None:
    network = pair.build().train()
    weights = Weights(network, resolved(ema=0.9))
    gradients = Gradients(network, torch.device("cpu"), Devices(), nullcontext)
    expected, average = weights.values.clone(), weights.average
    assert average is not None
    for step in range(20):
        weights.clear()
        gradients.add(pair.batch(), 1)
        weights.step(step, step / 20)
        kept = min(0.9, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * weights.values
    torch.testing.assert_close(average, expected)
    before = weights.values.clone()
    weights.swap()
    torch.testing.assert_close(weights.values, expected)
    weights.swap()
    assert torch.equal(weights.values, before)


def test_released_tensors_share_no_memory(pair: Pair) -> None:
    network = pair.build()
    weights = Weights(network, resolved())
    before = [weight.detach().clone() for weight in network.parameters()]
    weights.release()
    weights.values.zero_()
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize(("optimizer", "times"), [("adamw", FAST), ("sgd", 1.0)])
def test_what_is_quick_moves_farther_by_the_size_that_adam_gives_all_steps(optimizer: str, times: float) -> None:
    translator = next(pair for pair in pairs() if str(pair).startswith("translation-transformer"))
    network = translator.build().train()
    weights = Weights(network, resolved(optimizer=optimizer, weight_decay=0.0, clip_norm=None))
    fast = {id(weight) for weight in network.fast_weights}
    assert len(fast) == 2
    before = {name: weight.detach().clone() for name, weight in network.named_parameters()}
    weights.clear()
    weights.gradient.fill_(1.0)
    weights.step(0, 0.0)
    moved = {name: float((weight.detach() - before[name]).abs().max()) for name, weight in network.named_parameters()}
    for name, weight in network.named_parameters():
        expected = moved["words.bias"] * (times if id(weight) in fast else 1.0)
        assert moved[name] == pytest.approx(expected, rel=1e-3), name


def test_what_a_base_model_has_taught_is_not_quick() -> None:
    translator = next(pair for pair in pairs() if str(pair).startswith("translation-transformer")).build()
    translator.grafted = True
    assert isinstance(translator, Translator)
    assert [weight is translator.words.vectors for weight in translator.fast_weights] == [True]
