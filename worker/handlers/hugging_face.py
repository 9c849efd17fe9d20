"""Reads a sentence encoder of the BERT family as Hugging Face and sentence-transformers save it. Runs no code of it.

The vector of the first segment is added to the vectors of the places once and for all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from app.errors import InvalidModel
from app.ml.encoders.bert import MARKS, Bert, Pooling
from app.ml.modalities.text import FittedText
from worker.handlers.wordpiece import read_tokenizer, said

CONFIG, WEIGHTS = "config.json", "model.safetensors"
POOLINGS: dict[str, Pooling] = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first"}
NAMES: dict[str, Pooling] = {"mean": "mean", "cls": "first"}
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
        raise InvalidModel(f"{CONFIG}: {said(error)}") from None
    text = read_tokenizer(documents, vocabulary, longest)
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


def _pooled(documents: Mapping[str, Any]) -> tuple[Pooling, bool]:
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
    pooling: Pooling = "mean"
    normalised = False
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


def _pooling(documents: Mapping[str, Any], folder: str) -> Pooling:
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
