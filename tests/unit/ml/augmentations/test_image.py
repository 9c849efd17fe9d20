"""Pictures move as asked, boxes go with them, and labels are mixed as their pictures are."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from app.errors import DoesNotFit
from app.ml.augmentations.base import augment
from app.ml.augmentations.image import ImageAugmentation
from app.ml.modalities.base import Fitted
from app.ml.modalities.boxes import Boxes
from app.ml.modalities.classes import Classes
from app.ml.modalities.image import Image
from app.ml.tensors.batch import Batch, Roles
from app.ragged import Ragged

ROWS, HIGH, WIDE = 40, 24, 32


def scene() -> tuple[Batch, dict[str, Fitted]]:
    """One bright rectangle per picture, and a box around it."""
    random = np.random.default_rng(0)
    pixels = np.zeros((ROWS, HIGH, WIDE, 1), np.uint8)
    rows = []
    for picture in pixels:
        x, y = int(random.integers(4, 16)), int(random.integers(4, 12))
        picture[y : y + 8, x : x + 12] = 255
        rows.append(np.array([[0, x, y, x + 12, y + 8]], np.float32))
    image = Image().fit([pixels])
    boxes = Boxes(labels=("thing",), picture=(HIGH, WIDE)).fit([Ragged.of(rows)])
    roles = {"input": image.encode(pixels), "target": boxes.encode(Ragged.of(rows))}
    return Batch(roles, torch.arange(ROWS)), {"input": image, "target": boxes}


def seen(**given: Any) -> Roles:
    batch, fitted = scene()
    return augment(ImageAugmentation(**given), batch, fitted, seed=0).roles


def bounds(values: Tensor) -> Tensor:
    """Corners [B, 4] of what is bright, as shares of the sides."""
    found = []
    for picture in values[:, 0] > 0.5:
        y, x = torch.nonzero(picture, as_tuple=True)
        found.append([x.min() / WIDE, y.min() / HIGH, (x.max() + 1) / WIDE, (y.max() + 1) / HIGH])
    return torch.tensor(found)


@pytest.mark.parametrize("given", [{"flip": 1.0}, {"flip_vertical": 1.0}, {"shift": 0.1}, {"crop": 0.6}, {"shear": 20}])
def test_boxes_follow_their_pictures(given: dict[str, float]) -> None:
    before, roles = scene()[0].roles, seen(**given)
    boxes = roles["target"]
    kept = boxes["mask"][:, 0]

    assert kept.float().mean() > 0.9
    assert (roles["input"]["values"] - before["input"]["values"]).abs().mean() > 0.01
    off = (bounds(roles["input"]["values"])[kept] - boxes["values"][kept, 0, :4]).abs()
    assert off.max() <= 1.6 / HIGH  # a pixel of interpolation


def test_mirrored_twice_is_the_picture_itself() -> None:
    batch, fitted = scene()
    mirror = ImageAugmentation(flip=1.0)
    once = augment(mirror, batch, fitted, seed=0)
    twice = augment(mirror, once, fitted, seed=0).roles

    torch.testing.assert_close(once.roles["input"]["values"], batch.roles["input"]["values"].flip(3))
    torch.testing.assert_close(twice["input"]["values"], batch.roles["input"]["values"])
    torch.testing.assert_close(twice["target"]["values"], batch.roles["target"]["values"])


def test_a_turn_keeps_proportions() -> None:
    """The area of what is seen stays, whatever the angle, in a picture that is no square."""
    areas = (seen(rotation=40)["input"]["values"] > 0.5).sum((1, 2, 3)).float()

    assert areas.quantile(0.5) == pytest.approx(96, rel=0.05)


def test_boxes_that_leave_the_picture_are_gone() -> None:
    boxes = seen(shift=0.9)["target"]

    assert 0.1 < boxes["mask"].float().mean() < 0.9
    assert not boxes["values"][~boxes["mask"]].any()


def test_labels_are_mixed_as_their_pictures_are() -> None:
    """Pictures of class 1 are white and others black: brightness is what the weights must say."""
    pixels = np.repeat(np.array([0, 255] * 20, np.uint8), 8 * 8).reshape(40, 8, 8, 1)
    labels = np.array(["black", "white"] * 20, dtype=object)
    fitted: dict[str, Fitted] = {"input": Image().fit([pixels]), "target": Classes().fit([labels])}
    batch = Batch(
        {"input": fitted["input"].encode(pixels), "target": fitted["target"].encode(labels)}, torch.arange(40)
    )
    mixed = augment(ImageAugmentation(mixup=0.5, cutmix=1.0), batch, fitted, seed=0).roles

    weights = mixed["target"]["weights"]
    torch.testing.assert_close(weights.sum(1), torch.ones(40))
    torch.testing.assert_close(weights[:, 1], mixed["input"]["values"].mean((1, 2, 3)))
    assert torch.equal(weights.argmax(1), batch.roles["target"]["values"])
    assert 0.1 < float((weights.amax(1) < 1).float().mean()) < 0.9  # half of the partners look alike


def test_mixing_needs_labels() -> None:
    with pytest.raises(DoesNotFit, match=r"augmentation\.mixup: mixes labels"):
        ImageAugmentation(mixup=0.5).check({"input": "grid"})
