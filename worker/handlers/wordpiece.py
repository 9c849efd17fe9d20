"""Reads the tokenizer of a model of the BERT family as Hugging Face saves it: `tokenizer.json`, or `vocab.txt`.

Its ids of special tokens are exchanged with the house's first ones, so that every objective finds those where it looks
for them.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from app.errors import InvalidModel
from app.ml.encoders.bert import MARKS
from app.ml.modalities.text import FittedText, Text

TOKENIZER, VOCABULARY = "tokenizer.json", "vocab.txt"
SPECIALS = ("[PAD]", "[UNK]", "[MASK]", "[CLS]", "[SEP]")
"""In the order of the house's first ids."""


def read_tokenizer(documents: Mapping[str, Any], vocabulary: str | None, longest: int) -> FittedText:
    """The tokenizer of a folder whose model has `longest` places. Raises InvalidModel naming what is wrong."""
    about = documents.get("tokenizer_config.json") or {}
    sentence = documents.get("sentence_bert_config.json") or {}
    lower = bool(about.get("do_lower_case", True))
    whole = documents.get(TOKENIZER)
    if whole is None:
        if vocabulary is None:
            raise InvalidModel(f"the archive has neither {TOKENIZER} nor {VOCABULARY}; put the tokenizer's file in")
        whole = from_words(vocabulary.splitlines(), about, lower)
    state, swapped = _swapped(whole)
    try:
        tokenizer = Tokenizer.from_str(json.dumps(state))
    except Exception as error:  # the library raises nothing more special
        raise InvalidModel(f"{TOKENIZER} cannot be read: {error}") from None
    if sentence.get("do_lower_case") is True:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), tokenizer.normalizer])
    limits = [sentence.get("max_seq_length") or about.get("model_max_length") or longest, longest]
    if not all(isinstance(limit, int | float) for limit in limits) or min(limits) <= MARKS:
        raise InvalidModel(f"the texts' length is {limits[0]!r}; a number above {MARKS} is right")
    length = int(min(limits)) - MARKS
    try:
        settings = Text(
            tokenizer="wordpiece", vocabulary=tokenizer.get_vocab_size(), lower=lower, max_length=min(length, 8192)
        )
    except ValidationError as error:
        raise InvalidModel(f"{TOKENIZER}: {said(error)}") from None
    assert settings.max_length is not None
    return FittedText(settings, tokenizer, settings.max_length, swapped)


def from_words(words: list[str], about: Mapping[str, Any], lower: bool) -> Any:
    """What `tokenizer.json` would say, from a vocabulary with a piece in every line."""
    try:
        numbered = {word: number for number, word in enumerate(words)}
        tokenizer = Tokenizer(models.WordPiece(numbered, unk_token=SPECIALS[1]))
        tokenizer.normalizer = normalizers.BertNormalizer(
            handle_chinese_chars=bool(about.get("tokenize_chinese_chars", True)),
            strip_accents=about.get("strip_accents"),
            lowercase=lower,
        )
    except Exception as error:
        raise InvalidModel(f"{VOCABULARY} cannot be read: {error}") from None
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens([name for name in SPECIALS if name in numbered])
    return json.loads(tokenizer.to_str())


def _swapped(whole: Any) -> tuple[dict[str, Any], dict[int, int]]:
    """The tokenizer with the special tokens' ids first, and which ids changed places, by the ids of the original."""
    try:
        model, known = whole["model"], whole["model"]["vocab"]
        if model["type"] != "WordPiece":
            raise InvalidModel(f"{TOKENIZER}: its model is {model['type']!r}; WordPiece can be imported")
        if sorted(known.values()) != list(range(len(known))):
            raise InvalidModel(f"{TOKENIZER}: its {len(known):,} ids do not go from 0 on without a gap")
        missing = [name for name in SPECIALS if name not in known]
        if missing:
            raise InvalidModel(f"{TOKENIZER}: the vocabulary has no {missing[0]}; {', '.join(SPECIALS)} are needed")
        names = {number: name for name, number in known.items()}
        for ours, special in enumerate(SPECIALS):
            other, theirs = names[ours], known[special]
            names[ours], names[theirs] = special, other
            known = known | {special: ours, other: theirs}
        before = {number: name for name, number in model["vocab"].items()}
        swapped = {number: known[name] for number, name in before.items() if known[name] != number}
        added = [
            {**token, "id": known[token["content"]]}
            for token in whole.get("added_tokens") or []
            if token["content"] in known
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidModel(f"{TOKENIZER} is not what such a file holds: {type(error).__name__}: {error}") from None
    kept = {"added_tokens": added, "model": {**model, "vocab": known}}
    return {**whole, **kept, "truncation": None, "padding": None, "post_processor": None}, swapped


def said(error: Exception) -> str:
    """What was wrong, in a line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}, got {first['input']!r:.100}"
    return f"{type(error).__name__}: {error}"
