"""Texts and token ids as requests bring them, each fault named by its place. Knows no tokenizer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import EmptyInput, Malformed, OutOfRange, WrongType
from app.json_words import told, told_kind
from app.ml.tensors.shapes import Column
from app.ml.text.tokenization import BEGIN, END

MOST_CHARACTERS = 1_000_000
"""Of one text in a request."""


@dataclass(frozen=True)
class TextReader:
    """Reads for a model that knows the ids below `vocabulary` and the first `max_length` tokens of a text."""

    vocabulary: int
    max_length: int
    swapped: Mapping[int, int] | None
    """Of an imported tokenizer: ids that clients know by another number than they have here, and the one here."""

    def read(self, items: Any) -> Column:
        """A text, a list of texts, a list of token ids or a list of such lists, to an object column [B]. Files of texts
        are texts.

        Its items are `str`, or int64 [L] where ids were given. Raises EmptyInput, Malformed, OutOfRange and WrongType.
        """
        alone = isinstance(items, str | bytes) or (_is_list(items) and len(items) > 0 and all(map(_is_number, items)))
        if not alone and not _is_list(items):
            raise WrongType(
                f"input: expected a text, a list of texts, or lists of token ids, got {told_kind(items)}", param="input"
            )
        given = [items] if alone else items
        if len(given) == 0:
            raise EmptyInput("input: is empty; give at least one text", param="input")
        column = np.empty(len(given), dtype=object)
        for index, item in enumerate(given):
            name = "input" if alone else f"input[{index}]"
            item = _decoded(item, name) if isinstance(item, bytes) else item
            column[index] = self._text(item, name) if isinstance(item, str) else self._ids(item, name)
        kinds = [type(item) for item in column]
        if len(set(kinds)) > 1:
            place = next(index for index, kind in enumerate(kinds) if kind is not kinds[0])
            raise WrongType(
                f"input[{place}]: is {_kind(column[place])} and input[0] {_kind(column[0])}; send one kind at a time",
                param=f"input[{place}]",
            )
        return column

    def _text(self, text: str, name: str) -> str:
        if not text or text.isspace():
            raise EmptyInput(f"{name}: is an empty text; give at least one word", param=name)
        if len(text) > MOST_CHARACTERS:
            raise OutOfRange(
                f"{name}: has {len(text):,} characters; at most {MOST_CHARACTERS:,} are taken, "
                f"and the model reads the first {self.max_length} tokens",
                param=name,
            )
        return text

    def _ids(self, ids: Any, name: str) -> NDArray[np.int64]:
        if not _is_list(ids):
            raise WrongType(f"{name}: expected a text or a list of token ids, got {told(ids, 60)}", param=name)
        if len(ids) == 0:
            raise EmptyInput(f"{name}: is an empty list; give at least one token id", param=name)
        for place, token in enumerate(ids):
            if not _is_number(token):
                raise WrongType(f"{name}: expected token ids, got {told(token, 60)} at position {place}", param=name)
            if not 0 <= token < self.vocabulary:
                raise OutOfRange(
                    f"{name}: token id {token} at position {place} is unknown; ids go from 0 to {self.vocabulary - 1}",
                    param=name,
                )
        if self.swapped is None:
            return np.array(ids, np.int64)
        ours = [self.swapped.get(int(token), int(token)) for token in ids]
        if (ours[0], ours[-1]) == (BEGIN, END):  # as its own tokenizer says it; the encoder puts these around it, too
            ours = ours[1:-1]
        return np.array(ours, np.int64)


def _decoded(content: bytes, name: str) -> str:
    """The text that a file holds."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte {error.start:,} is 0x{content[error.start]:02x}"
        problem = f"{name}: is a file that holds no text in UTF-8: {found}; save it as such"
        raise Malformed(problem, param=name) from error


def _is_list(items: Any) -> bool:
    return isinstance(items, list | tuple | np.ndarray)


def _is_number(item: Any) -> bool:
    return isinstance(item, int | np.integer) and not isinstance(item, bool)


def _kind(item: Any) -> str:
    return "a text" if isinstance(item, str) else "a list of token ids"
