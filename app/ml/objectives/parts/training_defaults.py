"""How often and in which batches a training sees its data where nobody says, from what is known of them."""

import math
from dataclasses import dataclass
from typing import Any

from app.ml.tensors.shapes import Shape

GRAFT_RATE = 0.3
"""Learning rate of what has learned before as a share of a beginner's: at full rate it would be undone."""
MOST_SCORES = 250_000_000
"""Scores of words that a batch may have by default: 1 GB."""
ROWS_SEEN, TEXTS_SEEN = 1_200_000, 200_000
"""That a training sees by default where no other bound is nearer: a text costs what many rows do."""
TOKENS_SEEN, ENOUGH_SECONDS = 1_000_000, 600.0
"""The same of tokens, about ten minutes of a small transformer on two cores; and these ten minutes."""


@dataclass(frozen=True)
class TrainingData:
    """What is known of the training data when defaults are chosen."""

    shape: Shape
    rows: int
    """Training rows that have all the objective needs."""
    classes: int | None = None
    from_base: bool = False
    """True when the encoder comes from a base model."""
    length: float = 1
    """Places of a row of mean length, about: tokens of a text."""
    settled: bool = False
    """True when the encoder is settled before the first step."""
    named: bool = False
    """True when the client or the base model says which encoder it is."""

    def bounded(self, epochs: int, tokens: int = TOKENS_SEEN) -> dict[str, Any]:
        """At most `epochs` over texts, in which a network sees about so many tokens.

        Where even one pass is more than that, time is the bound.
        """
        most = tokens / (self.length * self.rows)
        return {"epochs": max(1, min(epochs, round(most))), **({"max_seconds": ENOUGH_SECONDS} if most < 1 else {})}

    def usual_training(self, *, scores_vocabulary: bool) -> tuple[dict[str, Any], str]:
        """Epochs, batch size and learning rate, and why; `scores_vocabulary` as the objective says it."""
        batch = min(max(2 ** round(math.log2(max(1, self.rows / 32))), 16), 128)
        if self.rows >= 200_000:
            batch = 512
        texts = self.shape.layout == "tokens"
        if texts and scores_vocabulary:
            places = self.shape.count * (self.shape.vocabulary or 1)
            batch = min(batch, max(8, 2 ** int(math.log2(max(1.0, MOST_SCORES / places)))))
        steps = math.ceil(self.rows / batch)
        epochs = min(max(round((TEXTS_SEEN if texts else ROWS_SEEN) / self.rows), 3), 60)
        epochs = max(epochs, min(math.ceil(600 / steps), 300))
        passes = self.bounded(epochs) if texts and scores_vocabulary else {"epochs": epochs}
        epochs = passes["epochs"]
        return (
            {**passes, "batch_size": batch, "learning_rate": 2e-3},
            f"{self.rows:,} training rows, {epochs} times over, are {epochs * math.ceil(self.rows / batch):,} steps",
        )
