"""What labels are told from: the embedding of a model, and the baselines beside it on the same rows.

Legend: `N` rows, `W` numbers per row, `E` width of the embedding.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from app.ml.build import build_network
from app.ml.modalities.text import FittedText
from app.ml.objectives.base import Objective
from app.ml.tensors.parts import parts
from app.ml.words.bag_fitting import fit_bags
from app.ml.words.bags import Bags
from worker.evaluation import baselines
from worker.evaluation.subject import Rows, Subject, answer

WIDEST_RAW = 4096
"""Numbers per row beyond which raw rows are no baseline: their probe alone would outlast the training."""

Featured = Callable[[Rows], Tensor]
"""Rows to their features [N, E]."""
Principal = Callable[[int], tuple[Tensor, Tensor]]
"""Width to so many principal components of the rows that are learned from, and their mean."""


def all_features(subject: Subject, principal: Principal, train: Rows, test: Rows) -> dict[str, Featured]:
    """Name to features [N, E] of rows: of the model under the name "", and of the baselines that suit the modality.

    Rows that are asked for again pass no network again.
    """
    untrained = untrained_network(subject)
    ours = answer(subject.network, "embed", test.first(1).inputs)
    found: dict[str, Featured] = {
        "": functools.cache(lambda rows: answer(subject.network, "embed", rows.inputs)),
        "untrained": functools.cache(lambda rows: answer(untrained, "embed", rows.inputs)),
    }
    asked = subject.spec.objective.request_role
    fitted, width = subject.fitted[asked], ours.shape[1]
    if fitted.shape.layout == "tokens":

        @functools.cache  # it takes a while, and without labels nobody asks for it
        def bags() -> Bags:
            made, pieces = Bags(fitted.shape.words, width), list(parts(train.inputs))
            torch.manual_seed(0)
            assert isinstance(fitted, FittedText)
            fit_bags(made, lambda: iter(pieces), lambda share: None, letters=fitted.letters())
            return made

        found["tfidf_svd"] = lambda rows: torch.cat([bags()(**piece) for piece in parts(rows.inputs)])
        return found

    def projected(rows: Rows) -> Tensor:
        components, mean = principal(width)
        return (rows.flat - mean) @ components

    found["pca"] = projected
    if fitted.settings.name == "audio":
        found["mfcc"] = lambda rows: baselines.mfcc(rows.inputs["values"])
    channels = fitted.shape.channels or getattr(subject.spec.roles[asked].encoder, "channels", None)
    if channels is not None:
        found["statistics"] = lambda rows: baselines.series(rows.flat, channels)
    if fitted.shape.count <= WIDEST_RAW:
        found["raw"] = lambda rows: rows.flat
    return found


def untrained_network(subject: Subject) -> Objective:
    """As it was before its first step."""
    torch.manual_seed(subject.seed)
    return build_network(subject.spec.network(), subject.fitted).eval()
