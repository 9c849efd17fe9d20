"""Learns to translate, or to rewrite in any other way: from a text and what becomes of it (Vaswani 2017).

Legend: `B` batch, `L` tokens of the source, `T` of the target, `S` width of the encoder's features, `D` width of the
decoder, `V` vocabulary of the targets.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from app.errors import DoesNotFit
from app.ml.encoders.base import Encoders
from app.ml.modalities.text import FittedText
from app.ml.networks.attention import check_heads
from app.ml.objectives.base import Objective, ObjectiveSettings, Role, RoleNeeds
from app.ml.objectives.parts.training_defaults import ENOUGH_SECONDS, TrainingData
from app.ml.tensors.batch import Batch, Loss, Stream
from app.ml.tensors.padding import joined_answers, shortened
from app.ml.tensors.shapes import Shape, Tensors
from app.ml.text.tokenization import MASK
from app.ml.translation.beam_search import BEAMS, search
from app.ml.translation.continuing import Continuing
from app.ml.translation.decoder import Memory, TextDecoder
from app.ml.translation.metrics import simple_baselines, text_metrics, texts
from app.ml.translation.teaching import Lesson, counted, lesson
from app.ml.translation.vocabulary import Vocabulary

NORMALISATION = 1.0
"""Power of the length by which log-probabilities are divided: at 0 short translations would win."""
EVALUATED, VALIDATED = 500, 100
"""Rows that are translated for the metrics: of the finished network, and at each validation."""
AT_ONCE = 128
"""Rows that are translated together."""
SPARE, STRETCH = 10, 3
"""Tokens that a translation may have beside, and times, what the training rows let expect of its source."""
SEEN = 1_500_000
"""Tokens of sources that a training sees by default, where ten minutes are enough for them."""
MOST_EPOCHS = 60
MANY, NARROW = 100_000, 128
"""Pairs from which networks are larger, and numbers per token below."""


class Translation(ObjectiveSettings):
    """Turn every source into its target: another language, another spelling, an answer. Learns from pairs of texts."""

    name: Literal["translation"] = "translation"
    """Translate."""
    roles: ClassVar[Mapping[str, RoleNeeds]] = {
        "source": RoleNeeds(frozenset({"tokens"}), encoded=True),
        "target": RoleNeeds(frozenset({"tokens"})),
    }
    abilities: ClassVar[frozenset[str]] = frozenset({"translate"})
    request_role: ClassVar[str] = "source"
    selection_metric: ClassVar[tuple[str, bool]] = ("chrf", True)
    allows_augmentation: ClassVar[bool] = False
    keeps_answers: ClassVar[bool] = True
    groups_by_length: ClassVar[bool] = True
    scores_vocabulary: ClassVar[bool] = True
    modality_defaults: ClassVar[Mapping[str, Any]] = {"vocabulary": 4000, "max_length": 512}

    shared: bool | None = None
    """One vocabulary for sources and targets. By default where both are read in one way and no base model brings its
    own."""
    width: int | None = Field(None, ge=8, le=4096)
    """Numbers per token of the decoder. By default 128, and 256 where 100,000 pairs or more are learned from."""
    depth: int = Field(2, ge=1, le=32)
    """Layers of the decoder."""
    heads: int = Field(4, ge=1, le=64)
    """Parts in which a token looks at others at once; `width / heads` must be a multiple of 4."""
    dropout: float = Field(0.2, ge=0, lt=1)
    """Share of what each of its layers contributes, and of what it reads, that is set to zero while training."""
    hidden: float = Field(0.1, ge=0, lt=1)
    """Share of the tokens of both texts that are hidden while training, so that few pairs are not learned by heart."""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Share of certainty that is spread over all words (Szegedy 2016)."""

    @model_validator(mode="after")
    def _divides(self) -> "Translation":
        check_heads(self.width or NARROW, self.heads)
        return self

    def encoder_size(self, name: str, shape: Shape, rows: int) -> tuple[dict[str, Any], str]:
        if name != "transformer" or rows >= MANY:
            return {}, ""
        return {"width": NARROW, "depth": 2}, f"{rows:,} pairs, fewer than {MANY:,}: it sees them more often"

    def default_settings(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        width = self.width or (NARROW if data.rows < MANY else 2 * NARROW)
        return {"width": width}, f"{data.rows:,} pairs"

    def shared_roles(self, parts: Mapping[str, Any], base: Mapping[str, Any]) -> Mapping[str, str]:
        alike = parts["source"].modality == parts["target"].modality
        if base:  # that of another objective knows nothing of targets
            alike = "target" in base and base["target"].like == "source"
        if self.shared and not alike:
            raise DoesNotFit(
                "objective.shared: sources and targets cannot share a vocabulary, since they are read in different "
                "ways or a base model brings one for the sources alone; leave shared out",
                param="objective.shared",
            )
        return {"target": "source"} if alike and self.shared is not False else {}

    def default_training(self, data: TrainingData) -> tuple[dict[str, Any], str]:
        batch = min(max(2 ** round(math.log2(max(1, data.rows / 64))), 16), 64)
        passes = data.bounded(MOST_EPOCHS, SEEN) | {"max_seconds": ENOUGH_SECONDS}
        rates = {"learning_rate": 2e-3, "warmup": 0.1, "schedule": "cosine"}
        reason = f"{data.rows:,} pairs with {data.length:.0f} tokens each, {passes['epochs']} times over"
        return {**passes, **rates, "batch_size": batch}, reason

    def build(self, roles: Mapping[str, Role]) -> "Translator":
        return Translator(self, roles["source"], roles["target"])


class Translator(Objective):
    """An encoder of sources, and a decoder that tells each token of the target from those before it and the source."""

    baseline_rows: ClassVar[int] = 20_000
    pace: Tensor

    def __init__(self, settings: Translation, source: Role, target: Role) -> None:
        super().__init__()
        assert source.encoder is not None
        assert isinstance(source.modality, FittedText)
        assert isinstance(target.modality, FittedText)
        self.settings, self.source, self.target = settings, source.modality, target.modality
        shape, width, read = target.modality.shape, settings.width or NARROW, source.encoder.width
        assert shape.vocabulary is not None
        self.most = shape.size[0]
        self.encoders = Encoders({"source": source.encoder})
        self.read_norm, self.dropout = nn.LayerNorm(read), nn.Dropout(settings.dropout)
        self.words = Vocabulary(shape.vocabulary, width, known=shape.words)
        self.decoder = TextDecoder(
            width=width,
            heads=settings.heads,
            depth=settings.depth,
            source=read,
            places=self.most + 1,
            dropout=settings.dropout,
        )
        self.register_buffer("pace", torch.ones(()))
        """Tokens of a target for each of its source, in the mean."""

    @property
    def fast_weights(self) -> list[Tensor]:
        """Vectors of words; of the encoder's those that have not been taught before."""
        read = [] if self.grafted else self.encoders.modules()
        return [self.words.vectors, *(module.weight for module in read if isinstance(module, nn.Embedding))]

    def begin(self, stream: Stream) -> None:
        """Sets how long targets are and how frequent their words. Raises DoesNotFit where all are the same."""
        pace, counts = counted(stream, self.words.bias.shape[0])
        self.pace.fill_(pace)
        self.words.expect(counts)

    def chances(self, batch: Batch) -> dict[str, Tensor]:
        if not self.training or not self.settings.hidden:
            return {}
        random = batch.generator()
        return {role: torch.rand(part["values"].shape, generator=random) for role, part in batch.roles.items()}

    def loss(self, batch: Batch) -> Loss:
        """Sum of the smoothed cross-entropies, in nats, over all tokens and the end of each target; their number."""
        scores, taught = self._told(batch)
        smoothing = self.settings.label_smoothing
        each = cross_entropy(scores.transpose(1, 2), taught.wanted, reduction="none", label_smoothing=smoothing)
        return Loss((each * taught.counts).sum(), int(taught.counts.sum()))

    def translate(self, inputs: Tensors) -> Tensor:
        """Ids [B, T] of the likeliest translation of each source, zeros behind its end.

        `inputs` may hold `beams` [B], and `most` [B], how many tokens there may be at most.
        """
        order = inputs["mask"].sum(1).argsort(stable=True)  # what is of one length ends together
        parts = []
        for rows in torch.split(order, AT_ONCE):
            given = shortened({name: tensor[rows] for name, tensor in inputs.items()})
            parts.append(self._translated(given))
        return joined_answers(parts)[order.argsort()]

    def metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """`perplexity` of the targets' tokens; `chrf` and `exact_match` of the translations of up to EVALUATED rows."""
        return self._figures(batches, EVALUATED, BEAMS)

    def validation_metrics(self, batches: Iterable[Batch]) -> dict[str, float]:
        """The same of up to VALIDATED rows, whose likeliest token is taken each time."""
        return self._figures(batches, VALIDATED, 1)

    def baselines(self, train: Sequence[Batch], test: Sequence[Batch]) -> dict[str, dict[str, float]]:
        """The metrics of `copy`, `most_frequent` and `nearest`: see `simple_baselines`."""
        known, asked = (list(texts(batches, self.source, self.target)) for batches in (train, test))
        return simple_baselines(known, asked[:EVALUATED])

    def _figures(self, batches: Iterable[Batch], most: int, beams: int) -> dict[str, float]:
        """Of all batches the perplexity, of `most` rows what they are translated to with so many beams."""
        entropy, count = 0.0, 0
        pairs: list[tuple[str, str]] = []
        for batch in batches:
            scores, taught = self._told(batch)
            each = cross_entropy(scores.transpose(1, 2), taught.wanted, reduction="none")
            entropy, count = entropy + float((each * taught.counts).sum()), count + int(taught.counts.sum())
            rows = {name: tensor[: most - len(pairs)] for name, tensor in batch.roles["source"].items()}
            if len(rows["values"]):
                asked = {**rows, "beams": torch.full_like(rows["values"][:, 0], beams)}
                made = self.target.render(self.translate(asked).cpu())
                pairs += zip(made, self.target.render(batch.roles["target"]["values"].cpu()), strict=False)
        return {"perplexity": math.exp(min(entropy / max(1, count), 80.0)), **text_metrics(pairs)}

    def _told(self, batch: Batch) -> tuple[Tensor, Lesson]:
        """Scores [B, T, V] of the next tokens, and those that come."""
        shown = {role: part["values"] for role, part in batch.roles.items()} | self._hidden(batch)
        taught = lesson(batch, shown["target"], self.most)
        memory = self._read({**batch.roles["source"], "values": shown["source"]})
        return self.words.scores(self.decoder(self.words.read(taught.begun), memory)), taught

    def _hidden(self, batch: Batch) -> dict[str, Tensor]:
        """Ids of both sides, some of them hidden, where it learns."""
        if not self.training or not self.settings.hidden:
            return {}
        return {
            role: batch.roles[role]["values"].masked_fill(chance < self.settings.hidden, MASK)
            for role, chance in self.drawn(batch).items()
        }

    def _read(self, inputs: Tensors) -> Memory:
        """What the decoder looks at: a summary of the source, then its tokens."""
        features = self.encoders["source"](inputs)
        tokens = torch.cat([features.pooled[:, None].to(features.tokens.dtype), features.tokens], 1)
        return self.decoder.remember(self.dropout(self.read_norm(tokens)), pad(inputs["mask"], (1, 0), value=True))

    def _translated(self, inputs: Tensors) -> Tensor:
        lengths = inputs["mask"].sum(1)
        most = (SPARE + STRETCH * self.pace * lengths).long().clamp(max=self.most)
        most = torch.minimum(most, inputs["most"]) if "most" in inputs else most
        beams = inputs.get("beams", torch.full_like(lengths, BEAMS))
        made, order = [], []
        for count in torch.unique(beams).tolist():
            rows = (beams == count).nonzero()[:, 0]
            memory = self._read({name: inputs[name][rows] for name in ("values", "mask")})
            made.append(search(Continuing(self.decoder, memory, self.words), most[rows], count, NORMALISATION))
            order.append(rows)
        return joined_answers(made)[torch.cat(order).argsort()]
