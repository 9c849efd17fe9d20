"""What a model of texts says of single words: are pairs as alike as people find them, does it answer analogies.

Judgements come from files that a job names; words that the model does not know are left out and counted.
Legend: `P` pairs, `Q` analogies, `W` different words, `E` width of the embedding.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from app.errors import OutOfRange, WrongShape, WrongType
from app.ml.jobs.train import Evaluation
from app.ml.modalities.text import FittedText
from app.ml.text.tokenization import SPECIALS, UNKNOWN
from app.registry import files, objects
from app.settings import MIB
from worker.evaluation import probes
from worker.progress import Reporter

MOST_BYTES = 16 * MIB
SEPARATORS = re.compile(r"[\t,;]|\s+")
CHUNK = 512
"""Analogies that are compared with all words at once."""

Embed = Callable[[Sequence[str]], Tensor]
"""Words to embeddings [W, E]."""


@dataclass(frozen=True)
class WordTests:
    """Pairs of words with what people say of their likeness, and questions "a is to b as c is to d"."""

    pairs: list[tuple[str, str, float]] = field(default_factory=list)
    analogies: list[tuple[str, str, str, str]] = field(default_factory=list)


def read(reporter: Reporter, project_id: str, asked: Evaluation) -> WordTests:
    """The files that a job names. Raises NotFound, OutOfRange, WrongShape and WrongType."""
    found: dict[str, str] = {}
    for name, file_id in (("word_pairs", asked.word_pairs), ("analogies", asked.analogies)):
        if file_id is None:
            continue
        param = f"evaluation.{name}"
        with reporter.database.reading() as session:
            file = files.get(session, project_id, file_id)
            held = objects.held(session, file.id)[files.CONTENT]
        if file.size_bytes > MOST_BYTES:
            raise OutOfRange(f"{param}: has {file.size_bytes:,} bytes; at most {MOST_BYTES:,} are read", param=param)
        try:
            found[name] = b"".join(reporter.storage.open(held)).decode()
        except UnicodeDecodeError as error:
            raise WrongType(f"{param}: is no text in UTF-8 (byte {error.start})", param=param) from None
    return WordTests(
        pairs_of(found["word_pairs"]) if "word_pairs" in found else [],
        analogies_of(found["analogies"]) if "analogies" in found else [],
    )


def pairs_of(text: str) -> list[tuple[str, str, float]]:
    """Two words and a number a line, what follows is not read; `#` begins a remark, and a line of names may come first.

    Raises WrongShape, WrongType and OutOfRange.
    """
    pairs: list[tuple[str, str, float]] = []
    for number, parts in _lines(text, "#"):
        if len(parts) < 3:
            raise WrongShape(
                f"evaluation.word_pairs: line {number} has {len(parts)} fields; expected two words and a number",
                param="evaluation.word_pairs",
            )
        score = _number(parts[2])
        if score is None and number > 1:
            raise WrongType(
                f"evaluation.word_pairs: line {number} has {parts[2]!r:.40} where a number was expected",
                param="evaluation.word_pairs",
            )
        if score is not None:
            pairs.append((parts[0], parts[1], score))
    if len(pairs) < 2:
        raise OutOfRange(
            f"evaluation.word_pairs: has {len(pairs)} pairs; at least 2 are needed", param="evaluation.word_pairs"
        )
    return pairs


def analogies_of(text: str) -> list[tuple[str, str, str, str]]:
    """Four words a line; `:` begins the name of a section, `#` a remark. Raises WrongShape and OutOfRange."""
    analogies: list[tuple[str, str, str, str]] = []
    for number, parts in _lines(text, "#:"):
        if len(parts) != 4:
            raise WrongShape(
                f"evaluation.analogies: line {number} has {len(parts)} words; expected four",
                param="evaluation.analogies",
            )
        analogies.append((parts[0], parts[1], parts[2], parts[3]))
    if not analogies:
        raise OutOfRange("evaluation.analogies: has none; at least one is needed", param="evaluation.analogies")
    return analogies


def metrics(tests: WordTests, modality: FittedText, embed: Embed) -> dict[str, Any]:
    """`word_similarity`, Spearman's rank correlation with people's judgements, and `analogy_accuracy`, the share of
    analogies whose last word is the nearest to b - a + c by cosine (Mikolov 2013) among all known words but those
    three; beside them how many there are, and of how many all words are known. Null where these are too few.
    """
    known = known_words(modality)
    result: dict[str, Any] = {}
    if tests.pairs:
        kept = [(known(a), known(b), score) for a, b, score in tests.pairs]
        pairs = [(a, b, score) for a, b, score in kept if a and b]
        result |= {"word_pairs": len(kept), "word_pairs_known": len(pairs), "word_similarity": None}
        if len(pairs) > 1:
            left, right = normalize(embed([a for a, *_ in pairs])), normalize(embed([b for _, b, _ in pairs]))
            result["word_similarity"] = rank_correlation(
                (left * right).sum(1), torch.tensor([score for *_, score in pairs])
            )
    if tests.analogies:
        asked = [tuple(known(word) for word in quad) for quad in tests.analogies]
        quads = [[word for word in quad if word] for quad in asked if all(quad)]
        result |= {"analogies": len(asked), "analogies_known": len(quads), "analogy_accuracy": None}
        if quads:
            told = analogies_right(quads, vocabulary(modality), embed)
            result["analogy_accuracy"] = float(told.double().mean())
            result["intervals"] = {"analogy_accuracy": list(probes.interval(told))}
    return result


def known_words(modality: FittedText) -> Callable[[str], str | None]:
    """A word as the model knows it, or None: where its vocabulary is one of words, it must be one of them."""
    if modality.settings.kind != "words":
        return str.lower
    names = {token: word for word, token in modality.tokenizer.get_vocab().items()}

    def known(word: str) -> str | None:
        ids = modality.cut([word])[0]
        return names[ids[0]] if len(ids) == 1 and ids[0] != UNKNOWN else None

    return known


def vocabulary(modality: FittedText) -> list[str]:
    """All words of a vocabulary of words; of others none, since their tokens are pieces."""
    if modality.settings.kind != "words":
        return []
    return [word for word, token in modality.tokenizer.get_vocab().items() if token >= len(SPECIALS)]


def analogies_right(quads: Sequence[Sequence[str]], others: Sequence[str], embed: Embed) -> Tensor:
    """Which [Q] are answered right, among the words of all analogies and `others`."""
    words = list(dict.fromkeys([*(word for quad in quads for word in quad), *others]))
    places = {word: place for place, word in enumerate(words)}
    unit = normalize(embed(words))  # [W, E]
    right: list[Tensor] = []
    for first in range(0, len(quads), CHUNK):
        a, b, c, d = torch.tensor([[places[word] for word in quad] for quad in quads[first : first + CHUNK]]).unbind(1)
        scores = normalize(unit[b] - unit[a] + unit[c]) @ unit.T  # [Q, W]
        scores.scatter_(1, torch.stack([a, b, c], 1), -torch.inf)
        right.append(scores.argmax(1) == d)
    return torch.cat(right)


def rank_correlation(one: Tensor, other: Tensor) -> float | None:
    """Spearman 1904, equal values sharing their ranks; None where all values of one are equal."""
    value = float(torch.corrcoef(torch.stack([_ranks(one), _ranks(other)]))[0, 1])
    return value if math.isfinite(value) else None


def _ranks(values: Tensor) -> Tensor:
    _, which, counts = torch.unique(values, return_inverse=True, return_counts=True)
    ranks: Tensor = (counts.cumsum(0) - (counts - 1) / 2)[which].double()
    return ranks


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _lines(text: str, remarks: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if (stripped := line.strip()) and stripped[0] not in remarks:
            yield number, [part for part in SEPARATORS.split(stripped) if part]
