"""Reads a sentence encoder of the BERT family as Hugging Face and sentence-transformers save it. Runs no code of it.

Their ids of special tokens are exchanged with the house's first ones, so that every objective finds those where it
looks for them; the vector of the first segment is added to the vectors of the places once and for all.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from torch import Tensor

from app.errors import InvalidModel
from app.ml.encoders.bert import MARKS, Bert
from app.ml.modalities.text import FittedText, Text

CONFIG, WEIGHTS, TOKENIZER, VOCABULARY = "config.json", "model.safetensors", "tokenizer.json", "vocab.txt"
SPECIALS = ("[PAD]", "[UNK]", "[MASK]", "[CLS]", "[SEP]")
"""In the order of the house's first ids."""
POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first"}
NAMES = {"mean": "mean", "cls": "first"}
"""Of the same in later releases of sentence-transformers, which write one key."""
PREFIXES = ("", "bert.")


@dataclass(frozen=True)
class Imported:
    """An encoder and the tokenizer that it was trained with."""

    encoder: Bert
    weights: dict[str, Tensor]
    text: FittedText
    left_out: list[str]
    """Tensors of the file that a sentence encoder does not use."""


def read(documents: Mapping[str, Any], weights: Path, vocabulary: str | None) -> Imported:
    """The model of a folder: its JSON files by their paths, its weights, and its `vocab.txt` where there is one.

    Raises InvalidModel naming the file, the key, its value and what would be right.
    """
    config = _document(documents, CONFIG)
    _check(config)
    pooling, normalised = _pooled(documents)
    try:
        settings = Bert(
            width=config["hidden_size"],
            depth=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            inner=config["intermediate_size"],
            epsilon=config.get("layer_norm_eps", 1e-12),
            dropout=config.get("hidden_dropout_prob", 0.1),
            pooling=pooling,
            normalised=normalised,
        )
        longest = int(config["max_position_embeddings"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidModel(f"{CONFIG}: {_said(error)}") from None
    text = _text(documents, vocabulary, longest)
    try:
        tensors = load_file(weights)
    except (SafetensorError, OSError, ValueError) as error:
        raise InvalidModel(f"{WEIGHTS} cannot be read: {error}") from None
    found, left_out = _weights(tensors, settings, text)
    return Imported(settings, found, text, left_out)


def _check(config: Mapping[str, Any]) -> None:
    """Raises InvalidModel for what would run, and give other vectors than the original."""
    wanted = {
        "model_type": ("bert", None),
        "hidden_act": ("gelu", "gelu"),
        "position_embedding_type": ("absolute", "absolute"),
        "is_decoder": (False, False),
        "add_cross_attention": (False, False),
        "auto_map": (None, None),
    }
    for key, (value, default) in wanted.items():
        if config.get(key, default) != value:
            what = "code of its own, which is never run" if key == "auto_map" else repr(config.get(key))
            raise InvalidModel(f"{CONFIG}: {key} is {what}; models whose {key} is {value!r} can be imported")


def _pooled(documents: Mapping[str, Any]) -> tuple[str, bool]:
    """How tokens become one vector, and whether that has length 1.

    A folder without `modules.json` is read as sentence-transformers reads it: by the mean.
    """
    if (documents.get("config_sentence_transformers.json") or {}).get("default_prompt_name"):
        raise InvalidModel(
            "config_sentence_transformers.json: default_prompt_name puts words before every text, which is not done "
            "here; take the key out, and send the words with the texts"
        )
    modules = documents.get("modules.json")
    if modules is None:
        return "mean", False
    pooling, normalised = "mean", False
    for place, module in enumerate(modules if isinstance(modules, list) else [None]):
        kind = str(module.get("type")) if isinstance(module, dict) else repr(module)
        name = kind.rpartition(".")[2]
        if (place == 0) != (name == "Transformer") or name not in ("Transformer", "Pooling", "Normalize"):
            raise InvalidModel(
                f"modules.json: module {place} is {kind!r}; one Transformer, a Pooling and perhaps a Normalize are read"
            )
        if name == "Pooling":
            pooling = _pooling(documents, str(module.get("path", "")))
        normalised = normalised or name == "Normalize"
    return pooling, normalised


def _pooling(documents: Mapping[str, Any], folder: str) -> str:
    path = f"{folder}/{CONFIG}" if folder else CONFIG
    config = _document(documents, path)
    chosen = config.get("pooling_mode")
    if isinstance(chosen, str):
        modes = [chosen]
    else:
        modes = [key for key, on in config.items() if key.startswith("pooling_mode_") and on is True]
    if len(modes) != 1 or modes[0] not in POOLINGS | NAMES:
        raise InvalidModel(f"{path}: the pooling is {modes}; one of {', '.join([*NAMES, *POOLINGS])} can be imported")
    return (POOLINGS | NAMES)[modes[0]]


def _text(documents: Mapping[str, Any], vocabulary: str | None, longest: int) -> FittedText:
    about = documents.get("tokenizer_config.json") or {}
    sentence = documents.get("sentence_bert_config.json") or {}
    lower = bool(about.get("do_lower_case", True))
    whole = documents.get(TOKENIZER)
    if whole is None:
        if vocabulary is None:
            raise InvalidModel(f"the archive has neither {TOKENIZER} nor {VOCABULARY}; put the tokenizer's file in")
        whole = _from_words(vocabulary.splitlines(), about, lower)
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
        raise InvalidModel(f"{TOKENIZER}: {_said(error)}") from None
    assert settings.max_length is not None
    return FittedText(settings, tokenizer, settings.max_length, swapped)


def _from_words(words: list[str], about: Mapping[str, Any], lower: bool) -> Any:
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


def _weights(tensors: Mapping[str, Tensor], settings: Bert, text: FittedText) -> tuple[dict[str, Tensor], list[str]]:
    """The encoder's tensors under the names that it has here, in float32, and what is left over."""
    prefix = next((each for each in PREFIXES if f"{each}embeddings.word_embeddings.weight" in tensors), None)
    if prefix is None:
        raise InvalidModel(f"{WEIGHTS} has no embeddings.word_embeddings.weight; it holds {sorted(tensors)[:5]} …")
    used: set[str] = set()

    def take(name: str, *shape: int) -> Tensor:
        full = prefix + name
        tensor = tensors.get(full)
        if tensor is None:
            raise InvalidModel(f"{WEIGHTS} has no {full}")
        if tensor.dim() != len(shape) or any(w not in (-1, h) for w, h in zip(shape, tensor.shape, strict=True)):
            raise InvalidModel(f"{WEIGHTS}: {full} has the shape {list(tensor.shape)}; {list(shape)} is expected")
        used.add(full)
        return tensor.float()

    width, inner = settings.width, settings.inner or 4 * settings.width
    words = take("embeddings.word_embeddings.weight", -1, width)
    places = take("embeddings.position_embeddings.weight", -1, width)
    segment = take("embeddings.token_type_embeddings.weight", -1, width)[0]
    needed = text.max_length + MARKS
    if len(words) < text.vocabulary or len(places) < needed:
        raise InvalidModel(
            f"{WEIGHTS} has vectors for {len(words):,} words and {len(places):,} places; the tokenizer needs "
            f"{text.vocabulary:,} and {needed:,}"
        )
    order = torch.arange(text.vocabulary)
    for theirs, ours in (text.swapped or {}).items():
        order[ours] = theirs
    found = {"embed.weight": words[order], "places": places[:needed] + segment}
    parts: list[tuple[str, list[str], int, int]] = []
    for layer in range(settings.depth):
        here, there = f"layers.{layer}", f"encoder.layer.{layer}"
        looks = [f"{there}.attention.self.{name}" for name in ("query", "key", "value")]
        parts += [
            (f"{here}.ask", looks, width, width),
            (f"{here}.tell", [f"{there}.attention.output.dense"], width, width),
            (f"{here}.widen", [f"{there}.intermediate.dense"], width, inner),
            (f"{here}.narrow", [f"{there}.output.dense"], inner, width),
        ]
    for name, sources, wide, tall in parts:
        found[f"{name}.weight"] = torch.cat([take(f"{source}.weight", tall, wide) for source in sources])
        found[f"{name}.bias"] = torch.cat([take(f"{source}.bias", tall) for source in sources])
    norms = {"norm": "embeddings.LayerNorm"}
    for layer in range(settings.depth):
        norms[f"layers.{layer}.attention_norm"] = f"encoder.layer.{layer}.attention.output.LayerNorm"
        norms[f"layers.{layer}.inner_norm"] = f"encoder.layer.{layer}.output.LayerNorm"
    for name, source in norms.items():
        for part in ("weight", "bias"):
            found[f"{name}.{part}"] = take(f"{source}.{part}", width)
    return found, sorted(set(tensors) - used)


def _document(documents: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    found = documents.get(path)
    if not isinstance(found, dict):
        raise InvalidModel(f"the archive has no {path} with a JSON object in it, which says what the model is")
    return found


def _said(error: Exception) -> str:
    """What was wrong, in a line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}, got {first['input']!r:.100}"
    return f"{type(error).__name__}: {error}"
