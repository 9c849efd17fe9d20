"""Embeddings of texts by default tell topics as well as TF-IDF with SVD does, and better by few labels.

The texts are what the libraries at hand say of their functions, their labels the libraries' names.
"""

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor
from torch.nn.functional import normalize

from app.ml.encoders.sentences import Sentences
from app.ml.modalities.classes import Classes
from app.ml.modalities.text import FittedText, Text
from app.ml.objectives.base import Role
from app.ml.objectives.classification import Classification
from app.ml.objectives.parts.sentences import ENOUGH_WORDS, READ, trusted
from app.ml.objectives.sentence_embeddings import SentenceEmbeddings, SentenceNetwork
from app.ml.tensors.batch import Batch
from worker.evaluation.probes import Labelled, linear_right, nearest_right

LIBRARIES = ("numpy", "sklearn", "sqlalchemy", "celery")
EACH, TRAIN, WIDTH, LETTERS = 150, 400, 64, 400
Told = tuple[list[str], Tensor]


@pytest.fixture(scope="module")
def told() -> Told:
    rows = [(text, number) for number, name in enumerate(LIBRARIES) for text in descriptions(name)]
    order = np.random.default_rng(0).permutation(len(rows))
    return [rows[place][0] for place in order], torch.tensor([rows[place][1] for place in order])


def descriptions(library: str) -> list[str]:
    """The beginnings of docstrings, without the library's own name."""
    found = importlib.util.find_spec(library)
    assert found is not None
    assert found.origin is not None
    texts: dict[str, None] = {}
    for path in sorted(Path(found.origin).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and "test" not in str(path):
                words = re.sub(library, "", ast.get_docstring(node) or "", flags=re.IGNORECASE).split()
                if len(words) > 8:
                    texts[" ".join(words)[:LETTERS]] = None
        if len(texts) > 2 * EACH:
            break
    return list(texts)[:: len(texts) // EACH][:EACH]


def solved(texts: list[str]) -> tuple[SentenceNetwork, FittedText]:
    fitted = Text.model_validate({**SentenceEmbeddings.modality_defaults, "ngrams": 4096}).fit(
        [np.array(texts, object)]
    )
    network = blank(fitted)

    def stream(most: int | None = None) -> Iterator[Batch]:
        for first in range(0, len(texts), 200):
            rows = torch.arange(first, min(first + 200, len(texts)))
            yield Batch({"input": fitted.encode(np.array([texts[row] for row in rows], object))}, rows)

    torch.manual_seed(0)
    network.solve(stream, lambda share: None)
    return network, fitted


def blank(fitted: FittedText) -> SentenceNetwork:
    encoder = Sentences(dimensions=WIDTH).build(fitted.shape)
    return SentenceEmbeddings().build({"input": Role(fitted, encoder, WIDTH)})


def ours(texts: list[str]) -> Tensor:
    network, fitted = solved(texts[:TRAIN])
    with torch.inference_mode():
        return network.embed(fitted.encode(np.array(texts, object))).clone()


def theirs(texts: list[str], **settings: Any) -> Tensor:
    bags = TfidfVectorizer(sublinear_tf=True, **settings)
    svd = TruncatedSVD(WIDTH, random_state=0).fit(bags.fit_transform(texts[:TRAIN]))
    return normalize(torch.from_numpy(svd.transform(bags.transform(texts))).float())


def scores(features: Tensor, labels: Tensor) -> dict[str, float]:
    few = torch.cat([(labels[:TRAIN] == label).nonzero()[:10, 0] for label in range(len(LIBRARIES))])
    found = {}
    for name, chosen in (("all", torch.arange(TRAIN)), ("few", few)):
        rows = Labelled(features[chosen], features[TRAIN:], labels[chosen], labels[TRAIN:])
        found[f"linear, {name}"] = float(linear_right(rows).float().mean())
        found[f"nearest, {name}"] = float(nearest_right(rows).float().mean())
    return found


def test_topics_are_told_as_by_tfidf_with_svd(told: Told) -> None:
    texts, labels = told
    mine, base = (scores(features, labels) for features in (ours(texts), theirs(texts)))
    assert mine["linear, all"] > 0.7  # a quarter by chance
    for name, score in mine.items():
        assert score > base[name] - 0.06, (name, mine, base)


def unspaced(text: str) -> str:
    """As a script without spaces would write it: two letters of a word are one sign, a word is two or three of them."""
    pairs = (word[place : place + 2] for word in re.findall("[a-z]+", text.lower()) for place in range(0, len(word), 2))
    return "".join(chr(ord("\u4e00") + 27 * (ord(pair[0]) - 96) + ord(pair[1:] or "`") - 96) for pair in pairs)


def test_topics_are_told_as_by_letters_where_words_have_no_spaces_between_them(told: Told) -> None:
    texts, labels = [unspaced(text) for text in told[0]], told[1]
    of_letters = theirs(texts, analyzer="char", ngram_range=(1, 2), min_df=2)
    mine, base, words = (scores(features, labels) for features in (ours(texts), of_letters, theirs(texts)))
    for name, score in mine.items():
        assert score > base[name] - 0.06, (name, mine, base)
    assert mine["linear, all"] > words["linear, all"] + 0.2


def test_averages_count_for_more_the_more_text_they_are_learned_from(told: Told) -> None:
    some, many = (float(solved(told[0][:count])[0].encoder.trust) for count in (100, 400))
    assert 0 < some < many < 1  # 400 of these texts hold fewer words than are enough
    assert abs(many / some - 2) < 0.2  # with the root of how many words there are
    assert solved(["one two three " * 100, "four five"] * (ENOUGH_WORDS // 300))[0].encoder.trust == 1


def test_averages_of_letters_count_half() -> None:
    counts, letters = torch.tensor([0, ENOUGH_WORDS, ENOUGH_WORDS]), torch.tensor([False, True, False])
    assert trusted(counts, letters) == 0.75
    assert trusted(counts[:2], letters[:2]) == 0.5
    assert trusted(counts[2:] // 4, letters[2:]) == 0.5
    assert trusted(counts[:1], letters[:1]) == 0


def test_a_model_from_before_averages_were_weighed_answers_as_it_did(told: Told) -> None:
    network, fitted = solved(told[0][:100])
    network.encoder.trust.fill_(1)
    older = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("trust")}
    loaded = blank(fitted)
    loaded.load_state_dict(older)
    texts = fitted.encode(np.array(told[0][:20], object))
    assert torch.equal(loaded.embed(texts), network.embed(texts))


def test_what_learns_classes_of_texts_begins_with_sentences_that_are_computed_and_a_head_that_is_solved(
    told: Told,
) -> None:
    texts, numbers = told
    fitted = Text.model_validate({**READ, "ngrams": 4096}).fit([np.array(texts[:TRAIN], object)])
    names = np.array(LIBRARIES, object)[numbers.numpy()]
    target = Classes().fit([names[:TRAIN]])
    torch.manual_seed(0)
    role = Role(fitted, Sentences(dimensions=WIDTH).build(fitted.shape))
    network = Classification().build({"input": role, "target": Role(target)})

    def batches(first: int, last: int) -> Iterator[Batch]:
        for begin in range(first, last, 100):
            rows = slice(begin, min(begin + 100, last))
            read = {"input": fitted.encode(np.array(texts[rows], object)), "target": target.encode(names[rows])}
            yield Batch(read, torch.arange(rows.start, rows.stop))

    assert network.begins_solved
    network.begin(lambda most=None: batches(0, TRAIN))
    network.eval()
    with torch.inference_mode():
        known, asked = (network.metrics(batches(*part))["accuracy"] for part in ((0, TRAIN), (TRAIN, len(texts))))
    assert known > 0.8
    assert asked > 0.6  # of four classes
