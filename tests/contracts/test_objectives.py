"""Every objective on every encoder that fits: its loss teaches all weights, and its abilities keep their promises."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from app.ml.artifact import Artifact
from app.ml.objectives.base import Comparison, Objective
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.runtime import onnx
from app.ml.tensors.batch import Batch
from tests.contracts.specimens import ROWS, Pair, fit, pairs
from tests.seeds import seed

ALL = [pytest.param(pair, id=str(pair)) for pair in pairs()]
ONE_EACH = {pair.objective.name: pair for pair in pairs()}
COMPARING = {name for name, pair in ONE_EACH.items() if isinstance(pair.build(), Comparison)}
"""Objectives that compare the rows of a batch with each other."""


def embeds(pair: Pair) -> bool:
    return "embed" in pair.objective.abilities


def part(batch: Batch, rows: slice) -> Batch:
    roles = {role: {name: tensor[rows] for name, tensor in held.items()} for role, held in batch.roles.items()}
    return Batch(roles, batch.rows[rows], batch.seed)


def teach(network: Objective, batch: Batch, steps: int) -> list[float]:
    """Losses of some steps on one batch, in training mode; seeded and cleared like the trainer's steps."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    network.train()
    for step in range(steps):
        seed(step)
        optimizer.zero_grad()
        loss = network.loss(batch)
        (loss.sum / loss.count).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        network.after_step(step + 1, steps)
        losses.append(loss.sum.item())
    return losses


@torch.inference_mode()
def judged(network: Objective, batch: Batch) -> float:
    loss = network.eval().loss(batch)
    return float(loss.sum) / loss.count


@torch.inference_mode()
def answers(network: Objective, pair: Pair, batch: Batch) -> dict[str, Tensor]:
    network.eval()
    items = batch.roles[pair.objective.request_role]
    return {
        name: getattr(network, name)(network.example_inputs(name, items)) for name in sorted(pair.objective.abilities)
    }


@pytest.mark.parametrize("pair", ALL)
def test_the_loss_is_finite_and_counts_rows_or_tokens(pair: Pair) -> None:
    network = pair.build()
    for training in (True, False):
        loss = network.train(training).loss(pair.batch())
        assert loss.sum.shape == ()
        assert loss.sum.isfinite()
        assert loss.sum.dtype == torch.float32
        assert loss.count >= ROWS, "rows, or what there is more of: tokens"


@pytest.mark.parametrize("pair", ALL)
def test_every_weight_gets_a_gradient(pair: Pair) -> None:
    network = pair.build().train()
    network.loss(pair.batch()).sum.backward()  # type: ignore[no-untyped-call]
    idle = [
        name
        for name, weight in network.named_parameters()
        if weight.requires_grad and (weight.grad is None or not weight.grad.isfinite().all() or not weight.grad.any())
    ]
    assert idle == []


@pytest.mark.parametrize("pair", ALL)
def test_some_steps_on_one_batch_lower_the_loss(pair: Pair) -> None:
    network, batch = pair.build(), pair.batch()
    before = judged(network, batch)
    for _ in range(20):  # a single linear map takes longer
        teach(network, batch, steps=5)
        if judged(network, batch) < 0.95 * before:
            return
    raise AssertionError(f"the loss only went from {before} to {judged(network, batch)}")


@pytest.mark.parametrize("pair", ALL)
def test_saved_and_loaded_weights_answer_the_same(pair: Pair) -> None:
    batch = pair.batch()
    network = pair.build(seed=0)
    teach(network, batch, steps=1)
    other = pair.build(seed=1)
    other.load_state_dict(load(save({name: t.contiguous() for name, t in network.state_dict().items()})))
    expected, given = answers(network, pair, batch), answers(other, pair, batch)
    assert all(torch.equal(expected[name], given[name]) for name in expected)


@pytest.mark.parametrize("pair", [pair for pair in pairs() if pair.dimensions], ids=str)
def test_the_same_seed_gives_the_same_losses(pair: Pair) -> None:
    first, second = (teach(pair.build(seed=5), pair.batch(seed=5), steps=3) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("pair", ALL)
@pytest.mark.parametrize("rows", [ROWS, 1])
def test_abilities_answer_in_the_documented_shape(pair: Pair, rows: int) -> None:
    network, batch = pair.build(), pair.batch(rows)
    given = answers(network, pair, batch)
    assert given.keys() == pair.objective.abilities
    assert all(answer.isfinite().all() for answer in given.values())
    if "embed" in given:
        encoder = network.encoders[pair.objective.request_role]
        assert given["embed"].shape == (rows, pair.dimensions or encoder.width)
    if "reconstruct" in given:
        assert given["reconstruct"].shape == batch.roles[pair.objective.request_role]["values"].shape
    if "generate" in given:
        assert len(given["generate"]) == rows
        if "mask" not in batch.roles[pair.objective.request_role]:
            assert given["generate"].shape == given["reconstruct"].shape
    if "predict" in given:
        target = pair.modalities["target"]
        settled = network.postprocess(given["predict"])
        assert settled.shape == (rows, *(fit(target).shape.size if target.layout != "boxes" else settled.shape[1:]))
        assert len(fit(target).render(settled)) == rows
        if target.layout == "classes":
            torch.testing.assert_close(given["predict"].sum(1), torch.ones(rows))


@pytest.mark.parametrize("pair", ALL)
def test_a_batch_of_one_can_be_learned_from(pair: Pair) -> None:
    assert all(math.isfinite(loss) for loss in teach(pair.build(), pair.batch(rows=1), steps=2))


@pytest.mark.parametrize("pair", [pair for pair in pairs() if pair.objective.name not in COMPARING], ids=str)
@torch.inference_mode()
def test_two_halves_sum_to_the_whole(pair: Pair) -> None:
    network, batch = pair.build().eval(), pair.batch()
    halves = [network.loss(part(batch, rows)) for rows in (slice(0, 2), slice(2, None))]
    whole = network.loss(batch)
    assert sum(half.count for half in halves) == whole.count
    torch.testing.assert_close(halves[0].sum + halves[1].sum, whole.sum, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pair", ALL)
@torch.inference_mode()
def test_metrics_are_numbers_and_hold_what_selects_weights(pair: Pair) -> None:
    network, batch = pair.build().eval(), pair.batch()
    metrics = network.metrics(iter([part(batch, slice(0, 2)), part(batch, slice(2, None))]))
    assert all(math.isfinite(value) for value in metrics.values())
    assert pair.objective.selection_metric[0] in {"loss", *metrics}
    whole = network.metrics(iter([batch]))
    assert metrics == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("pair", ALL)
@torch.inference_mode()
def test_validations_say_what_the_metrics_do(pair: Pair) -> None:
    network, batch = pair.build().eval(), pair.batch()
    loss, metrics, validation = (
        network.loss(batch),
        network.metrics(iter([batch])),
        network.validation_metrics(iter([batch])),
    )
    left_out = {name: value for name, value in metrics.items() if name not in validation}
    parts = {name: float(loss.parts[name]) / loss.count for name in left_out}
    assert parts == pytest.approx(left_out, rel=1e-4)


@pytest.mark.parametrize("pair", [pair for pair in pairs() if pair.objective.name in COMPARING], ids=str)
@torch.inference_mode()
def test_parts_are_represented_apart_and_compared_together(pair: Pair) -> None:
    network, batch = pair.build().eval(), pair.batch()
    assert isinstance(network, Comparison)
    parts = [network.represent(part(batch, rows)) for rows in (slice(0, 2), slice(2, None))]
    together = network.loss_from(torch.cat(parts), batch)
    torch.testing.assert_close(together.sum, network.loss(batch).sum, rtol=1e-4, atol=1e-5)
    assert together.count == ROWS


@pytest.mark.parametrize("pair", [ONE_EACH[name] for name in sorted(COMPARING)], ids=str)
@torch.inference_mode()
def test_what_bf16_represents_is_compared_in_fp32(pair: Pair) -> None:
    network, batch = pair.build().eval(), pair.batch()
    assert isinstance(network, Comparison)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        represented, loss = network.represent(batch), network.loss(batch)
    assert represented.dtype == torch.float32
    assert torch.equal(loss.sum, network.loss_from(represented, batch).sum)


@pytest.mark.parametrize("pair", [pair for pair in pairs() if pair.dimensions is None and embeds(pair)], ids=str)
def test_what_is_decided_by_default_can_be_traced(pair: Pair, tmp_path: Path) -> None:
    """Else torch alone would answer for what most people train."""
    asked = pair.objective.request_role
    data = TrainingData(fit(pair.modalities[asked]).shape, rows=1000, classes=3)
    settings, _ = pair.objective.default_settings(data)
    left = {key: value for key, value in settings.items() if getattr(pair.objective, key) is None}
    network = replace(pair, objective=pair.objective.model_copy(update=left)).build().eval().requires_grad_(False)
    inputs = pair.batch().roles[asked]
    golden = {"embed": network.embed(inputs)}  # type: ignore[operator]
    loaded = Artifact(network, {}, {}, ["embed"], None, asked, inputs, golden, size_bytes=0, extra={})
    onnx.export(loaded, "embed", tmp_path / onnx.FILE)
    assert onnx.faithful(onnx.Session(tmp_path / onnx.FILE, 1), loaded, "embed")
