"""Tokenizers trained on the rows at hand, by the `tokenizers` library. Knows no tensor and no dataset.

Whatever the kind, the first ids are the special ones below. Text is brought to Unicode's composed form (NFC) first.
"""

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from app.ml.text.scripts import UNSPACED

Kind = Literal["bpe", "wordpiece", "words", "characters"]

SPECIALS = ("[PAD]", "[UNK]", "[MASK]", "[BEGIN]", "[END]")
PAD, UNKNOWN, MASK, BEGIN, END = range(len(SPECIALS))
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
"""What `bpe` begins with, so that no text holds anything unknown to it."""
DEFAULT_SIZES: dict[Kind, int] = {"bpe": 8_000, "wordpiece": 8_000, "words": 50_000, "characters": 1_000}
SAMPLES: dict[Kind, int] = {
    "bpe": 20_000_000,
    "wordpiece": 20_000_000,
    "words": 100_000_000,
    "characters": 100_000_000,
}
"""Characters that a tokenizer is trained on at most: beyond them, a sample of the rows stands for all."""
PLENTY = 1_000_000
"""Characters from which on a word that occurs once is left out of the vocabulary."""
RUNS = re.compile(r"\w+|[^\w\s]+", re.ASCII)


class Sample:
    """Texts that stand for all that were added, in bounded memory.

    A text is kept by the hash of its content, and half of those kept are dropped whenever they are too many: the same
    texts give the same sample, in whatever pieces they come.
    """

    def __init__(self, characters: int) -> None:
        """Keeps between half of `characters` and all of them, if there are so many."""
        self.texts: list[str] = []
        self.characters = 0
        self._limit, self._bound = characters, 1 << 64

    def add(self, texts: Iterable[str]) -> None:
        for text in texts:
            if self._bound == 1 << 64 or _key(text) < self._bound:
                self.texts.append(text)
                self.characters += len(text)
                while self.characters > self._limit and len(self.texts) > 1:
                    self._halve()

    def _halve(self) -> None:
        self._bound //= 2
        self.texts = [text for text in self.texts if _key(text) < self._bound] or self.texts[:1]
        self.characters = sum(map(len, self.texts))


def train(kind: Kind, texts: Iterable[str], *, size: int, lower: bool, least: int = 1) -> Tokenizer:
    """A tokenizer of at most `size` ids; words and pieces that occur fewer than `least` times are left out."""
    tokenizer, trainer = _untrained(kind, size, least)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), *([normalizers.Lowercase()] if lower else [])])
    if kind == "words":
        tokenizer.model = models.WordLevel(_most_frequent(Words(tokenizer), texts, size, least), SPECIALS[UNKNOWN])
        tokenizer.add_special_tokens(list(SPECIALS))
    else:
        tokenizer.train_from_iterator(_pieces(texts), trainer)
    return as_text(tokenizer)


class Words:
    """Cuts texts into words as a tokenizer of kind `words` does, and takes a fifth of its time where all is ASCII."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._normalise = tokenizer.normalizer.normalize_str
        self._cut = tokenizer.pre_tokenizer.pre_tokenize_str
        self._lower = self._normalise("A") == "a"

    def __call__(self, text: str) -> list[str]:
        if text.isascii():
            return RUNS.findall(text.lower() if self._lower else text)
        return [word for word, _ in self._cut(self._normalise(text))]


class Known(dict[str, int]):
    """Ids of words, and that of all others."""

    def __missing__(self, word: str) -> int:
        return UNKNOWN


def restore(state: str) -> Tokenizer:
    """The tokenizer whose `to_str()` this was."""
    return as_text(Tokenizer.from_str(state))


def as_text(tokenizer: Tokenizer) -> Tokenizer:
    """Reads special tokens in a text as the text that they are: nobody shall mask or end a text by writing so."""
    tokenizer.encode_special_tokens = True
    return tokenizer


def _untrained(kind: Kind, size: int, least: int) -> tuple[Tokenizer, trainers.Trainer]:
    specials = list(SPECIALS)
    if kind == "bpe":  # Sennrich 2016, over bytes
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer, trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=max(2, least),
            special_tokens=specials,
            initial_alphabet=BYTES,
            show_progress=False,
        )
    if kind == "wordpiece":  # Schuster & Nakajima 2012
        tokenizer = Tokenizer(models.WordPiece(unk_token=SPECIALS[UNKNOWN]))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
        return tokenizer, trainers.WordPieceTrainer(
            vocab_size=size, min_frequency=max(2, least), special_tokens=specials, show_progress=False
        )
    tokenizer = Tokenizer(models.WordLevel(unk_token=SPECIALS[UNKNOWN]))
    if kind == "words":
        # Runs of letters and digits, and runs of other signs; where nobody writes spaces, every letter by itself.
        alone = pre_tokenizers.Split(Regex(UNSPACED), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([alone, pre_tokenizers.Whitespace()])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
    return tokenizer, trainers.WordLevelTrainer(
        vocab_size=size, min_frequency=least, special_tokens=specials, show_progress=False
    )


def _most_frequent(words: Words, texts: Iterable[str], size: int, least: int) -> dict[str, int]:
    """Ids of the special tokens and of the most frequent words, in this order; ties in the order of the letters."""
    counts = Counter(itertools.chain.from_iterable(map(words, texts)))
    known = sorted((word for word, count in counts.items() if count >= least), key=lambda word: (-counts[word], word))
    return {word: number for number, word in enumerate([*SPECIALS, *known[: max(0, size - len(SPECIALS))]])}


def _pieces(texts: Iterable[str], characters: int = 100_000) -> Iterator[str]:
    """Texts, long ones in pieces: the library takes many at once and would hold each of them several times over."""
    for text in texts:
        for first in range(0, len(text), characters):
            yield text[first : first + characters]


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())
