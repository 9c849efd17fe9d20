"""What all objectives that learn from targets have in common: a head on an encoder, and how a graft begins and moves.

Legend: `B` batch, `D` width of the encoder's features, `E` width of the embedding, `K` outputs of the head, `N` widths
at which the embedding counts.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from app.ml.encoders.base import Encoders, EncoderSettings
from app.ml.encoders.sentences import SentenceEncoder
from app.ml.modalities.text import FittedText
from app.ml.networks.layers import linear
from app.ml.networks.lbfgs import Lbfgs
from app.ml.objectives.base import Objective, Role
from app.ml.objectives.parts.directions import Told, halves
from app.ml.objectives.parts.nesting import NestedSettings, check_widths, over_prefixes, prefixes
from app.ml.objectives.parts.sentences import READ, fit_sentences
from app.ml.objectives.parts.training_defaults import GRAFT_RATE, TrainingData
from app.ml.tensors.batch import Batch, Loss, Stream
from app.ml.tensors.padding import joined
from app.ml.tensors.shapes import Shape, Tensors

HEAD_ROWS, HEAD_STEPS = 2000, 100
"""Labelled rows from which a graft's head is solved, and steps that this may take."""
SETTLED_EPOCHS = 20
"""That an encoder which was settled by the same rows learns for at most: there is little left to learn."""
FEW_SOUNDS = 250
"""Labelled recordings below which random kernels tell more of them than a `cnn` learns, in a tenth of its time: so it
was on eight of nine sets of 100 to 240 rows, and not on three of 330 to 650."""
HEAD_DECAY, COMPUTED_DECAY = 0.01, 0.03
"""Weight of half its squared weights beside the mean loss; and where some of its features were computed from targets,
beside which the others tell little."""


class SupervisedSettings(NestedSettings):
    """Root of the settings of those objectives."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features that the head does not see at a step of training."""

    def modality_defaults_for(self, facts: Mapping[str, Any], encoder: str | None) -> Mapping[str, Any]:
        bags = facts["modality"] == "text" and encoder in (None, "sentences")
        return READ if bags else super().modality_defaults_for(facts, encoder)

    def default_encoder(self, shape: Shape, rows: int) -> tuple[str, str]:
        if shape.channels:
            return "kernels", "rows are series, of which they tell what it is, wherever it stands"
        if shape.aligned and rows < FEW_SOUNDS:
            return "kernels", f"{rows:,} sounds teach no network to listen; what random kernels find is computed"
        if shape.layout == "tokens":
            return "sentences", "few labels teach no network to read; words and pairs of words are computed"
        return super().default_encoder(shape, rows)

    def settles(self, encoder: EncoderSettings) -> bool:
        return "sentences" in encoder.capabilities or super().settles(encoder)

    def default_training(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        values, reason = super().default_training(data)
        if data.settled:
            values["epochs"] = min(values["epochs"], SETTLED_EPOCHS)
            reason = f"{data.rows:,} training rows; encoder and head are settled before the first step"
        if not (data.from_base or data.settled) or data.shape.layout != "tokens":
            return values, reason
        return {**values, "encoder_rate": GRAFT_RATE}, f"{reason}; the encoder moves slowly, as it has learned before"


class Headed(Objective):
    """An encoder and a linear layer on its features, or on a narrower embedding of them where one is asked for."""

    averaged: int = 1
    """Outputs that the loss of a row is the mean of."""

    def __init__(self, settings: SupervisedSettings, role: Role, outputs: int) -> None:
        super().__init__()
        assert role.encoder is not None
        self.encoders = Encoders({"input": role.encoder})
        self._text = role.modality
        width = role.dimensions or role.encoder.width
        self.widths, self.unit = settings.matryoshka, role.encoder.unit and width == role.encoder.width
        check_widths(self.widths, width)
        self.neck = nn.Identity() if width == role.encoder.width else linear(role.encoder.width, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = linear(width, outputs)

    @property
    def begins_solved(self) -> bool:
        return self.encoders["input"].informed and not self.grafted

    def begin(self, stream: Stream) -> None:
        """Solves the head for the features as they are, where the encoder has learned before, or is computed now.

        A head that is drawn pulls features about before it knows where to (Kumar 2022).
        """
        if not (self.grafted or self.begins_solved):
            return
        features, target = self._settled(stream) if self._computed else self._some(stream)
        self.solve_head(features, target)

    def solve_head(self, features: Tensor, target: Tensors) -> None:
        """Sets the head by what it reads of some rows [N, B, E] and their targets: regularised, by L-BFGS (Liu &
        Nocedal 1989)."""
        decay = COMPUTED_DECAY if self._computed else HEAD_DECAY
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        solver = Lbfgs(self.head.parameters(), max_iter=HEAD_STEPS, line_search_fn="strong_wolfe")

        def cost() -> float:
            solver.zero_grad()
            loss = over_prefixes(self.head(features).float(), lambda each: self._told_by(each, target))
            total = loss.sum / loss.count + decay / 2 * self.head.weight.square().sum()
            total.backward()  # type: ignore[no-untyped-call]
            return float(total.detach())

        solver.step(cost)  # type: ignore[no-untyped-call]
        solver.zero_grad()

    def _told_by(self, scores: Tensor, target: Tensors) -> Loss:
        """The loss of scores [B, K] beside which weights are held down: those of each output as if it stood alone."""
        loss = self.loss_of(scores, target)
        return Loss(loss.sum * self.averaged, loss.count)

    def _settled(self, stream: Stream) -> tuple[Tensor, Tensors]:
        """Computes the encoder, which knows no texts yet; gives what `_some` does.

        What tells the targets of texts tells these better than others. So that the head trusts it as much as it is
        worth, it reads each half of the texts by what the other half told.
        """
        encoder, device = self.encoders["input"], self.head.weight.device
        assert isinstance(encoder, SentenceEncoder)
        assert isinstance(self._text, FittedText), "nothing else has tokens: this is a bug"
        encoder.cpu()
        fit_sentences(encoder, self._text, lambda: (batch.roles["input"] for batch in stream()), lambda share: None)
        told = Told.of(encoder.bags, stream)
        *others, everyone = told.directions(self.head.out_features, self._told_by)
        found = []
        for half, directions in zip((False, True), others, strict=True):
            told.place(directions)
            encoder.to(device)
            found.append(self._some(stream, half))
            encoder.cpu()
        told.place(everyone)
        encoder.to(device)
        targets = [target for _, target in found]
        return torch.cat([features for features, _ in found], 1), joined(targets)

    @torch.no_grad()
    def _some(self, stream: Stream, half: bool | None = None) -> tuple[Tensor, Tensors]:
        """What the head reads of some rows [N, B, E], or of those of a half, and their targets."""
        found: list[Tensor] = []
        targets: list[Tensors] = []
        self.eval()
        for batch in stream(HEAD_ROWS):  # of all the split: rows are often stored class by class
            own = batch.to(self.head.weight.device).roles
            chosen = slice(None) if half is None else halves(batch.rows) == half
            found.append(self.norm(prefixes(self.embed(own["input"]), self.widths))[:, chosen])
            targets.append({name: tensor[chosen] for name, tensor in own["target"].items()})
        self.train()
        return torch.cat(found, 1), joined(targets)

    @property
    def _computed(self) -> bool:
        return not self.grafted and isinstance(self.encoders["input"], SentenceEncoder)

    def embed(self, inputs: Tensors) -> Tensor:
        embedding: Tensor = self.neck(self.encoders["input"].pooled(inputs))  # [B, D] -> [B, E]
        return embedding

    def scores(self, inputs: Tensors) -> Tensor:
        """[B, K]"""
        return self.scored(self.embed(inputs)) + self.known(inputs)

    def known(self, inputs: Tensors) -> Tensor | float:
        """What is told of items [B, K] whatever the network makes of them."""
        return 0.0

    def scored(self, embeddings: Tensor) -> Tensor:
        """[…, E] to [..., K]"""
        scores: Tensor = self.head(self.dropout(self.norm(embeddings)))
        return scores.float()

    def loss(self, batch: Batch) -> Loss:
        inputs = batch.roles["input"]
        scores = self.scored(prefixes(self.embed(inputs), self.widths)) + self.known(inputs)  # [N, B, K]
        return over_prefixes(scores, lambda each: self.loss_of(each, batch.roles["target"]))

    @abstractmethod
    def loss_of(self, scores: Tensor, target: Tensors) -> Loss:
        """The loss of scores [B, K]."""
