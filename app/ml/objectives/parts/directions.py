"""Directions among words and pairs of words that tell targets, in place of a bag's least directions.

The directions in which texts differ most hold only a part of what tells their targets; where these are known, a
regression on the words and pairs themselves finds the rest.
Legend: `N` texts, `F` features of a bag, `K` scores that targets are compared with, `D` width of a bag's vectors.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from app.ml.decomposition.factorisation import Block, eigen, merged
from app.ml.networks.lbfgs import Lbfgs
from app.ml.tensors.batch import Loss, Stream
from app.ml.tensors.padding import joined
from app.ml.tensors.shapes import Tensors
from app.ml.words.bags import Bags

STRENGTH = 10.0
"""Of the losses of all texts together beside half the squared weights; texts have length 1."""
STEPS, REMEMBERED = 50, 10
"""Of L-BFGS, and those that it looks back on."""
MOST_ENTRIES = 40_000_000
"""Features of texts that they are learned from (1 GB)."""
MOST_WEIGHTS = 10_000_000
"""Features times scores up to which they are computed: 1 GB with what L-BFGS remembers."""
PART = 4
"""One of so many directions tells targets at most."""

LossOf = Callable[[Tensor, Tensors], Loss]


@dataclass(frozen=True)
class Told:
    """Texts as bags, with their targets."""

    bags: Bags
    texts: Block
    targets: Tensors
    rows: Tensor
    """[N]"""

    @classmethod
    def of(cls, bags: Bags, stream: Stream) -> "Told":
        """All texts, or every second batch, every fourth …, where the features of all would be too many."""
        kept: list[tuple[Block, Tensors, Tensor]] = []
        every = 1
        for number, batch in enumerate(stream()):
            if number % every == 0:
                read = batch.roles["input"]
                kept.append((bags.features(read["values"], read["mask"]), batch.roles["target"], batch.rows))
                if sum(len(block.values) for block, _, _ in kept) > MOST_ENTRIES and len(kept) > 1:
                    kept, every = kept[::2], 2 * every
        blocks, targets, rows = zip(*kept, strict=True)
        return cls(bags, merged(blocks), joined(targets), torch.cat(rows))

    @torch.no_grad()
    def directions(self, scores: int, loss_of: LossOf) -> tuple[Tensor, Tensor, Tensor]:
        """[F, Q] of what tells the targets: as the texts that are not in each half say, and as all do.

        They are as long in the mean as the directions beside them. None where they would be too many.
        """
        table, inside = self.bags.table.data, halves(self.rows)  # [F, D], [N]
        most = min(scores, table.shape[1] // PART) if len(table) * scores <= MOST_WEIGHTS else 0
        everyone = self._weights(scores, loss_of, torch.ones_like(inside)) if most else table[:, :0]
        turns, _ = eigen(everyone.T @ everyone, most)
        turns = turns[:, turns.any(0)]  # [K, Q]
        if not turns.shape[1]:
            return (table[:, :0],) * 3
        kept = table[:, : table.shape[1] - turns.shape[1]]
        lengths = [self.texts.times(part).square().sum().sqrt() for part in (kept, everyone @ turns)]
        turns = turns * (lengths[0] / lengths[1].clamp_min(1e-30))
        others = [self._weights(scores, loss_of, inside != half) @ turns for half in (False, True)]
        return others[0], others[1], everyone @ turns

    def place(self, directions: Tensor) -> None:
        """Puts [F, Q] in place of the bags' last directions."""
        if directions.shape[1]:
            self.bags.table.data[:, -directions.shape[1] :] = directions

    def _weights(self, scores: int, loss_of: LossOf, among: Tensor) -> Tensor:
        """[F, K] of a regression whose squared weights are held down, by L-BFGS."""
        width = len(self.bags.table)
        weights, level = torch.zeros(width, scores), torch.zeros(scores)
        if not among.any():
            return weights
        targets = {name: tensor[among] for name, tensor in self.targets.items()}
        solver = Lbfgs([weights, level], max_iter=STEPS, history_size=REMEMBERED, line_search_fn="strong_wolfe")
        side = self.texts.transposed(width)  # as torch derives sums of embeddings, a step takes ten times as long

        def cost() -> float:
            told = (self.texts.times(weights) + level).requires_grad_()
            with torch.enable_grad():
                loss = loss_of(told[among], targets)
                (slopes,) = torch.autograd.grad(loss.sum, told)
            weights.grad = (side.times(slopes) + weights / STRENGTH) / loss.count
            level.grad = slopes.sum(0) / loss.count
            return float(loss.sum.detach() + weights.square().sum() / (2 * STRENGTH)) / loss.count

        solver.step(cost)  # type: ignore[no-untyped-call]
        return weights


def halves(rows: Tensor) -> Tensor:
    """In which of two halves each row is [N] bool, whichever rows were chosen."""
    mixed: Tensor = (rows * 0x9E3779B1 >> 16) % 2 == 0
    return mixed
