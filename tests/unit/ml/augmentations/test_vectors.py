"""Noise, gaps and exchanged numbers, in the shares that were asked for."""

from typing import Any

import torch

from app.ml.augmentations.base import Draw, augment
from app.ml.augmentations.vectors import VectorsAugmentation
from app.ml.modalities.vectors import Vectors
from app.ml.tensors.batch import Batch

ROWS = 2000
VALUES = torch.randn(ROWS, 20, generator=torch.Generator().manual_seed(0))


def changed(**given: Any) -> torch.Tensor:
    fitted = Vectors().fit([VALUES.numpy()])
    batch = Batch({"input": {"values": VALUES}}, torch.arange(ROWS))
    return augment(VectorsAugmentation(**given), batch, {"input": fitted}, seed=1).roles["input"]["values"]


def test_noise_has_the_asked_deviation() -> None:
    noise = changed(noise=0.5) - VALUES

    assert abs(float(noise.std()) - 0.5) < 0.01
    assert abs(float(noise.mean())) < 0.01


def test_masking_takes_the_asked_share() -> None:
    assert abs(float((changed(masking=0.3) == 0).float().mean()) - 0.3) < 0.01


def test_swapped_numbers_come_from_the_same_column() -> None:
    found = changed(swap=0.4)
    other = found != VALUES

    assert abs(float(other.float().mean()) - 0.4) < 0.01
    assert all(torch.isin(found[:, place], VALUES[:, place]).all() for place in range(20))


def test_draws_of_different_names_are_strangers() -> None:
    draw = Draw(torch.arange(ROWS), 0, 0)
    one, other = draw.uniform("one"), draw.uniform("other")

    assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 0.05
    assert 0 <= float(one.min()) <= float(one.max()) < 1
    assert sorted(draw.partners("pairs").tolist()) == list(range(ROWS))
    assert not (draw.partners("pairs") == torch.arange(ROWS)).any()
