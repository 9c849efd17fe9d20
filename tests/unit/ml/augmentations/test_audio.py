"""Recordings become louder by dB, move in time and pitch, and lose stretches of both."""

from typing import Any

import torch

from app.ml.augmentations.audio import AudioAugmentation
from app.ml.augmentations.base import augment
from app.ml.modalities.audio import Audio
from app.ml.tensors.batch import Batch
from tests.contracts.specimens import column, fit

FITTED = fit(Audio())
VALUES = FITTED.encode(column(Audio()))["values"]  # [6, 1, M, F]


def changed(**given: Any) -> torch.Tensor:
    batch = Batch({"input": {"values": VALUES}}, torch.arange(6))
    return augment(AudioAugmentation(**given), batch, {"input": FITTED}, seed=2).roles["input"]["values"]


def test_gain_is_the_same_in_every_mel_and_frame() -> None:
    before, after = (torch.tensor(FITTED.render(values)) for values in (VALUES, changed(gain=6)))
    gain = after - before

    assert (gain.amax((1, 2)) - gain.amin((1, 2))).max() < 1e-3
    assert 0.5 < float(gain.abs().max()) <= 6


def test_a_shift_in_time_keeps_every_frame() -> None:
    after = changed(shift=0.5)

    assert not torch.equal(after, VALUES)
    assert torch.equal(after.sort(3).values, VALUES.sort(3).values)


def test_a_shift_of_pitch_moves_mels() -> None:
    after = changed(pitch=2)
    mels = VALUES.shape[2]
    moved = {
        by
        for row in range(6)
        for by in range(-2, 3)
        if torch.equal(after[row, :, 2:-2], VALUES[row, :, 2 - by : mels - 2 - by])
    }

    assert len(moved) > 1


def test_masks_cover_stretches() -> None:
    times = (changed(time_masks=1, time_mask=0.5) == 0).all(2)[:, 0]
    bands = (changed(frequency_masks=1, frequency_mask=0.5) == 0).all(3)[:, 0]

    for gone in (times, bands):
        assert 0.05 < float(gone.float().mean()) < 0.5
        assert (gone.long().diff(dim=1) == 1).sum(1).max() <= 1  # one stretch per row
