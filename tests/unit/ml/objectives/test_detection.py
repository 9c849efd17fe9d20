"""Detection learns where bright and dark squares are, beside baselines that look at no picture."""

import numpy as np
import pytest
import torch

from app.errors import DoesNotFit, OutOfRange
from app.ml.encoders.base import EncoderSettings
from app.ml.encoders.cnn import Cnn
from app.ml.encoders.mlp import Mlp
from app.ml.encoders.transformer import Transformer
from app.ml.jobs.network import RoleSpec
from app.ml.modalities.boxes import Boxes
from app.ml.modalities.image import Image
from app.ml.objectives.base import Role
from app.ml.objectives.detection import MOST, Detection, Detector, typical
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.resolving.fit import check_fit
from app.ml.tensors.batch import Batch
from app.ragged import Ragged

SIDE = 32
LABELS = ("bright", "dark")


def scenes(count: int, seed: int) -> tuple[np.ndarray, Ragged]:
    """Gray pictures with 0 to 2 squares."""
    draw = np.random.default_rng(seed)
    pictures, boxes = draw.integers(100, 150, (count, SIDE, SIDE, 1), dtype=np.uint8), []
    for picture in pictures:
        found = []
        for x0, y0 in zip([2, 18], draw.integers(0, 20, 2), strict=True):
            side, label = draw.integers(6, 12), draw.integers(0, 2)
            if draw.random() < 0.7:
                picture[y0 : y0 + side, x0 : x0 + side] = 0 if label else 255
                found.append([label, x0, y0, x0 + side, y0 + side])
        boxes.append(np.array(found, np.float32).reshape(-1, 5))
    return pictures, Ragged.of(boxes)


def detector(rows: int = 64, encoder: EncoderSettings | None = None, seed: int = 0) -> tuple[Detector, Batch]:
    torch.manual_seed(seed)
    pictures, boxes = scenes(rows, seed)
    image = Image().fit([pictures])
    target = Boxes(labels=LABELS, picture=(SIDE, SIDE)).fit([boxes])
    settings = encoder or Cnn(preset="nano")
    network = Detection(width=16).build({"input": Role(image, settings.build(image.shape)), "target": Role(target)})
    return network, Batch({"input": image.encode(pictures), "target": target.encode(boxes)}, torch.arange(rows))


def learn(network: Detector, batch: Batch, steps: int) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for step in range(steps):
        optimizer.zero_grad()
        part = batch.parts(4)[step % 4]
        loss = network.loss(part)
        (loss.sum / loss.count).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    network.eval()


def test_squares_are_found_that_were_never_seen() -> None:
    network, batch = detector(128)
    network.begin(lambda *_: iter([batch]))
    learn(network, batch, 150)
    unseen = detector(64, seed=1)[1]
    with torch.inference_mode():
        metrics, beside = network.metrics([unseen]), network.baselines([batch], [unseen])
    assert beside.keys() == {"mean", "frequent"}
    assert all(metrics[name] > each[name] + 0.3 for each in beside.values() for name in ("average_precision_50", "f1"))
    assert metrics["average_precision"] > 0.3


def test_what_is_usual_comes_from_the_training_rows() -> None:
    network, batch = detector(32)
    target = batch.roles["target"]
    network.begin(lambda *_: iter(batch.parts(2)))
    assert float(network.crowd) == pytest.approx(max(1.0, float(target["mask"].sum()) / 32))
    sides = target["values"][target["mask"]][:, 2] - target["values"][target["mask"]][:, 0]
    assert float(network.usual[0]) == pytest.approx(float(sides.log().mean().exp()), rel=1e-4)


def test_pictures_without_boxes_teach_that_there_is_nothing() -> None:
    network, batch = detector(16)
    empty = {**batch.roles["target"], "mask": torch.zeros_like(batch.roles["target"]["mask"])}
    nothing = Batch({"input": batch.roles["input"], "target": empty}, batch.rows)
    loss = network.loss(nothing)
    assert loss.sum.isfinite()
    assert float(loss.parts["box_error"]) == 0
    with torch.inference_mode():
        assert network.baselines([batch], [nothing])["mean"] == network.metrics([nothing])


def test_answers_are_what_every_place_says_until_they_are_settled() -> None:
    network, batch = detector(3)
    with torch.inference_mode():
        answers = network.predict(batch.roles["input"])
        told = network.postprocess(answers, 0.0)
    assert answers.shape == (3, SIDE // 2 * SIDE // 2, 6)
    assert told.shape == (3, MOST, 6)
    assert not network.postprocess(answers, 1.0).any()
    scores = told[..., 4:].amax(2)
    assert (scores.diff() <= 0).all()


def test_a_transformer_has_one_map() -> None:
    network, batch = detector(4, Transformer(preset="nano"))
    assert len(network.joints) == 1
    assert network.loss(batch).sum.isfinite()


def test_an_encoder_without_a_map_is_refused() -> None:
    roles = {
        "input": RoleSpec(modality=Image(), encoder=Mlp()),
        "target": RoleSpec(modality=Boxes(), encoder=None),
    }
    with pytest.raises(DoesNotFit, match="needs an encoder with \\['grid'\\], as 'cnn' or 'transformer' has"):
        check_fit(Detection(), roles)


def test_typical_boxes_are_means_of_their_kinds_the_frequent_ones_first() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 2, 1, 0], [0, 0, 4, 4, 0, 1], [2, 2, 4, 4, 1, 0]])
    told = typical(boxes, boxes[:, 4:], pictures=4)
    assert told.tolist() == [[[1, 1, 3, 3, 0.5, 0], [0, 0, 4, 4, 0, 0.25]]]


@pytest.mark.parametrize(
    ("shape", "size"), [([96, 96, 3], 96), ([192, 100, 3], 192), ([480, 640, 3], 128), ([8, 200, 1], 128), ([], 1)]
)
def test_pictures_are_read_as_squares_and_large_ones_smaller(shape: list[int], size: int) -> None:
    assert Detection().modality_defaults_for({"shape": shape}, None) == {"size": size}


def test_few_pictures_are_seen_more_often_and_time_is_bounded() -> None:
    shape = Image().fit([scenes(4, 0)[0]]).shape
    few, many = (Detection().default_training(TrainingData(shape, rows))[0] for rows in (100, 5000))
    assert few["epochs"] == 200
    assert 4 <= many["epochs"] <= 10
    assert few["max_seconds"] == many["max_seconds"] == 600


def test_a_threshold_is_for_boxes() -> None:
    from tests.unit.ml.objectives.test_targets import tagging

    network, batch = tagging()
    answers = network.predict(batch.roles["input"])  # type: ignore[operator]
    assert network.postprocess(answers) is answers
    with pytest.raises(OutOfRange, match="threshold: is for models that find boxes"):
        network.postprocess(answers, 0.5)
