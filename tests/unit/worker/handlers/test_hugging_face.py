"""Sentence encoders of Hugging Face: the vectors of the original, and a clear word for what cannot be read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from app.errors import InvalidModel, OutOfRange
from tests import bert_folder
from worker.handlers.hugging_face import Imported, read
from worker.handlers.wordpiece import from_words

TEXTS = ["a rose is a rose", "Rooted TREES!", "東 rosé xyz", "\u200b", "is " * 12 + "a", "a [MASK] is [SEP]"]
"""Among them one without a token, one that is cut, and one that names special tokens."""
GOLDEN = {
    "mean_tokens": [
        [0.04622, 0.28542, -0.10095, 0.21325, -0.03134],
        [-0.02919, 0.35203, -0.0636, 0.24893, 0.02442],
        [0.00437, -0.0201, -0.12825, 0.17101, 0.1579],
        [0.04117, 0.51196, 0.00034, 0.31185, -0.21236],
        [-0.04599, 0.15216, 0.27808, 0.04747, 0.46828],
        [-0.01201, 0.28953, 0.03582, 0.13662, 0.24718],
    ],
    "cls_token": [
        [0.14423, 1.32019, -0.64916, 1.0605, -0.25579],
        [-0.15129, 1.2929, -0.13034, 1.95142, -0.4679],
        [-0.23597, 0.2976, -0.49717, 0.49868, 0.61237],
        [0.15569, 2.07849, 0.1182, 1.37377, -0.68228],
        [-0.22689, 0.74575, 1.3667, 0.31266, 2.17732],
        [-0.13154, 1.35417, -0.17292, 0.66811, 1.03725],
    ],
}
"""The first numbers of what sentence-transformers 3.4.1 (transformers 4.57.6) computes of them from the same folder."""


def imported(folder: Path, content: dict[str, bytes]) -> Imported:
    path = folder / "model.safetensors"
    path.write_bytes(content["model.safetensors"])
    documents = {name: json.loads(data) for name, data in content.items() if name.endswith(".json")}
    words = content.get("vocab.txt")
    return read(documents, path, None if words is None else words.decode())


def vectors(found: Imported, items: Any) -> Any:
    encoder = found.encoder.build(found.text.shape).eval()
    encoder.load_state_dict(found.weights)
    return encoder(found.text.encode(found.text.read(items))).pooled.detach().numpy()


@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token"])
def test_vectors_are_those_of_the_original(tmp_path: Path, pooling: str) -> None:
    found = imported(tmp_path, bert_folder.files(pooling=pooling, normalised=pooling == "mean_tokens"))
    given = vectors(found, TEXTS)
    np.testing.assert_allclose(given[:, :5], GOLDEN[pooling], atol=2e-5)
    assert found.left_out == ["pooler.dense.bias", "pooler.dense.weight"]
    alone = [vectors(found, [text])[0] for text in TEXTS]
    np.testing.assert_allclose(alone, given, atol=1e-5)


def test_ids_are_those_of_the_original_and_specials_lie_where_objectives_look(tmp_path: Path) -> None:
    text = imported(tmp_path, bert_folder.files()).text
    theirs = {word: number for number, word in enumerate(bert_folder.WORDS)}
    asked = [[theirs[word] for word in ("tree", "is", "a", "rose", "[MASK]", "!")]]
    by_ids = text.encode(text.read(asked))["values"][0].tolist()
    by_text = text.encode(text.read(["tree is a rose"]))["values"][0].tolist()
    assert by_ids[:4] == by_text
    assert by_ids[4] == 2
    assert text.render(text.encode(text.read(["trees is rooted"]))["values"]) == ["trees is rooted"]
    again = text.settings.restore(json.loads(json.dumps(text.state())))
    assert again.encode(again.read(asked))["values"][0].tolist() == by_ids
    marked = [[theirs["[CLS]"], *asked[0], theirs["[SEP]"]], [theirs["[CLS]"], theirs["[SEP]"]]]
    assert [row.tolist() for row in text.read(marked)] == [by_ids, []], "the encoder puts the marks around each"
    with pytest.raises(OutOfRange, match="15"):
        text.read([[len(bert_folder.WORDS)]])


def test_a_tokenizer_file_is_read_before_a_vocabulary(tmp_path: Path) -> None:
    content = bert_folder.files()
    plain = imported(tmp_path, content)
    whole = from_words(bert_folder.WORDS, {}, True)
    whole["truncation"] = {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    del content["vocab.txt"]
    other = imported(tmp_path, {**content, "tokenizer.json": json.dumps(whole).encode()})
    np.testing.assert_array_equal(vectors(other, TEXTS), vectors(plain, TEXTS))


def test_half_precision_and_a_prefix_are_read(tmp_path: Path) -> None:
    content = bert_folder.files()
    halved = {f"bert.{name}": value.astype(np.float16) for name, value in bert_folder.weights().items()}
    given = vectors(imported(tmp_path, {**content, "model.safetensors": save(halved)}), TEXTS)
    np.testing.assert_allclose(given, vectors(imported(tmp_path, content), TEXTS), atol=2e-2)


@pytest.mark.parametrize(
    ("path", "content", "match"),
    [
        ("config.json", bert_folder.config(model_type="roberta"), "model_type is 'roberta'.*'bert'"),
        ("config.json", bert_folder.config(hidden_act="relu"), "hidden_act is 'relu'"),
        ("config.json", bert_folder.config(auto_map={"AutoModel": "x.y"}), "code of its own"),
        ("config.json", bert_folder.config(hidden_size=18), "width 18 cannot be shared"),
        ("config.json", bert_folder.config(num_hidden_layers=3), r"no encoder\.layer\.2"),
        ("config.json", bert_folder.config(intermediate_size=23), r"\[24, 16\]; \[23, 16\]"),
        ("config.json", bert_folder.config(max_position_embeddings="many"), "many"),
        ("config.json", [], "JSON object"),
        ("modules.json", [{"type": "x.Transformer"}, {"type": "x.Dense"}], "module 1 is 'x.Dense'"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling_mode_max_tokens"),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "default_prompt_name"),
        ("sentence_bert_config.json", {"max_seq_length": 2}, "length is 2"),
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {}}}, "'BPE'; WordPiece"),
        ("tokenizer.json", {"model": {"type": "WordPiece", "vocab": {"[PAD]": 0}}}, r"no \[UNK\]"),
        ("tokenizer.json", {"model": {"type": "WordPiece", "vocab": {"a": 3}}}, "without a gap"),
        ("tokenizer.json", 5, "is not what such a file holds"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, path: str, content: Any, match: str) -> None:
    with pytest.raises(InvalidModel, match=match):
        imported(tmp_path, {**bert_folder.files(), path: json.dumps(content).encode()})


def test_weights_that_are_none(tmp_path: Path) -> None:
    for broken in (b"", b"\x80\x04pickle", bert_folder.files()["model.safetensors"][:-5]):
        with pytest.raises(InvalidModel, match=r"model\.safetensors cannot be read"):
            imported(tmp_path, {**bert_folder.files(), "model.safetensors": broken})
    short = {name: value for name, value in bert_folder.weights().items() if "position" not in name}
    with pytest.raises(InvalidModel, match="position_embeddings"):
        imported(tmp_path, {**bert_folder.files(), "model.safetensors": save(short)})
