from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from app.ml.encoders.mlp import Mlp
from app.ml.modalities.vectors import Vectors
from app.ml.objectives.base import Role
from app.ml.objectives.denoising import Denoiser, Denoising
from app.ml.tensors.batch import Batch

Noise = Literal["gaussian", "masking", "salt_and_pepper"]
ROWS = np.random.default_rng(0).uniform(1, 9, (200, 30)).astype(np.float32)


def network(noise: Noise = "masking", strength: float = 0.25, scaling: str = "unit") -> tuple[Denoiser, Tensor]:
    fitted = Vectors.model_validate({"scaling": scaling}).fit([ROWS])
    role = Role(fitted, Mlp(widths=(8,)).build(fitted.shape), 4)
    return Denoising(noise=noise, strength=strength).build({"input": role}), fitted.encode(ROWS)["values"]


def damaged(built: Denoiser, values: Tensor, seed: int = 0) -> Tensor:
    return built.corrupt(Batch({"input": {"values": values}}, torch.arange(len(values)), seed))["values"]


@pytest.mark.parametrize("strength", [0.1, 0.5])
def test_masking_sets_a_share_of_the_values_to_zero(strength: float) -> None:
    built, values = network(strength=strength)
    seen = damaged(built, values)
    hit = seen != values
    assert (seen[hit] == 0).all()
    assert hit.float().mean().item() == pytest.approx(strength, abs=0.02)


@pytest.mark.parametrize(("scaling", "extremes"), [("unit", {0.0, 1.0}), ("standard", {-2.0, 2.0})])
def test_salt_and_pepper_sets_a_share_to_either_extreme(scaling: str, extremes: set[float]) -> None:
    built, values = network("salt_and_pepper", 0.4, scaling)
    seen = damaged(built, values)
    hit = seen != values
    assert set(seen[hit].tolist()) == extremes
    assert hit.float().mean().item() == pytest.approx(0.4, abs=0.02)
    assert (seen[hit] == max(extremes)).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_gaussian_adds_noise_of_the_strength() -> None:
    built, values = network("gaussian", 0.3)
    assert (damaged(built, values) - values).std().item() == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize("noise", ["gaussian", "masking", "salt_and_pepper"])
def test_noise_is_keyed_by_the_batch_and_leaves_it_alone(noise: Noise) -> None:
    built, values = network(noise)
    before = values.clone()
    assert torch.equal(damaged(built, values, 1), damaged(built, values, 1))
    assert not torch.equal(damaged(built, values, 1), damaged(built, values, 2))
    assert torch.equal(values, before)


def test_only_training_is_disturbed_and_the_clean_item_is_the_goal() -> None:
    built, values = network()
    batch = Batch({"input": {"values": values}}, torch.arange(len(values)), 3)
    expected = (built.reconstruct({"values": damaged(built, values, 3)}) - values).square().mean(1).sum()
    torch.testing.assert_close(built.train().loss(batch).sum, expected)
    built.eval()
    assert damaged(built, values) is values
    clean = (built.reconstruct({"values": values}) - values).square().mean(1).sum()
    torch.testing.assert_close(built.loss(batch).sum, clean)
