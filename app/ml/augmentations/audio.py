"""Random changes of recordings, on their mel spectrograms.

Loudness is in dB there, brought to mean 0 and deviation 1 per mel. Legend: `B` batch, `M` mels, `F` frames.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from app.ml.augmentations.base import Augmentation, Draw
from app.ml.modalities.base import Fitted
from app.ml.tensors.batch import Roles
from app.ml.tensors.shapes import Shape, Tensors


class AudioAugmentation(Augmentation):
    """Loudness, place in time, pitch, noise, and masks over times and frequencies (SpecAugment, Park 2019)."""

    name: Literal["audio"] = "audio"
    """Changes recordings."""

    gain: float = Field(0.0, ge=0, le=40)
    """A recording becomes louder or softer by so many dB at most."""
    shift: float = Field(0.0, ge=0, lt=1)
    """Farthest that a recording is moved in time, as a share of its length; what leaves at one end comes in at the
    other."""
    pitch: int = Field(0, ge=0, le=16)
    """Farthest that it is moved along the frequencies, in mels."""
    noise: float = Field(0.0, ge=0, le=10)
    """Deviation of the normal noise that is added to the scaled loudness."""
    time_masks: int = Field(0, ge=0, le=8)
    """Stretches of time that get the training mean."""
    time_mask: float = Field(0.1, gt=0, le=0.5)
    """Longest of them, as a share of the length."""
    frequency_masks: int = Field(0, ge=0, le=8)
    """Bands of frequencies that get the training mean."""
    frequency_mask: float = Field(0.2, gt=0, le=0.5)
    """Widest of them, as a share of the mels."""

    @classmethod
    def usual(cls, shape: Shape, views: int) -> tuple["AudioAugmentation | None", str]:
        if views == 1:
            return super().usual(shape, views)
        given = cls(gain=6, shift=0.1, pitch=2, time_masks=2, frequency_masks=2)
        return given, "what a recording says does not depend on its loudness, its beginning or a small shift of pitch"

    def apply(self, roles: Roles, draw: Draw, fitted: Mapping[str, Fitted]) -> Roles:
        inputs = self.inputs(roles, fitted)
        return roles | {role: self._changed(roles[role], draw.of(role), fitted[role]) for role in inputs}

    def _changed(self, inputs: Tensors, draw: Draw, fitted: Fitted) -> Tensors:
        values = inputs["values"]  # [B, 1, M, F]
        mels, frames = fitted.shape.size[1:]
        if self.shift:
            moved = (draw.between("shift", -self.shift, self.shift) * frames).round().long()
            values = values.gather(3, _from(moved, frames, cyclic=True)[:, None, None, :].expand_as(values))
        if self.pitch:
            moved = draw.between("pitch", -self.pitch - 0.5, self.pitch + 0.5).round().long()
            values = values.gather(2, _from(moved, mels, cyclic=False)[:, None, :, None].expand_as(values))
        if self.gain:
            deviation = torch.tensor(fitted.state()["deviation"], device=values.device)[:, None]  # [M, 1], dB
            values = values + draw.between("gain", -self.gain, self.gain, 1, 1, 1) / deviation
        if self.noise:
            values = values + self.noise * draw.normal("noise", 1, mels, frames)
        for number in range(self.time_masks):
            gone = _stretch(draw.of(f"{draw.part}/time {number}"), self.time_mask, frames)
            values = values.masked_fill(gone[:, None, None, :], 0.0)
        for number in range(self.frequency_masks):
            gone = _stretch(draw.of(f"{draw.part}/frequency {number}"), self.frequency_mask, mels)
            values = values.masked_fill(gone[:, None, :, None], 0.0)
        return {**inputs, "values": values}


def _from(moved: Tensor, count: int, *, cyclic: bool) -> Tensor:
    """Where each of `count` places [B, count] comes from when all are moved by `moved` [B]; ends repeat or go round."""
    source = torch.arange(count, device=moved.device) - moved[:, None]
    return source % count if cyclic else source.clamp(0, count - 1)


def _stretch(draw: Draw, most: float, count: int) -> Tensor:
    """[B, count] bool, True on a stretch of up to that share of the places."""
    length = draw.uniform("length") * most
    begin = draw.uniform("begin") * (1 - length)
    at = (torch.arange(count, device=length.device) + 0.5) / count
    return (at >= begin[:, None]) & (at < (begin + length)[:, None])
