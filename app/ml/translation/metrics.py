"""How good translations are, and how good those of simple baselines. Knows no network."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from app.ml.modalities.base import Fitted
from app.ml.tensors.batch import Batch
from app.ml.translation.chrf import chrf
from app.ml.translation.memory import TranslationMemory

Pairs = Sequence[tuple[str, str]]


def texts(batches: Iterable[Batch], source: Fitted, target: Fitted) -> Iterator[tuple[str, str]]:
    """Sources and their targets, as they were read."""
    for batch in batches:
        parts = (role.render(batch.roles[name]["values"]) for name, role in (("source", source), ("target", target)))
        yield from zip(*parts, strict=True)


def text_metrics(pairs: Pairs) -> dict[str, float]:
    """`chrf` and `exact_match` (white space aside) of pairs of a text and what it should be."""
    exact = sum(made.split() == wanted.split() for made, wanted in pairs) / max(1, len(pairs))
    return {"chrf": chrf(pairs), "exact_match": exact}


def simple_baselines(known: Pairs, asked: Pairs) -> dict[str, dict[str, float]]:
    """`text_metrics` of baselines that translate the pairs `asked` by what stands in the pairs `known`.

    `copy`: the source as it is. `most_frequent`: the commonest target. `nearest`: a translation memory.
    """
    memory = TranslationMemory([source for source, _ in known], [target for _, target in known])
    common = Counter(target for _, target in known).most_common(1)[0][0]
    return {
        "copy": text_metrics(asked),
        "most_frequent": text_metrics([(common, target) for _, target in asked]),
        "nearest": text_metrics([(memory.nearest(source), target) for source, target in asked]),
    }
