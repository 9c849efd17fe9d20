"""Texts about one thing lie together, as scikit-learn's TF-IDF and SVD place them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from app.ml.encoders.linear import Linear
from app.ml.modalities.text import FittedText, Text
from app.ml.objectives.base import Role
from app.ml.objectives.tfidf_svd import TfidfSvd, WeightedBags
from app.ml.tensors.batch import Batch
from app.ml.words import bag_fitting

TOPICS = ["oak elm ash yew fir beech lime alder", "bread butter jam milk cheese honey salt oats"]


def texts(rows: int, words: int = 6) -> list[str]:
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(TOPICS[row % 2].split(), words)) for row in range(rows)]


def solved(lines: list[str], **settings: Any) -> tuple[WeightedBags, FittedText]:
    fitted = Text(tokenizer="words", max_length=64).fit([np.array(lines, dtype=object)])
    network = TfidfSvd().build(
        {"input": Role(fitted, Linear(**settings).build(fitted.shape), settings.get("dimensions"))}
    )

    def stream(most: int | None = None) -> Iterator[Batch]:
        for first in range(0, len(lines), 50):
            column = np.array(lines[first : first + 50], dtype=object)
            yield Batch({"input": fitted.encode(column)}, torch.arange(first, first + len(column)))

    torch.manual_seed(0)
    network.solve(stream, lambda share: None)
    return network, fitted


def embedded(network: WeightedBags, fitted: FittedText, lines: list[str]) -> torch.Tensor:
    return network.embed(fitted.encode(fitted.read(lines))).detach()


@pytest.mark.parametrize("entries", [40_000_000, 700])
def test_texts_of_one_topic_lie_together(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bag_fitting, "MOST_ENTRIES", entries)
    network, fitted = solved(texts(300), dimensions=4)
    codes = embedded(network, fitted, ["oak elm", "yew lime alder", "milk honey"])
    torch.testing.assert_close(codes.norm(dim=1), torch.ones(3))
    alike = codes @ codes.T
    assert alike[0, 1] > 0.5 > 0.3 > alike[0, 2].abs()


def test_it_agrees_with_the_usual_implementation() -> None:
    lines = texts(200)
    network, fitted = solved(lines, dimensions=8)
    usual = TfidfVectorizer(ngram_range=(1, 2), min_df=1, sublinear_tf=True)
    weights = usual.fit_transform(lines)
    kept = [place for name, place in usual.vocabulary_.items() if " " not in name or (weights[:, place] > 0).sum() > 1]
    ours = network.encoder.bags.features(**fitted.encode(fitted.read(lines)))
    assert len(ours.values) == (usual.fit(lines).transform(lines)[:, kept] > 0).sum()
    codes = torch.from_numpy(TruncatedSVD(8, random_state=0).fit_transform(weights).astype(np.float32))
    theirs = torch.nn.functional.normalize(codes)
    mine = embedded(network, fitted, lines)
    assert ((mine @ mine.T) - (theirs @ theirs.T)).abs().mean() < 0.05


def test_two_letters_of_a_script_without_spaces_weigh_like_a_word() -> None:
    network, fitted = solved(["红 tree", "红茶 red tea", "绿茶 red tea"] * 20, dimensions=2)
    bags = network.encoder.bags

    def rarity(*pair: str) -> float:
        first, second = fitted.encode(fitted.read(" ".join(pair)))["values"][0]
        place = torch.searchsorted(bags.pairs, first * bags.vocabulary + second)
        return float(bags.rarity[bags.vocabulary + 1 + place])

    assert rarity("红", "茶") == pytest.approx(1 + np.log(61 / 21))
    assert rarity("red", "tea") == pytest.approx((1 + np.log(61 / 41)) / 2)
    assert rarity("茶", "red") == pytest.approx((1 + np.log(61 / 41)) / 2)


def test_poor_texts_have_answers_too() -> None:
    network, fitted = solved(["word word"] * 50)
    codes = embedded(network, fitted, ["word", "unheard"])
    assert codes[0].norm() == pytest.approx(1)
    assert codes[1].abs().max() == 0
    network, fitted = solved(["a", "b"] * 5)
    assert embedded(network, fitted, ["a", "b"]).isfinite().all()
