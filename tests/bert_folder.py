"""A tiny BERT as Hugging Face and sentence-transformers save it, with weights that any NumPy draws alike."""

import io
import json
import tarfile
import zipfile
from typing import Any

import numpy as np
from safetensors.numpy import save

WORDS = ["[PAD]", "a", "rose", "is", "tree", "##s", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "e", "東", "!", "root", "##ed"]
"""The special ones lie where this service has others."""
WIDTH, DEPTH, HEADS, INNER, PLACES = 16, 2, 4, 24, 12


def config(**changes: Any) -> dict[str, Any]:
    about: dict[str, Any] = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": len(WORDS),
        "hidden_size": WIDTH,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "max_position_embeddings": PLACES,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "pad_token_id": 0,
    }
    return {**about, **changes}


def weights() -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    draw = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), WIDTH),
        "embeddings.position_embeddings.weight": (PLACES, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
    }
    for layer in range(DEPTH):
        for name, (tall, wide) in {
            "attention.self.query": (WIDTH, WIDTH),
            "attention.self.key": (WIDTH, WIDTH),
            "attention.self.value": (WIDTH, WIDTH),
            "attention.output.dense": (WIDTH, WIDTH),
            "intermediate.dense": (INNER, WIDTH),
            "output.dense": (WIDTH, INNER),
        }.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = (tall, wide)
            shapes[f"encoder.layer.{layer}.{name}.bias"] = (tall,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"encoder.layer.{layer}.{name}.weight"] = (WIDTH,)
            shapes[f"encoder.layer.{layer}.{name}.bias"] = (WIDTH,)
    shapes |= {"pooler.dense.weight": (WIDTH, WIDTH), "pooler.dense.bias": (WIDTH,)}
    spread = {"bias": 0.1, "weight": 0.5}
    drawn = {name: draw.normal(0, spread[name.rpartition(".")[2]], shape) for name, shape in shapes.items()}
    return {name: (value + (name.endswith("Norm.weight"))).astype(np.float32) for name, value in drawn.items()}


def files(*, pooling: str = "mean_tokens", normalised: bool = True, **changes: Any) -> dict[str, bytes]:
    """The folder: path to content."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), *([("2_Normalize", "Normalize")] if normalised else [])]
    documents: dict[str, Any] = {
        "config.json": config(**changes),
        "modules.json": [
            {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for place, (path, kind) in enumerate(modules)
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": WIDTH,
            "pooling_mode_cls_token": pooling == "cls_token",
            "pooling_mode_mean_tokens": pooling == "mean_tokens",
            "pooling_mode_max_tokens": pooling == "max_tokens",
        },
        "sentence_bert_config.json": {"max_seq_length": 10, "do_lower_case": False},
        "tokenizer_config.json": {"do_lower_case": True, "tokenizer_class": "BertTokenizer"},
    }
    content = {path: json.dumps(document).encode() for path, document in documents.items()}
    return {**content, "vocab.txt": "\n".join(WORDS).encode() + b"\n", "model.safetensors": save(weights())}


def zipped(content: dict[str, bytes], folder: str = "tiny/") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            archive.writestr(folder + path, data)
    return stream.getvalue()


def tarred(content: dict[str, bytes], mode: Any = "w:gz") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for path, data in content.items():
            member = tarfile.TarInfo(f"./{path}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()
