"""Texts become ids by a tokenizer of their own, and ids texts; whatever else comes in gets a named error."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from app.errors import EmptyInput, OutOfRange, RootstockError, WrongType
from app.ml.modalities.text import FittedText, Text
from app.ml.tensors.shapes import Column
from app.ml.text.reader import MOST_CHARACTERS
from app.ml.text.tokenization import MASK, PAD, SPECIALS, UNKNOWN, Kind, Sample

KINDS: list[Kind] = ["bpe", "wordpiece", "words", "characters"]
TEXTS = ["Der Hund bellt.", "Die Katze schläft, der Hund auch.", "Ein Hund", "the dog barks at the cat"]


def column(texts: list[str]) -> Column:
    return np.array(texts, dtype=object)


def fitted(texts: list[str] = TEXTS, **settings: Any) -> FittedText:
    return Text.model_validate(settings).fit([column(texts)])


@pytest.mark.parametrize("kind", KINDS)
def test_what_it_rendered_reads_the_same(kind: Kind) -> None:
    text = fitted(tokenizer=kind, max_length=64)
    encoded = text.encode(column(TEXTS))
    rendered = text.render(encoded["values"])
    assert torch.equal(text.encode(text.read(rendered))["values"], encoded["values"])
    if kind in ("bpe", "characters"):
        assert rendered == TEXTS
    else:
        assert rendered[2] == "ein hund"
    assert text.render(torch.eye(text.vocabulary)[encoded["values"]]) == rendered


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_padded_to_the_longest_and_cut_at_the_limit(kind: Kind) -> None:
    text = fitted(tokenizer=kind, max_length=4)
    encoded = text.encode(column(["Hund", TEXTS[1]]))
    values, mask = encoded["values"], encoded["mask"]
    assert values.shape == mask.shape == (2, 4)
    assert mask[1].all()
    assert (values[~mask] == PAD).all()
    assert (values[mask] >= len(SPECIALS)).all()


@pytest.mark.parametrize("lower", [True, False])
def test_words_are_those_that_the_library_cuts(lower: bool) -> None:
    signs = [chr(code) for code in range(1, 128)] + list("aabbcc   ")
    draw = np.random.default_rng(0)
    texts = ["".join(draw.choice(signs, 60)) for _ in range(200)]
    texts += ["Straße, naïve ½ cup", "ΣΑΣ e\u0301te\u0301", "كِتاب किताब", "[PAD] [UNK]"]
    text = fitted(texts, tokenizer="words", vocabulary=150, lower=lower, max_length=1000)
    for one in texts:
        ids = text.tokenizer.encode(one, add_special_tokens=False).ids
        assert text.encode(column([one]))["values"].tolist() == [ids]


def test_letters_of_scripts_without_spaces_are_words() -> None:
    """A clause would be one word otherwise, which no other text has."""
    text = fitted(["酒店很好,very good", "好酒店です"], tokenizer="words")
    words = [
        text.tokenizer.id_to_token(number)
        for number in text.encode(column(["酒店很好,very good"]))["values"][0].tolist()
    ]
    assert words == ["酒", "店", "很", "好", ",", "very", "good"]
    letters = {text.tokenizer.id_to_token(number) for number in text.letters().nonzero()[:, 0].tolist()}
    assert letters == set("酒店很好です")
    assert not fitted(["酒店"], tokenizer="characters").letters().any()


def test_the_length_is_that_of_nearly_all_rows() -> None:
    texts = ["one two three"] * 200 + ["word " * 400]
    assert fitted(texts, tokenizer="words").shape.size == (3,)
    assert fitted(["word " * 600], tokenizer="words").shape.size == (512,)


def test_ids_and_their_text_are_the_same_input() -> None:
    text = fitted(tokenizer="words")
    as_text = text.encode(text.read(["Hund Katze", "Hund"]))
    ids = [[int(i) for i, real in zip(*row, strict=True) if real] for row in zip(*as_text.values(), strict=True)]
    as_ids = text.encode(text.read(ids))
    assert torch.equal(as_text["values"], as_ids["values"])
    assert torch.equal(as_text["mask"], as_ids["mask"])
    assert len(text.read(ids[0])) == 1


def test_nobody_writes_special_tokens() -> None:
    for kind in KINDS:
        values = fitted(tokenizer=kind).encode(column(["[MASK] [PAD] Hund"]))["values"]
        assert not torch.isin(values, torch.tensor([PAD, MASK])).any()


def test_composed_and_decomposed_letters_are_one() -> None:
    text = fitted()
    assert torch.equal(text.encode(column(["schläft"]))["values"], text.encode(column(["schla\u0308ft"]))["values"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("texts", [["word"] * 50, ["a", "b"], ["x"]])
def test_poor_texts_still_make_a_tokenizer(kind: Kind, texts: list[str]) -> None:
    text = fitted(texts, tokenizer=kind)
    assert text.vocabulary > len(SPECIALS)
    restored = text.settings.restore(json.loads(json.dumps(text.state())))
    unseen = column(["@ never seen", " "])
    assert torch.equal(restored.encode(unseen)["values"], text.encode(unseen)["values"])
    assert text.encode(unseen)["mask"].any(1).all()


def test_rows_without_a_word_cannot_be_learned_from() -> None:
    for texts in (["", "  "], []):
        with pytest.raises(OutOfRange, match="no word"):
            fitted(texts, tokenizer="words")


@pytest.mark.parametrize(
    ("wrong", "error", "param"),
    [
        ("", EmptyInput, "input"),
        (["fine", " \n"], EmptyInput, "input[1]"),
        ([[1], []], EmptyInput, "input[1]"),
        ([1, 99_999], OutOfRange, "input"),
        ([[1], [-1]], OutOfRange, "input[1]"),
        ([[1], "text"], WrongType, "input[1]"),
        (["text", 5], WrongType, "input[1]"),
        ([[1, 2.5]], WrongType, "input[0]"),
        ([True], WrongType, "input[0]"),
        ({"text": "x"}, WrongType, "input"),
        ("x" * (MOST_CHARACTERS + 1), OutOfRange, "input"),
    ],
)
def test_wrong_inputs_are_named(wrong: object, error: type[RootstockError], param: str) -> None:
    with pytest.raises(error) as caught:
        fitted(tokenizer="words").read(wrong)
    assert caught.value.param == param


def test_a_vocabulary_too_small_for_its_tokenizer_is_refused() -> None:
    with pytest.raises(ValidationError, match="261 ids"):
        Text(vocabulary=100)
    assert fitted(tokenizer="words", vocabulary=6).vocabulary == 6
    assert UNKNOWN in fitted(tokenizer="words", vocabulary=6).encode(column(TEXTS))["values"]


def test_a_sample_is_bounded_and_does_not_depend_on_the_pieces() -> None:
    texts = [f"text number {row}" for row in range(2000)]
    whole, pieces = Sample(5000), Sample(5000)
    whole.add(texts)
    for first in range(0, 2000, 7):
        pieces.add(texts[first : first + 7])
    assert whole.texts == pieces.texts
    assert 2000 < whole.characters <= 5000
