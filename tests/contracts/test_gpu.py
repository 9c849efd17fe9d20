"""Every objective on every encoder that fits, on a GPU: it gives the answers, the loss and the metrics of the CPU."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from app.ml.artifact import bound, show
from app.ml.decomposition.dictionary import PatchComponents
from app.ml.tensors.shapes import Shape
from tests.contracts.specimens import Pair, pairs
from worker.step.devices import Devices
from worker.step.gradients import Gradients
from worker.step.graphs import Graphs

HERE = torch.cuda.is_available()
pytestmark = pytest.mark.skipif(not HERE, reason="no GPU here")
GPU = torch.device("cuda")
ALL = [pytest.param(pair, id=str(pair)) for pair in pairs() if HERE]  # else each test is skipped once


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.parametrize("pair", ALL)
def test_answers_loss_and_metrics_are_those_of_the_cpu(pair: Pair) -> None:
    network, batch = pair.build().eval(), pair.batch()
    moved, there = copy.deepcopy(network).to(GPU), batch.to(GPU)
    with torch.inference_mode():
        expected, loss = network.loss(batch), moved.loss(there)
        assert loss.count == expected.count
        assert float(loss.sum) == pytest.approx(float(expected.sum), rel=1e-4, abs=1e-4)
        metrics = moved.metrics([there])
        assert metrics == pytest.approx(network.metrics([batch]), rel=1e-3, abs=1e-3)
    asked = batch.roles[pair.objective.request_role]
    on_gpu = {name: tensor.to(GPU) for name, tensor in asked.items()}
    for ability in sorted(pair.objective.abilities):
        wanted, answer = show(network, ability, asked), show(moved, ability, on_gpu).cpu()
        assert float((answer - wanted).abs().max()) <= bound(wanted), ability


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("pair", ALL)
def test_every_weight_gets_a_gradient(pair: Pair, precision: torch.dtype) -> None:
    network, batch = pair.build().train().to(GPU), pair.batch().to(GPU)
    with torch.autocast("cuda", dtype=precision, enabled=precision == torch.bfloat16):
        loss = network.loss(batch)
    assert loss.sum.dtype == torch.float32
    loss.sum.backward()  # type: ignore[no-untyped-call]
    idle = [
        name
        for name, weight in network.named_parameters()
        if weight.requires_grad and (weight.grad is None or not weight.grad.isfinite().all())
    ]
    assert idle == []


def after_three_batches(pair: Pair, precision: torch.dtype, *, recorded: bool) -> tuple[Graphs, Tensor, Tensor, Tensor]:
    """The programs, and of the third batch the loss and the gradient, and all buffers."""
    network = pair.build().train().to(GPU)
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight) if weight.requires_grad else None
    graphs = Graphs(network, len(pair.batch().rows), lambda: precision)
    bf16 = partial(torch.autocast, "cuda", dtype=precision, enabled=precision == torch.bfloat16)
    gradients = Gradients(network, GPU, Devices(), bf16, graphs=graphs if recorded else None)
    for seed in (1, 2, 3):
        network.zero_grad(set_to_none=False)
        batch = pair.batch(seed=seed)
        rolled = {role: {k: t.roll(seed, 0) for k, t in part.items()} for role, part in batch.roles.items()}
        loss = gradients.add(replace(batch, roles=rolled, rows=batch.rows.roll(seed)), 1)
    found = torch.cat([weight.grad.flatten() for weight in network.parameters() if weight.grad is not None])
    return graphs, loss.sum, found, torch.cat([loss.sum[None], *(each.float().flatten() for each in network.buffers())])


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("pair", ALL)
def test_a_recorded_step_gives_the_gradient_of_any_batch(pair: Pair, precision: torch.dtype) -> None:
    graphs, loss, gradient, buffers = after_three_batches(pair, precision, recorded=True)
    _, exact_loss, exact, exact_buffers = after_three_batches(pair, precision, recorded=False)
    assert float(loss) == pytest.approx(float(exact_loss), rel=1e-3, abs=1e-4)
    assert float((gradient - exact).norm()) <= 1e-3 * float(exact.norm())
    assert torch.allclose(buffers, exact_buffers, rtol=1e-3, atol=1e-4)
    if pair.objective.name == "classification" and pair.encoder.name in ("mlp", "cnn"):
        assert any(graphs.programs.values()), "nothing was recorded"


@pytest.mark.parametrize("pair", ALL)
def test_weights_that_are_computed_from_rows_are_computed_there(pair: Pair) -> None:
    network, batch = pair.build().to(GPU), pair.batch()
    network.begin(lambda *_: iter([batch]))
    assert all(weight.isfinite().all() for weight in network.state_dict().values())
    assert network.train().loss(batch.to(GPU)).sum.isfinite()


def test_components_of_patches_are_those_of_the_cpu() -> None:
    random, place = torch.Generator().manual_seed(0), torch.linspace(0, 1, 96)
    waves = torch.stack([torch.cos(each * torch.pi * place) / each for each in range(1, 5)])  # [4, 96]
    loud = torch.randn(40, 3, 4, 4, generator=random) * torch.tensor([1.0, 0.6, 0.3])[:, None, None]
    pictures = torch.einsum("bcij,ih,jw->bchw", loud, waves, waves)  # of noise no axis is longer than another
    here = PatchComponents(Shape("grid", (3, 96, 96)), 8)
    there = PatchComponents(Shape("grid", (3, 96, 96)), 8).to(GPU)
    for each in (here, there):
        each.fill(lambda: iter(torch.split(pictures, 16)))
    expected, given = here(pictures), there(pictures.to(GPU)).cpu()
    # an axis may point either way
    assert torch.allclose(given.abs(), expected.abs(), rtol=1e-2, atol=1e-2 * float(expected.abs().max()))
