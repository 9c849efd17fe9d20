"""Average precision as COCO's reference evaluation computes it, picture by picture and box by box."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from app.ml.image.average_precision import detection_metrics, match
from app.ml.image.overlaps import overlaps
from app.ml.tensors.shapes import Tensors

CLASSES, MOST = 3, 6
NOTHING = {"average_precision": 0.0, "average_precision_50": 0.0, "f1": 0.0}


def scenes(seed: int = 0, pictures: int = 20) -> tuple[Tensor, Tensors]:
    """True boxes of two of three classes, and what is told of them: moved, left out, made up, told twice."""
    draw = np.random.default_rng(seed)
    told, values, mask = np.zeros((pictures, 2 * MOST, 4 + CLASSES)), np.zeros((pictures, MOST, 4 + CLASSES)), []
    for picture in range(pictures):
        count = int(draw.integers(0, MOST + 1))
        low = draw.random((MOST, 2)) * 0.6
        boxes, labels = np.hstack([low, low + 0.1 + 0.3 * draw.random((MOST, 2))]), draw.integers(0, 2, MOST)
        values[picture, :, :4], values[picture, np.arange(MOST), 4 + labels] = boxes, 1
        values[picture, count:] = 0
        mask.append(np.arange(MOST) < count)
        scores = np.sort(draw.random(2 * MOST).round(1))[::-1]
        for place, which in enumerate(draw.integers(0, MOST, 2 * MOST)):
            label = labels[which] if draw.random() < 0.8 else draw.integers(0, CLASSES)
            told[picture, place, :4] = boxes[which] + draw.normal(0, 0.02, 4)
            told[picture, place, 4 + label] = scores[place]
    target = {"values": torch.tensor(values).float(), "mask": torch.tensor(np.array(mask))}
    return torch.tensor(told).float(), target


def reference(told: Tensor, target: Tensors, enough: float) -> float:
    """By loops (cocoeval.py, `evaluateImg` and `accumulate`)."""
    precisions = []
    for label in range(CLASSES):
        ranked: list[tuple[float, bool]] = []
        wanted = 0
        for answers, values, mask in zip(told, target["values"], target["mask"], strict=True):
            true = values[mask & (values[:, 4 + label] > 0), :4]
            wanted += len(true)
            free = [True] * len(true)
            for answer in answers[answers[:, 4 + label] > 0]:
                most, which = enough, -1
                for place, box in enumerate(true):
                    near = float(overlaps(answer[None, None, :4], box[None, None]))
                    if free[place] and near >= most:
                        most, which = near, place
                if which >= 0:
                    free[which] = False
                ranked.append((float(answer[4 + label]), which >= 0))
        if not wanted:
            continue
        ranked.sort(key=lambda pair: -pair[0])
        hits = np.cumsum([right for _, right in ranked])
        precision, recall = hits / np.arange(1, len(hits) + 1), hits / wanted
        for place in range(len(precision) - 1, 0, -1):
            precision[place - 1] = max(precision[place - 1], precision[place])
        points = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
        precisions.append(np.mean([precision[point] if point < len(precision) else 0 for point in points]))
    return float(np.mean(precisions))


def test_the_figures_are_those_of_the_reference() -> None:
    told, target = scenes()
    found = detection_metrics([match(told, target)], 0.5)
    assert found["average_precision_50"] == pytest.approx(reference(told, target, 0.5))
    all_ten = [reference(told, target, float(enough)) for enough in np.linspace(0.5, 0.95, 10)]
    assert found["average_precision"] == pytest.approx(np.mean(all_ten))
    assert 0.1 < found["average_precision"] < found["average_precision_50"] < 0.9


def test_pictures_in_parts_are_judged_as_together() -> None:
    told, target = scenes(1)
    parts = [match(told[rows], {name: t[rows] for name, t in target.items()}) for rows in (slice(0, 3), slice(3, 20))]
    assert detection_metrics(parts, 0.5) == pytest.approx(detection_metrics([match(told, target)], 0.5))


@pytest.mark.parametrize("twice", [False, True])
def test_true_boxes_are_found_and_told_twice_they_count_once(twice: bool) -> None:
    _, target = scenes(2)
    told = target["values"].repeat(1, 1 + twice, 1)
    found = detection_metrics([match(told, target)], 0.5)
    assert found["average_precision"] == pytest.approx(1 if not twice else found["average_precision"])
    assert found["f1"] == pytest.approx(2 / 3 if twice else 1)
    assert found["average_precision"] < 1.0 or not twice


@pytest.mark.parametrize("what", ["nothing told", "nothing there", "no pictures"])
def test_where_there_is_nothing_the_figures_are_0(what: str) -> None:
    told, target = scenes(3, pictures=4)
    parts: list[Any] = [match(told * (what != "nothing told"), target)]
    if what == "nothing there":
        parts = [match(told, {**target, "mask": torch.zeros_like(target["mask"])})]
    assert detection_metrics(parts if what != "no pictures" else [], 0.5) == NOTHING
