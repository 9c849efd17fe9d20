"""Words in like surroundings lie together, and texts are averages of them."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch

from app.errors import OutOfRange
from app.ml.encoders.words import Words
from app.ml.modalities.text import FittedText, Text
from app.ml.objectives.base import Role
from app.ml.objectives.word_embeddings import WordEmbeddings, WordNetwork
from app.ml.tensors.batch import Batch
from app.ml.words.vector_fitting import Method

GROUPS = [["oak", "elm", "ash", "yew"], ["milk", "ale", "tea", "rum"]]
FRAMES = [
    "the tall {} has green leaves",
    "we climb a {} in spring",
    "i drink cold {} from a cup",
    "pour me some {} please",
]


def lines(rows: int = 600, endings: tuple[str, str] = ("", "")) -> list[str]:
    """Trees stand in the first two frames, drinks in the others."""
    draw = np.random.default_rng(0)
    frames = draw.integers(0, 4, rows)
    return [FRAMES[frame].format(draw.choice(GROUPS[frame // 2]) + endings[frame // 2]) for frame in frames]


def solved(
    texts: list[str], dimensions: int = 8, method: Method = "pmi", ngrams: int | None = None
) -> tuple[WordNetwork, FittedText]:
    fitted = Text(tokenizer="words", max_length=64, ngrams=ngrams).fit([np.array(texts, dtype=object)])
    role = Role(fitted, Words(dimensions=dimensions).build(fitted.shape), dimensions)
    network = WordEmbeddings(method=method, subsample=1).build({"input": role})

    def stream(most: int | None = None) -> Iterator[Batch]:
        for first in range(0, len(texts), 100):
            column = np.array(texts[first : first + 100], dtype=object)
            yield Batch({"input": fitted.encode(column)}, torch.arange(first, first + len(column)))

    torch.manual_seed(0)
    network.solve(stream, lambda share: None)
    return network, fitted


def embedded(network: WordNetwork, fitted: FittedText, texts: Sequence[str | list[int]]) -> torch.Tensor:
    return network.embed(fitted.encode(fitted.read(texts))).detach()


@pytest.mark.parametrize("method", ["pmi", "laplacian"])
def test_words_in_like_surroundings_lie_together(method: Method) -> None:
    network, fitted = solved(lines(), 4, method)
    words = embedded(network, fitted, [*GROUPS[0], *GROUPS[1]])
    torch.testing.assert_close(words.norm(dim=1), torch.ones(8))
    alike = words @ words.T
    within = torch.cat([alike[:4, :4], alike[4:, 4:]]).mean()
    assert within > alike[:4, 4:].mean() + 0.3


def test_texts_of_like_words_lie_together() -> None:
    texts = embedded(*solved(lines(), 4), ["oak elm", "ash yew", "milk ale", "tea rum"])
    close = texts @ texts.T
    assert min(close[0, 1], close[2, 3]) > close[:2, 2:].max()


def test_a_word_alone_is_its_vector_and_order_does_not_matter() -> None:
    network, fitted = solved(lines())
    word = fitted.encode(fitted.read("oak"))["values"][0, 0]
    vector = network.encoder.words.table[word]
    torch.testing.assert_close(
        embedded(network, fitted, ["oak", "OAK"]), (vector / vector.norm()).detach().expand(2, -1)
    )
    texts = embedded(network, fitted, ["pour milk", "milk pour", "pour unheard milk"])
    torch.testing.assert_close(texts, texts[:1].expand(3, -1))


@pytest.mark.parametrize("method", ["pmi", "laplacian"])
def test_poor_texts_have_answers_too(method: Method) -> None:
    network, fitted = solved(["a b", "b c", "c d"], method=method)
    assert embedded(network, fitted, ["a b", "a", "unheard"]).isfinite().all()
    for texts in (["word word"] * 20, ["a", "b"] * 5):
        with pytest.raises(OutOfRange, match="too few different words"):
            solved(texts, method=method)


def test_columns_of_the_laplacian_are_orthonormal_by_degree_and_pull_neighbours_together() -> None:
    network, _ = solved(lines(), dimensions=3, method="laplacian")
    table = network.encoder.words.table.detach()
    assert table[:-1].norm(dim=0).min() > 0  # no column has collapsed
    correlation = torch.corrcoef(table[table.norm(dim=1) > 0].T)
    assert (correlation - torch.eye(3)).abs().max() < 0.6


def test_an_unknown_word_lies_with_those_that_are_written_alike() -> None:
    network, fitted = solved(lines(endings=("wood", "shake")), 4, ngrams=2000)
    known = embedded(network, fitted, ["oakwood", "elmwood", "milkshake", "teashake"])
    unknown = embedded(network, fitted, ["firwood", "figshake", "zzz"])
    torch.testing.assert_close(unknown[:2].norm(dim=1), torch.ones(2))
    alike = unknown @ known.T
    assert alike[0, :2].min() > alike[0, 2:].max() + 0.3
    assert alike[1, 2:].min() > alike[1, :2].max() + 0.3
    tokens = fitted.encode(fitted.read("firwood oakwood"))["values"][0].tolist()
    torch.testing.assert_close(embedded(network, fitted, [tokens]), embedded(network, fitted, ["firwood oakwood"]))
    assert fitted.render(torch.tensor([tokens])) == ["[UNK] oakwood"]
