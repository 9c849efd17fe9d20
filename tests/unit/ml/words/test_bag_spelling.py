"""What the n-grams of words add to bags is what they would add as columns of the texts' matrix."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.functional import normalize

from app.ml.modalities.text import FittedText, Text
from app.ml.tensors.shapes import Tensors
from app.ml.words.bag_fitting import fit_bags
from app.ml.words.bag_spelling import GRAM, Spelling
from app.ml.words.bags import Bags

STEMS = ["plant", "water", "grow", "paint", "sharpen", "polish"]
ENDS = ["", "s", "ing", "ed", "er"]


def lines(rows: int) -> list[str]:
    """Texts of inflected words, half of them of each half of the stems; no two of a stem stand in one text."""
    draw = np.random.default_rng(0)
    return [
        " ".join(stem + ENDS[draw.integers(len(ENDS))] for stem in STEMS[3 * (row % 2) :][: draw.integers(1, 4)])
        for row in range(rows)
    ]


def fitted(texts: list[str]) -> FittedText:
    return Text(tokenizer="words", max_length=64, ngrams=512).fit([np.array(texts, object)])


def bags(text: FittedText, texts: list[str], width: int, *, spelled: bool = True) -> Bags:
    def stream() -> Iterator[Tensors]:
        yield text.encode(np.array(texts, object))

    torch.manual_seed(0)
    made = Bags(text.words, width)
    with torch.no_grad():
        spell = text.spellings if spelled else None
        fit_bags(made, stream, lambda share: None, letters=text.letters(), spell=spell)
    return made


def test_texts_lie_as_their_words_pairs_and_n_grams_place_them() -> None:
    texts = lines(200)
    text = fitted(texts)
    made = bags(text, texts, 8)
    inputs = text.encode(np.array(texts, object))
    found = made.features(**inputs)
    matrix = torch.zeros(len(texts), len(made.rarity) + text.ngrams)
    rows = torch.repeat_interleave(found.starts.diff())
    matrix[rows, found.columns] = found.values
    lengths = matrix.norm(dim=1)
    spellings = text.spellings()
    holding = (matrix[:, : text.words] > 0).sum(0)
    sums = torch.zeros(text.ngrams)
    for word, grams in spellings.items():
        for gram in grams:
            sums[gram - text.words] += holding[word]
    weights = GRAM * (1 + torch.log((1 + len(texts)) / (1 + sums.clamp(max=len(texts)))))
    for row, column, value in zip(rows.tolist(), found.columns.tolist(), found.values.tolist(), strict=True):
        for gram in spellings.get(column, []) if column < text.words else []:
            place = gram - text.words
            matrix[row, len(made.rarity) + place] += value / made.rarity[column] * weights[place]
    torch.testing.assert_close(lengths, torch.ones(len(texts)))  # the rows' weights are those of the features alone
    directions = torch.linalg.svd(matrix, full_matrices=False).Vh[:8].T
    usual = normalize(matrix @ directions)
    with torch.inference_mode():
        ours = made(**inputs)
    assert ((ours @ ours.T) - (usual @ usual.T)).abs().mean() < 0.02


def test_words_lie_near_their_other_forms() -> None:
    texts = lines(60)
    text = fitted(texts)

    def likeness(*, spelled: bool) -> float:
        made = bags(text, texts, 20, spelled=spelled)
        vectors = normalize(made(**text.encode(np.array(["watering sharpens", "watered sharpener"], object))).detach())
        return float(vectors[0] @ vectors[1])

    assert likeness(spelled=True) > likeness(spelled=False) + 0.2


def test_letters_of_scripts_without_spaces_have_no_n_grams() -> None:
    texts = ["红茶绿茶", "红花绿叶", "茶叶红花"] * 5
    text = fitted(texts)
    assert torch.equal(bags(text, texts, 4).table, bags(text, texts, 4, spelled=False).table)


def test_without_spellings_everything_stays_as_it_is() -> None:
    none = Spelling.of({}, torch.ones(3, dtype=torch.int64), torch.ones(3), 5)
    vectors = torch.randn(4, 2)
    assert none.count == 0
    assert torch.equal(none.spread(vectors), vectors)
    assert torch.equal(none.around(lambda basis: 2 * basis)(vectors), 2 * vectors)
