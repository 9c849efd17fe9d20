"""Random changes of pictures; boxes follow them, and labels are mixed as their pictures are.

All places and angles of a picture's motion are drawn first and it is sampled once, so that it is blurred once.
Legend: `B` batch, `C` channels, `H`, `W` height and width, `K` classes.
"""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import one_hot

from app.errors import DoesNotFit
from app.ml.augmentations.base import Augmentation, Draw
from app.ml.image import geometry
from app.ml.image.pictures import LUMINANCE
from app.ml.modalities.base import Fitted
from app.ml.tensors.batch import Roles
from app.ml.tensors.device import sent
from app.ml.tensors.shapes import Layout, Shape, Tensors

PROPORTIONS = 4 / 3
"""Of a crop to the picture's own, at most and, inverted, at least (Szegedy 2014)."""
ERASED = (0.02, 0.33)
"""Share of the picture that is erased (Zhong 2017)."""
SMALL = 64
"""Longer side of pictures, in pixels, up to which the usual changes are mild."""


class ImageAugmentation(Augmentation):
    """Crops, mirror images, turns, colours, erased places, blur, and mixtures of pictures."""

    name: Literal["image"] = "image"
    """Changes pictures."""
    doubtful: ClassVar[tuple[str, ...]] = ("flip", "flip_vertical")

    crop: float = Field(1.0, gt=0, le=1)
    """Smallest share of the picture's area that a random crop keeps; it is brought back to full size."""
    flip: float = Field(0.0, ge=0, le=1)
    """Share of the pictures that are mirrored left to right."""
    flip_vertical: float = Field(0.0, ge=0, le=1)
    """Share of the pictures that are turned upside down by mirroring."""
    rotation: float = Field(0.0, ge=0, le=180)
    """Largest angle by which a picture is turned either way, in degrees."""
    shift: float = Field(0.0, ge=0, lt=1)
    """Farthest that a picture is moved, as a share of its width and height."""
    shear: float = Field(0.0, ge=0, le=45)
    """Largest angle by which upright lines are slanted, in degrees."""
    brightness: float = Field(0.0, ge=0, lt=1)
    """Pixels are multiplied by a number that differs from 1 by as much at most."""
    contrast: float = Field(0.0, ge=0, lt=1)
    """The same of their distances from the picture's mean brightness."""
    saturation: float = Field(0.0, ge=0, lt=1)
    """The same of their distances from gray; of colour pictures."""
    gray: float = Field(0.0, ge=0, le=1)
    """Share of colour pictures that lose their colours."""
    blur: float = Field(0.0, ge=0, le=1)
    """Share of the pictures that are blurred, by up to a hundredth of the longer side, one pixel at least."""
    erasing: float = Field(0.0, ge=0, le=1)
    """Share of the pictures in which a rectangle of 2 to 33 % of the area takes the picture's mean colour (Zhong
    2017)."""
    mixup: float = Field(0.0, ge=0, le=1)
    """Share of the pictures to which up to half of another one of the batch is added, labels alike (Zhang 2017)."""
    cutmix: float = Field(0.0, ge=0, le=1)
    """Share of the pictures in which a rectangle of up to half of the area comes from another one of the batch, labels
    alike (Yun 2019)."""

    def check(self, layouts: Mapping[str, Layout]) -> None:
        for key in ("mixup", "cutmix"):
            if getattr(self, key) and layouts.get("target") != "classes":
                raise DoesNotFit(
                    f"augmentation.{key}: mixes labels, and the objective learns none; leave it out, or take the "
                    "objective 'classification'",
                    param=f"augmentation.{key}",
                )

    @classmethod
    def usual(cls, shape: Shape, views: int) -> tuple["ImageAugmentation | None", str]:
        if views == 1:
            return super().usual(shape, views)
        colour = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "gray": 0.2} if shape.size[0] == 3 else {}
        if max(shape.size[1:]) <= SMALL:
            given = cls(crop=0.7, flip=0.5, rotation=10, shift=0.05, shear=5, contrast=0.2, brightness=0.2)
            return given.model_copy(update=colour), f"mild changes: a picture of {SMALL} pixels or less has few to lose"
        return cls(crop=0.3, flip=0.5, blur=0.2).model_copy(
            update=colour
        ), "as in SimCLR (Chen 2020), with milder crops"

    def apply(self, roles: Roles, draw: Draw, fitted: Mapping[str, Fitted]) -> Roles:
        changed = dict(roles)
        for role in self.inputs(roles, fitted):
            shape, own = fitted[role].shape, draw.of(role)
            motions = self._motions(own.here, (shape.size[1], shape.size[2]))
            if motions is not None:
                motions = sent(motions, own.device)
            changed[role] = self._changed(changed[role], own, shape, motions)
            if role == "input" and motions is not None:
                followers = [name for name in roles if fitted[name].shape.layout == "boxes"]
                changed |= {name: geometry.moved_boxes(roles[name], motions) for name in followers}
        if self.mixup or self.cutmix:
            changed = self._mixed(changed, draw.of("mix"), fitted)
        return changed

    def _changed(self, inputs: Tensors, draw: Draw, shape: Shape, motions: Tensor | None) -> Tensors:
        values = inputs["values"]  # [B, C, H, W]
        if motions is not None:
            values = geometry.moved(values, motions)
        if self.blur:
            most = max(1.0, max(shape.size[1:]) / 100)
            deviation = draw.here.between("blur deviation", 0.1, most) * draw.here.happens("blur", self.blur)
            values = geometry.blurred(values, deviation)
        values = self._coloured(values, draw, shape)
        if self.erasing:
            place = (draw.uniform("erasing x"), draw.uniform("erasing y"))
            area = draw.between("erasing area", *ERASED) * draw.happens("erasing", self.erasing)
            proportion = torch.exp(draw.between("erasing proportion", -1, 1) * math.log(3))
            gone = geometry.rectangles(area, proportion, place, (shape.size[1], shape.size[2]))
            values = torch.where(gone, values.mean((2, 3), keepdim=True), values)
        return {**inputs, "values": values}

    def _motions(self, draw: Draw, side: tuple[int, int]) -> Tensor | None:
        """[B, 2, 3]; None where nothing moves."""
        if not (self.crop < 1 or self.flip or self.flip_vertical or self.rotation or self.shift or self.shear):
            return None
        area = draw.between("crop area", self.crop, 1)
        most = math.log(PROPORTIONS) if self.crop < 1 else 0.0
        proportion = torch.exp(draw.between("crop proportion", -most, most))
        kept = ((area * proportion).sqrt().clamp(max=1), (area / proportion).sqrt().clamp(max=1))
        move = tuple(
            (1 - share) * draw.between(f"crop {axis}", -1, 1) + 2 * self.shift * draw.between(f"shift {axis}", -1, 1)
            for axis, share in zip("xy", kept, strict=True)
        )
        mirror = (1 - 2.0 * draw.happens("flip", self.flip), 1 - 2.0 * draw.happens("flip y", self.flip_vertical))
        turn, shear = (
            draw.between(name, -1, 1) * math.radians(most)
            for name, most in (("rotation", self.rotation), ("shear", self.shear))
        )
        return geometry.motion((kept[0] * mirror[0], kept[1] * mirror[1]), turn, shear, (move[0], move[1]), side)

    def _coloured(self, values: Tensor, draw: Draw, shape: Shape) -> Tensor:
        """Brightness, contrast, saturation and gray, within the range of the pixels."""
        colour = shape.size[0] == len(LUMINANCE)
        if not (self.brightness or self.contrast or (colour and (self.saturation or self.gray))):
            return values
        low, span = torch.zeros(()), torch.ones(())
        if not shape.bounded:  # standardised pixels have no fixed range, but each picture has its own
            low = values.amin((1, 2, 3), keepdim=True)
            span = (values.amax((1, 2, 3), keepdim=True) - low).clamp(min=1e-6)
        pixels = (values - low) / span

        def factor(name: str, most: float) -> Tensor:
            return draw.between(name, 1 - most, 1 + most, 1, 1, 1)

        pixels = (pixels * factor("brightness", self.brightness)).clamp(0, 1)
        middle = pixels.mean((1, 2, 3), keepdim=True)
        pixels = (middle + (pixels - middle) * factor("contrast", self.contrast)).clamp(0, 1)
        if colour:
            weights = torch.from_numpy(LUMINANCE).to(pixels)[:, None, None]
            plain = (pixels * weights).sum(1, keepdim=True)
            strength = factor("saturation", self.saturation)
            strength = strength * ~draw.happens("gray", self.gray)[:, None, None, None]
            pixels = (plain + (pixels - plain) * strength).clamp(0, 1)
        return pixels * span + low

    def _mixed(self, roles: Roles, draw: Draw, fitted: Mapping[str, Fitted]) -> Roles:
        """Every picture stays the larger part of its mixture; the labels' weights [B, K] follow the shares."""
        values, labels = roles["input"]["values"], roles["target"]["values"]
        mixing = draw.happens("mixup", self.mixup)
        cutting = draw.happens("cutmix", self.cutmix) & ~mixing
        partners, share = draw.partners("partner"), draw.between("share", 0, 0.5)
        place = (draw.uniform("cutmix x"), draw.uniform("cutmix y"))
        cut = geometry.rectangles(share * cutting, torch.ones_like(share), place, (values.shape[2], values.shape[3]))
        others = torch.where(cut, 1.0, (share * mixing)[:, None, None, None])  # [B, 1, H, W], share of each pixel
        weights = one_hot(labels, fitted["target"].shape.count).float()
        foreign = others.mean((1, 2, 3))[:, None]
        return roles | {
            "input": {**roles["input"], "values": values + others * (values[partners] - values)},
            "target": {**roles["target"], "weights": weights + foreign * (weights[partners] - weights)},
        }
