"""Learns to find things in pictures: what they are, and the boxes around them.

Every place of a map says how much it is the middle of a thing of each class, and where that thing's box is, all at once
and without anchors (CenterNet, Zhou 2019), learned from the neighbourhood of the middles (TTFNet, Liu 2019). The map is
as fine as small things need: coarser maps of the encoder are added to its finer ones (Lin 2017).
Legend: `B` batch, `C` channels, `P` places of the map, `M` boxes, `K` classes.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate, logsigmoid

from app.ml.encoders.base import Encoders, Features
from app.ml.image.average_precision import detection_metrics, match
from app.ml.image.centres import assigned, places_of
from app.ml.image.overlaps import best, likeness
from app.ml.networks.layers import convolution, normalisation
from app.ml.objectives.base import Objective, ObjectiveSettings, Role, RoleNeeds
from app.ml.objectives.parts.training_defaults import ENOUGH_SECONDS, TrainingData
from app.ml.tensors.batch import Batch, Loss, Stream
from app.ml.tensors.shapes import CORNERS, Tensors

MOST = 100
"""Boxes that are told of a picture."""
SHOWN = 0.3
"""Score from which a box is told where nobody asks for another."""
PLACE = 4
"""Pixels along a picture's side for each place of the map."""
COARSEST, FINEST = 32, 64
"""Places along the longer side of the map are within these bounds where they can be."""
SEEN = 24_000
"""Pictures that a training sees by default."""
FIRST = 0.01
"""Score of every place before the first step (Lin 2017)."""
BOX_WEIGHT = 5.0
"""Of the error of a box beside that of its score (Liu 2019)."""
COUNTED_ROWS = 5000
"""Training pictures whose boxes are looked at before the first step."""
LONGEST = 4.0
"""Largest logarithm of a side's ratio to the usual one."""
ROUGH = 8
"""Steps along a picture by which the corners of boxes are alike."""
LARGE, READ = 192, 128
"""Pixels along a picture's longer side beyond which it is scaled to `READ` by `READ`, unless a size is asked for."""

CHANGES = {"image": {"crop": 0.5, "brightness": 0.2, "contrast": 0.2}}
"""Few pictures are seen hundreds of times."""


class Detection(ObjectiveSettings):
    """Find things in pictures: the boxes around them, and what they are."""

    name: Literal["detection"] = "detection"
    """Find things in pictures."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "input": RoleNeeds(frozenset({"grid"}), encoded=True, capabilities=frozenset({"grid"}), place=PLACE),
        "target": RoleNeeds(frozenset({"boxes"})),
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"predict"})
    selection_metric: ClassVar[tuple[str, bool]] = ("average_precision", True)

    width: int = Field(64, ge=8, le=1024)
    """Channels of the map that boxes are read from."""

    def default_augmentations(self, data: TrainingData) -> Mapping[str, Mapping[str, Any]]:
        return CHANGES

    def modality_defaults_for(self, facts: Mapping[str, Any], encoder: str | None) -> Mapping[str, Any]:
        """Pictures of any size can be asked about where all are scaled to one."""
        sides = facts.get("shape", ())[:2]  # none of texts, which are refused once all roles are known
        longest = max(sides, default=1)
        return {"size": READ if longest > LARGE else longest}

    def default_training(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        epochs = max(4, min(200, round(SEEN / data.rows)))
        return (
            {"epochs": epochs, "batch_size": 16, "learning_rate": 2e-3, "max_seconds": ENOUGH_SECONDS},
            f"{data.rows:,} pictures, up to {epochs} times over",
        )

    def build(self, roles: Mapping[str, Role]) -> "Detector":
        return Detector(self, roles["input"], roles["target"])


class Detector(Objective):
    """An encoder, its maps added up to one, and on that a few convolutions for scores and for boxes."""

    usual: Tensor
    """[2], the usual width and height of a box as shares of the picture's"""
    crowd: Tensor
    """Boxes of a usual picture, 1 at least"""

    def __init__(self, settings: Detection, role: Role, target: Role) -> None:
        super().__init__()
        assert role.encoder is not None
        self.encoders = Encoders({"input": role.encoder})
        width, classes = settings.width, target.modality.shape.size[1] - CORNERS
        self.finest = min(max(max(role.modality.shape.size[1:]) // PLACE, COARSEST), FINEST)
        with torch.no_grad():
            maps = self._maps(role.encoder({"values": torch.zeros(1, *role.modality.shape.size)}))
        self.joints = nn.ModuleList(convolution(each.shape[1], width, side=1, gain=1.0) for each in maps)
        self.mix = nn.Sequential(normalisation(width), nn.ReLU(), _convolved(width))
        self.scores = _answering(width, classes, math.log(FIRST / (1 - FIRST)))
        self.boxes = _answering(width, CORNERS, 0.0)
        self.register_buffer("usual", torch.full((2,), 0.25))
        self.register_buffer("crowd", torch.ones(()))

    def begin(self, stream: Stream) -> None:
        """Sets the usual size and number of boxes."""
        sides, pictures = [], 0
        for batch in stream(COUNTED_ROWS):
            target = batch.roles["target"]
            corners = target["values"][target["mask"]][:, :CORNERS]
            sides.append((corners[:, 2:] - corners[:, :2]).clamp(min=1e-3))
            pictures += len(batch.rows)
        found = torch.cat(sides)
        with torch.no_grad():
            self.crowd.fill_(max(1.0, len(found) / pictures))
            if len(found):
                self.usual.copy_(found.log().mean(0).exp())

    def loss(self, batch: Batch) -> Loss:
        """Sum over the pictures: how wrong all scores are (Lin 2017), and the boxes of places inside one."""
        scores, boxes, grid = self._told(batch.roles["input"])
        wanted = assigned(batch.roles["target"], grid)
        likely, middle = scores.sigmoid(), wanted.heat == 1
        missed = -logsigmoid(scores) * (1 - likely).square()
        wrong = -logsigmoid(-scores) * likely.square() * (1 - wanted.heat) ** 4
        score_error = torch.where(middle, missed, wrong).sum() / self.crowd
        box_error = ((1 - likeness(boxes, wanted.boxes)) * wanted.weight).sum() / self.crowd
        parts = {"score_error": score_error.detach(), "box_error": box_error.detach()}
        return Loss(score_error + BOX_WEIGHT * box_error, len(batch.rows), parts)

    def predict(self, inputs: Tensors) -> Tensor:
        """[B, P, 4 + K]: what every place says, corners from 0 to 1 and the score of each class."""
        scores, boxes, _ = self._told(inputs)
        return torch.cat([boxes.clamp(0, 1), scores.sigmoid()], 2)

    def postprocess(self, answers: Tensor, threshold: float | None = None) -> Tensor:
        """[B, MOST, 4 + K]: the best boxes that differ, each with one score; zeros where there are fewer."""
        return best(answers, MOST, SHOWN if threshold is None else threshold)

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """As app/ml/image/average_precision.py says; `f1` of the boxes that are told where nobody asks for more."""
        matches = [match(self.postprocess(self.predict(b.roles["input"]), 0.0), b.roles["target"]) for b in batches]
        return detection_metrics(matches, SHOWN)

    def caveat(self, metrics: Mapping[str, Any]) -> str | None:
        """Where all that is told by default is wrong, and what else is told is not."""
        if metrics.get("f1", 1.0) > 0 or not metrics.get("average_precision_50"):
            return None
        return (
            f"f1 is 0: no right box has a score of {SHOWN:g} or more, and predictions tell no others by default. Ask "
            "with a lower threshold, or try more pictures, more time (training.max_seconds) or a base_model"
        )

    def baselines(self, train: Sequence[Batch], test: Sequence[Batch]) -> dict[str, dict[str, float]]:
        """`mean`: of every class its mean box, in every picture; `frequent`: the boxes that come most often, likewise.

        The scores are how many boxes of a picture there are of the kind, on average.
        """
        pictures = sum(len(batch.rows) for batch in train)
        boxes = torch.cat([b.roles["target"]["values"][b.roles["target"]["mask"]] for b in train])  # [N, 4 + K]
        labels, rough = boxes[:, CORNERS:], (boxes[:, :CORNERS] * ROUGH).round()
        kinds = {"mean": labels, "frequent": torch.cat([labels, rough], 1)}
        answers = {name: typical(boxes, kind, pictures) for name, kind in kinds.items()}
        found = {}
        for name, told in answers.items():
            matches = [match(told.expand(len(b.rows), -1, -1), b.roles["target"]) for b in test]
            found[name] = detection_metrics(matches, SHOWN)
        return found

    def _told(self, inputs: Tensors) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """Scores before their sigmoid [B, P, K], boxes [B, P, 4], and the map's rows and columns."""
        coarse, *finer = self._maps(self.encoders["input"](inputs))
        joined: Tensor = self.joints[0](coarse)
        for joint, level in zip(list(self.joints)[1:], finer, strict=True):
            joined = interpolate(joined, size=level.shape[2:]) + joint(level)
        mixed = self.mix(joined)
        grid = (mixed.shape[2], mixed.shape[3])
        scores, told = (part(mixed).float().flatten(2).transpose(1, 2) for part in (self.scores, self.boxes))
        sides = self.usual * told[..., 2:].clamp(-LONGEST, LONGEST).exp()
        middles = places_of(grid, told.device) + told[..., :2] * sides
        return scores, torch.cat([middles - sides / 2, middles + sides / 2], 2), grid

    def _maps(self, features: Features) -> list[Tensor]:
        """[B, C, H, W] each, coarsest first, down to the finest that is needed."""
        assert features.grid is not None, "an encoder with the capability has a grid: this is a bug"
        coarse = features.tokens.transpose(1, 2).reshape(len(features.tokens), -1, *features.grid)
        return [coarse, *(level for level in reversed(features.levels) if max(level.shape[2:]) <= self.finest)]


def typical(boxes: Tensor, kinds: Tensor, pictures: int) -> Tensor:
    """The mean [1, M, 4 + K] of the boxes [N, 4 + K] of each kind, MOST kinds at most, the most frequent first.

    Their one score is how many there are in a picture. Boxes are of one kind where their rows of `kinds` [N, …] agree.
    """
    if not len(boxes):
        return boxes.new_zeros(1, 1, boxes.shape[1])
    _, kind, counts = torch.unique(kinds, dim=0, return_inverse=True, return_counts=True)
    sums = boxes.new_zeros(len(counts), boxes.shape[1]).index_add_(0, kind, boxes)
    order = counts.argsort(descending=True, stable=True)[:MOST]
    means: Tensor = sums[order] / counts[order, None]
    means[:, CORNERS:] *= counts[order, None] / pictures
    return means[None]


def _answering(width: int, outputs: int, first: float) -> nn.Sequential:
    """Answers about `first` everywhere before it has learned."""
    last = convolution(width, outputs, side=1, gain=0.1, bias=True)
    assert last.bias is not None
    nn.init.constant_(last.bias, first)
    return nn.Sequential(_convolved(width), last)


def _convolved(width: int) -> nn.Sequential:
    return nn.Sequential(convolution(width, width), normalisation(width), nn.ReLU())
