"""Texts as rows of token ids, by a tokenizer that the training split taught. Knows no network.

Rows hold the ids of the text alone: objectives that need a beginning or an end add `tokenization.BEGIN` and `END`.
Legend: `B` batch, `L` tokens, `V` vocabulary.
"""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from tokenizers import Tokenizer
from torch import Tensor

from app.errors import OutOfRange
from app.ml.modalities.base import Fitted, Modality
from app.ml.tensors.padding import Packed
from app.ml.tensors.shapes import Arrays, Column, Layout, Shape, Tensors, as_tensors
from app.ml.text.reader import TextReader
from app.ml.text.scripts import LETTER
from app.ml.text.spelling import spelled
from app.ml.text.tokenization import (
    BYTES,
    DEFAULT_SIZES,
    PLENTY,
    SAMPLES,
    SPECIALS,
    UNKNOWN,
    Kind,
    Known,
    Sample,
    Words,
    restore,
    train,
)

LONGEST = 512
"""Tokens beyond which `max_length` does not go by itself."""
MEASURED = 5_000_000
"""Characters of the rows whose lengths decide `max_length`."""
PER_TOKEN = 64
"""Characters per token that are looked at: no text of words is as thin, and a book in one row is not read to its end
for the sake of its first tokens."""
PIECE: dict[Kind, float] = {"bpe": 4, "wordpiece": 4, "words": 5, "characters": 1}
"""Characters of a token, about."""


class Text(Modality):
    """Texts, cut into tokens by a tokenizer that is trained on the training rows."""

    name: Literal["text"] = "text"
    """Texts."""
    layout: ClassVar[Layout] = "tokens"
    pretext: ClassVar[str] = "sentence_embeddings"

    tokenizer: Literal["auto"] | Kind = "auto"
    """`bpe` (what `auto` takes, unless the objective needs words) joins frequent bytes (Sennrich 2016) and knows every
    text; `wordpiece` joins letters within words; `words` knows the most frequent words; `characters` single letters."""
    vocabulary: int | None = Field(None, ge=len(SPECIALS) + 1, le=1_000_000)
    """Ids at most, 5 special ones among them. By default 8,000 pieces, 50,000 words or 1,000 characters."""
    lower: bool | Literal["auto"] = "auto"
    """Reads capital letters as small ones; `auto` does so for `words` and `wordpiece`."""
    max_length: int | None = Field(None, ge=1, le=8192)
    """Tokens of a text that are read; what comes after them is not. By default as many as 99 of 100 training rows
    have, 512 at most."""

    ngrams: int | None = Field(None, ge=1, le=1_000_000)
    """Of tokenizer `words` alone: numbers beyond the vocabulary for the character n-grams by which an unknown word is
    spelled (Bojanowski 2017). Objectives that give words vectors take 32,768; others leave unknown words unknown."""

    @property
    def kind(self) -> Kind:
        """The tokenizer's kind, once `auto` is decided."""
        return "bpe" if self.tokenizer == "auto" else self.tokenizer

    @model_validator(mode="after")
    def _holds_bytes(self) -> "Text":
        least = len(BYTES) + len(SPECIALS)
        if self.kind == "bpe" and self.vocabulary is not None and self.vocabulary < least:
            raise ValueError(
                f"vocabulary {self.vocabulary} is too small for tokenizer 'bpe', which begins with {least} ids: "
                f"256 bytes and {len(SPECIALS)} special ones; 'words' and 'characters' can do with fewer"
            )
        return self

    def fit(self, columns: Iterable[Column]) -> "FittedText":
        """Learns from at most 20 million characters (100 million for words), a sample of the rows where there are more.

        Raises OutOfRange when the rows hold no text.
        """
        kind = self.kind
        lower = kind in ("words", "wordpiece") if self.lower == "auto" else self.lower
        sample = Sample(SAMPLES[kind])
        for column in columns:
            sample.add(column)
        size = self.vocabulary or DEFAULT_SIZES[kind]
        tokenizer = train(kind, sample.texts, size=size, lower=lower, least=2 if sample.characters > PLENTY else 1)
        measured = Sample(MEASURED)
        measured.add(sample.texts)
        lengths = [len(row) for row in FittedText(self, tokenizer, 1).cut(measured.texts)]
        if not any(lengths):
            raise OutOfRange(
                f"the {len(sample.texts):,} training rows hold no word that a tokenizer could learn", param="dataset"
            )
        usual = int(np.ceil(np.quantile(lengths, 0.99)))
        return FittedText(self, tokenizer, self.max_length or min(max(usual, 1), LONGEST))

    def expected(self, facts: Mapping[str, Any]) -> Shape:
        return Shape("tokens", (self.max_length or LONGEST,), vocabulary=self.vocabulary or DEFAULT_SIZES[self.kind])

    def length(self, facts: Mapping[str, Any]) -> float:
        tokens = float(facts.get("characters", {}).get("mean", LONGEST)) / PIECE[self.kind]
        return max(1.0, min(tokens, self.max_length or LONGEST))

    def restore(self, state: dict[str, Any]) -> "FittedText":
        tokenizer, swapped = json.dumps(state["tokenizer"]), state.get("swapped")
        if swapped is None:
            return FittedText(self, restore(tokenizer), state["max_length"])
        swapped = {int(theirs): int(ours) for theirs, ours in swapped.items()}
        return FittedText(self, Tokenizer.from_str(tokenizer), state["max_length"], swapped)


class FittedText(Fitted):
    """A trained tokenizer and the length at which texts are cut."""

    settings: Text

    def __init__(
        self, settings: Text, tokenizer: Tokenizer, max_length: int, swapped: Mapping[int, int] | None = None
    ) -> None:
        """`swapped` is given of an imported tokenizer, whose special ids were exchanged with the first ones.

        It names, by the id that its clients know, the one that the token has here. Texts are what they are in the model
        that it comes from: one without a token stays empty, and a special token's name means that token.
        """
        self.settings, self.swapped = settings, swapped
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.words: int = tokenizer.get_vocab_size()
        self.ngrams = (settings.ngrams or 0) if settings.kind == "words" else 0
        self.vocabulary = self.words + self.ngrams
        self.shape = Shape("tokens", (max_length,), vocabulary=self.vocabulary, spelled=self.ngrams)
        self._split = Words(tokenizer) if settings.kind == "words" else None
        self._known = Known(tokenizer.get_vocab() if settings.kind == "words" else {})
        self._reader = TextReader(self.vocabulary, max_length, swapped)

    def state(self) -> dict[str, Any]:
        state = {"tokenizer": json.loads(self.tokenizer.to_str()), "max_length": self.max_length}
        return state if self.swapped is None else {**state, "swapped": {str(k): v for k, v in self.swapped.items()}}

    def read(self, items: Any) -> Column:
        """A text, a list of texts, a list of token ids or a list of such lists, to an object column [B].

        Its items are `str`, or int64 [L] where ids were given. Raises EmptyInput, OutOfRange and WrongType.
        """
        return self._reader.read(items)

    def encode(self, column: Column) -> Tensors:
        return as_tensors(self.arrays(column))

    def arrays(self, column: Column) -> Arrays:
        """Texts or ids [B] to `values` [B, L] int64 and `mask` [B, L] bool, L the longest row of these.

        A text without any token becomes one unknown token, unless the tokenizer was imported.
        """
        ids, lengths = self._laid_out(column)
        mask = np.arange(lengths.max(initial=1)) < lengths[:, None]
        values = np.zeros(mask.shape, np.int64)
        values[mask] = ids
        return {"values": values, "mask": mask}

    def pack(self, column: Column) -> Packed:
        ids, lengths = self._laid_out(column)
        return Packed.flattened(torch.from_numpy(ids), lengths.tolist())

    def render(self, values: Tensor, *, binary: bool = False) -> list[Any]:
        """Texts, from ids [B, L] or from scores [B, L, V]."""
        ids = values.argmax(2) if values.ndim == 3 else values.long()
        shown = {UNKNOWN, *range(len(SPECIALS), self.words)}
        rows = [[token for token in row if token in shown] for row in ids.tolist()]
        return list(self.tokenizer.decode_batch(rows, skip_special_tokens=False))

    def cut(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of texts, however many; none of a text without a token."""
        if self._split is None:
            return [row.ids for row in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        return [list(map(self._known.__getitem__, self._split(text))) for text in texts]

    def too_long(self, column: Column) -> int | None:
        """The first of the read items of which not all is read, as it has more than `max_length` tokens."""
        for place, (item, row) in enumerate(zip(column, self._whole(column), strict=True)):
            if len(row) > self.max_length or (isinstance(item, str) and len(item) > self.max_length * PER_TOKEN):
                return place
        return None

    def _laid_out(self, column: Column) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The ids of all items, one after the other, and how many each has [B]."""
        rows = self._ids(column)
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        return np.fromiter(itertools.chain.from_iterable(rows), np.int64, int(lengths.sum())), lengths

    def _ids(self, column: Column) -> list[Sequence[int]]:
        empty = [UNKNOWN] if self.swapped is None else []
        return [row[: self.max_length] or empty for row in self._whole(column)]

    def _whole(self, column: Column) -> list[Sequence[int]]:
        """The ids of items, as far as they are looked at."""
        if len(column) and isinstance(column[0], np.ndarray):
            return [row.tolist() for row in column]
        texts = [text[: self.max_length * PER_TOKEN] for text in column]
        return [self._spelled(text) for text in texts] if self.ngrams else list(self.cut(texts))

    def _spelled(self, text: str) -> list[int]:
        """The ids of a text, unknown words followed by their n-grams."""
        assert self._split is not None
        words = self._split(text)
        ids = list(map(self._known.__getitem__, words))
        if UNKNOWN not in ids:
            return ids
        whole = []
        for word, token in zip(words, ids, strict=True):
            whole.append(token)
            if token == UNKNOWN:
                whole += self.spell(word)
        return whole

    def spellings(self) -> dict[int, list[int]]:
        """The ids of the n-grams of every known word, by its id."""
        known = self.tokenizer.get_vocab()
        return {token: self.spell(word) for word, token in sorted(known.items()) if token >= len(SPECIALS)}

    def letters(self) -> Tensor:
        """True for the words [V] that are one letter of a script without spaces; what they spell is in their pairs."""
        found = torch.zeros(self.words, dtype=torch.bool)
        if self.settings.kind == "words":
            found[[token for word, token in self._known.items() if LETTER.fullmatch(word)]] = True
        return found

    def spell(self, word: str) -> list[int]:
        """The ids of a word's n-grams."""
        return [self.words + number for number in spelled(word, self.ngrams)]
