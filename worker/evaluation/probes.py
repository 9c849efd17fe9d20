"""Probes: what small, fixed classifiers tell from features. The same for the model and for every baseline.

Columns are centred and divided by their deviation over the training rows, then rows are scaled to length 1. The nearest
neighbours may also take columns that are centred alone, if the training rows' own neighbours agree better so: dividing
helps features of different units and hurts principal components.
Legend: `N` training rows, `M` evaluated rows, `E` width of the features, `K` classes, `G` strengths of regularisation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from app.ml.networks.lbfgs import Lbfgs

NEIGHBOURS = 10
CHUNK = 1024
CHOOSING_ROWS = 2000
"""Training rows by which scaling and regularisation are chosen."""
FOLDS = 3
STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
"""Regularisation: the weight of half the squared weights beside the mean cross-entropy."""
WORK = 1_000_000_000
"""Products of rows, width and classes beyond which fewer rows are learned from, not under `FEWEST`."""
FEWEST = 1000
STEPS = 60
DRAWS = 1000
"""Bootstrap samples behind an interval (Efron 1979)."""


@dataclass(frozen=True)
class Labelled:
    """Features of training rows [N, E] and evaluated rows [M, E], and their class numbers."""

    train: Tensor
    test: Tensor
    train_labels: Tensor
    test_labels: Tensor


def nearest_right(rows: Labelled) -> Tensor:
    """For every evaluated row [M] bool, whether its nearest training rows by cosine are mostly of its own class."""
    few = rows.train[:: max(1, len(rows.train) // CHOOSING_ROWS)][:CHOOSING_ROWS]
    labels = rows.train_labels[:: max(1, len(rows.train) // CHOOSING_ROWS)][:CHOOSING_ROWS]
    own = [
        float((_voted(few_scaled, few_scaled, labels, itself=True) == labels).float().mean())
        for few_scaled in (scaled(few, few, divided=divided)[0] for divided in (True, False))
    ]
    train, test = scaled(rows.train, rows.test, divided=own[0] >= own[1])
    return _voted(train, test, rows.train_labels, itself=False) == rows.test_labels


def linear_right(rows: Labelled, seed: int = 0) -> Tensor:
    """For every evaluated row [M] bool, whether a linear classifier of the training rows tells its class.

    Multinomial logistic regression, solved by L-BFGS (Liu & Nocedal 1989); its regularisation has the lowest
    cross-entropy on `FOLDS` parts of at most `CHOOSING_ROWS` training rows that it did not learn from.
    """
    classes = int(torch.cat([rows.train_labels, rows.test_labels]).max()) + 1
    width = rows.train.shape[1]
    order = torch.randperm(len(rows.train), generator=torch.Generator().manual_seed(seed))
    order = order[: max(FEWEST, WORK // (width * classes))]
    train, test = scaled(rows.train[order], rows.test, divided=True)
    train, test = within_span(train * width**0.5, test * width**0.5)
    labels = rows.train_labels[order]
    costs = torch.zeros(len(STRENGTHS))
    few = min(CHOOSING_ROWS, len(train))
    for part in torch.arange(few).chunk(min(FOLDS, few)):
        learned = torch.ones(few, dtype=torch.bool).index_fill(0, part, False)
        weights = _fitted(train[:few][learned], labels[:few][learned], classes, STRENGTHS)
        for place, scores in enumerate(_scores(weights, train[part])):
            costs[place] += cross_entropy(scores, labels[part], reduction="sum")
    best = STRENGTHS[int(costs.argmin())]
    return _scores(_fitted(train, labels, classes, (best,)), test)[0].argmax(1) == rows.test_labels


def interval(values: Tensor, seed: int = 0) -> tuple[float, float]:
    """The middle 95 % of the means of `values` [M] over bootstrap samples of the evaluated rows."""
    random = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(values), (DRAWS, len(values)), generator=random)
    low, high = values.double()[drawn].mean(1).quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    return low, high


def scaled(train: Tensor, test: Tensor, *, divided: bool) -> tuple[Tensor, Tensor]:
    """Both by the training rows' columns, then every row to length 1."""
    middle = train.mean(0)
    spread = train.std(0, correction=0) if divided else torch.ones_like(middle)
    spread = torch.where(spread > 1e-5 * middle.abs(), spread, torch.inf)  # what never changes tells nothing
    return normalize((train - middle) / spread), normalize((test - middle) / spread)


def within_span(train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Both [N, N] and [M, N] in the training rows' span where they are wider than many: the same classifier, sooner.

    Weights that are held small lie in the span, and to turn them changes neither their length nor the scores.
    """
    if train.shape[1] <= len(train):
        return train, test
    span = torch.linalg.qr(train.T)[0]  # [E, N]
    return train @ span, test @ span


def _voted(train: Tensor, test: Tensor, labels: Tensor, *, itself: bool) -> Tensor:
    """The commonest class [M] of the nearest rows; ties go to the lower class. `itself`: the rows judge one another."""
    votes = []
    for first in range(0, len(test), CHUNK):
        likeness = test[first : first + CHUNK] @ train.T
        if itself:
            likeness[torch.arange(len(likeness)), torch.arange(first, first + len(likeness))] = -torch.inf
        nearest = likeness.topk(max(1, min(NEIGHBOURS, len(train) - itself))).indices
        votes.append(labels[nearest].mode(1).values)
    return torch.cat(votes)


def _fitted(rows: Tensor, labels: Tensor, classes: int, strengths: tuple[float, ...]) -> Tensor:
    """Weights and biases [G, E + 1, K], one classifier per strength, all found together."""
    rows = torch.cat([rows, torch.ones(len(rows), 1)], 1)
    weights = torch.zeros(len(strengths), rows.shape[1], classes, requires_grad=True)
    strength = torch.tensor(strengths)
    solver = Lbfgs([weights], max_iter=STEPS, tolerance_grad=1e-5, line_search_fn="strong_wolfe")

    def cost() -> float:
        solver.zero_grad()
        scores = rows @ weights  # [G, N, K]
        wrong = cross_entropy(scores.flatten(0, 1), labels.repeat(len(strengths))) * len(strengths)
        total = wrong + (strength / 2 * weights[:, :-1].square().sum((1, 2))).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return float(total.detach())

    with torch.enable_grad():
        solver.step(cost)  # type: ignore[no-untyped-call]
    return weights.detach()


def _scores(weights: Tensor, rows: Tensor) -> Tensor:
    """[G, M, K]"""
    return rows @ weights[:, :-1] + weights[:, -1:]
