"""What translations are worth, and what answers are that nobody had to learn. Knows no network."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from app.ml.batch import Batch
from app.ml.modalities.base import Fitted
from app.ml.translation.chrf import chrf
from app.ml.translation.memory import TranslationMemory

Pairs = Sequence[tuple[str, str]]


def texts(batches: Iterable[Batch], source: Fitted, target: Fitted) -> Iterator[tuple[str, str]]:
    """Sources and their targets, as they were read."""
    for batch in batches:
        parts = (role.render(batch.roles[name]["values"]) for name, role in (("source", source), ("target", target)))
        yield from zip(*parts, strict=True)


def judged(pairs: Pairs) -> dict[str, float]:
    """`chrf` and `exact_match`, but for white space, of texts and what they should be."""
    exact = sum(made.split() == wanted.split() for made, wanted in pairs) / max(1, len(pairs))
    return {"chrf": chrf(pairs), "exact_match": exact}


def easy_answers(known: Pairs, asked: Pairs) -> dict[str, dict[str, float]]:
    """The figures of easy answers to the sources `asked`, from the pairs that are `known`.

    `copy`: the source as it is. `most_frequent`: the commonest target. `nearest`: a translation memory.
    """
    memory = TranslationMemory([source for source, _ in known], [target for _, target in known])
    common = Counter(target for _, target in known).most_common(1)[0][0]
    return {
        "copy": judged(asked),
        "most_frequent": judged([(common, target) for _, target in asked]),
        "nearest": judged([(memory.nearest(source), target) for source, target in asked]),
    }
