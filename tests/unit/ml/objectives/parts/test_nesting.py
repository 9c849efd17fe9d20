"""Embeddings that may be cut: trained prefixes and computed components, whatever the objective."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from app.errors import OutOfRange
from app.ml.build import build_network
from app.ml.modalities.base import Fitted
from app.ml.objectives.base import Objective
from app.ml.objectives.contrastive import TwoViews
from app.ml.objectives.parts.nesting import over_prefixes, prefixes
from app.ml.objectives.parts.supervised import Headed
from app.ml.tensors.batch import Batch, Loss
from tests import networks

TARGETS = {"classification": ("classes", np.array(["cat", "dog"] * 32, dtype=object)),
           "regression": ("numbers", np.arange(64, dtype=np.float32))}  # fmt: skip


def build(objective: dict[str, Any], dimensions: int = 8) -> tuple[Objective, Batch]:
    """A network on vectors and a batch of 64 rows for it."""
    rows = networks.rows(64)
    fitted: dict[str, Fitted] = {"input": networks.MODALITY.validate_python({"name": "vectors"}).fit([rows])}
    roles: dict[str, Any] = {
        "input": {
            "modality": {"name": "vectors"},
            "encoder": {"name": "mlp", "preset": "nano"},
            "dimensions": dimensions,
        }
    }
    columns: dict[str, Any] = {"input": rows}
    if objective["name"] in TARGETS:
        name, columns["target"] = TARGETS[objective["name"]]
        fitted["target"] = networks.MODALITY.validate_python({"name": name}).fit([columns["target"]])
        roles["target"] = {"modality": {"name": name}}
    torch.manual_seed(0)
    network = build_network({"roles": roles, "objective": objective}, fitted)
    return network, Batch({role: fitted[role].encode(column) for role, column in columns.items()}, torch.arange(64))


def test_a_prefix_has_zeros_behind_it() -> None:
    found = prefixes(torch.arange(1.0, 9.0).view(2, 4), [1, 3])
    assert found.tolist() == [[[1, 2, 3, 4], [5, 6, 7, 8]], [[1, 0, 0, 0], [5, 0, 0, 0]], [[1, 2, 3, 0], [5, 6, 7, 0]]]


def test_all_prefixes_count_alike() -> None:
    losses = {
        1.0: Loss(torch.tensor(1.0), 3, {"a": torch.tensor(2.0)}),
        2.0: Loss(torch.tensor(4.0), 3, {"a": torch.tensor(5.0)}),
    }
    whole = over_prefixes(torch.tensor([1.0, 2.0]), lambda each: losses[float(each)])
    assert (float(whole.sum), whole.count, float(whole.parts["a"])) == (2.5, 3, 3.5)


@pytest.mark.parametrize("name", ["classification", "regression", "contrastive", "vicreg"])
def test_the_loss_is_the_mean_over_the_prefixes(name: str) -> None:
    plain, batch = build({"name": name})
    nested, _ = build({"name": name, "matryoshka": [2, 4]})
    assert (plain.shortest, nested.shortest) == (None, 2)
    for network in (plain, nested):
        network.eval()
    part = "learned" if isinstance(plain, TwoViews) else "embed"  # what the loss looks at
    losses, whole = [], getattr(plain, part)
    for width in (8, 2, 4):
        setattr(plain, part, lambda inputs, width=width: prefixes(whole(inputs), [width])[1])
        losses.append(plain.loss(batch).sum.item())
    assert len(set(losses)) == 3
    np.testing.assert_allclose(nested.loss(batch).sum.item(), np.mean(losses), rtol=1e-5)


def test_first_numbers_say_most_after_training() -> None:
    errors = {}
    for widths in ([], [2]):
        network, batch = build({"name": "regression", "matryoshka": widths, "dropout": 0.0})
        target = {"values": batch.roles["input"]["values"][:, :1]}
        batch = Batch({**batch.roles, "target": target}, batch.rows)
        steps = torch.optim.Adam(network.parameters(), 1e-2)
        for _ in range(100):
            steps.zero_grad()
            network.loss(batch).sum.backward()  # type: ignore[no-untyped-call]
            steps.step()
        with torch.inference_mode():
            assert isinstance(network, Headed)
            cut = network.scored(prefixes(network.embed(batch.roles["input"]), [2])[1])
            errors[bool(widths)] = float(network.loss_of(cut, target).sum)
    assert errors[True] < 0.3 * errors[False]


def test_widths_are_below_the_embedding() -> None:
    with pytest.raises(OutOfRange, match="matryoshka: 8 asked, and the embedding has 8"):
        build({"name": "contrastive", "matryoshka": [4, 8]})


def test_a_cut_embedding_is_that_of_a_model_of_that_width() -> None:
    for name, encoder in (
        ("pca", "linear"),
        ("tfidf_svd", "linear"),
        ("word_embeddings", "words"),
        ("sentence_embeddings", "sentences"),
    ):
        text = name != "pca"
        column = networks.texts(64) if text else networks.rows(64)
        modality = {"name": "text", "tokenizer": "words"} if text else {"name": "vectors"}
        fitted = networks.MODALITY.validate_python(modality).fit([column])
        made = []
        for dimensions in (8, 3):
            roles = {
                "input": {"modality": modality, "encoder": {"name": encoder, "dimensions": 8}, "dimensions": dimensions}
            }
            made.append(build_network({"roles": roles, "objective": {"name": name}}, {"input": fitted}))
        whole, narrow = made
        for tensor in whole.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn_like(tensor))
        narrow.load_state_dict(whole.state_dict())
        inputs = fitted.encode(column)
        cut = whole.shorten(whole.embed(inputs), 3)  # type: ignore[operator]
        torch.testing.assert_close(cut, narrow.embed(inputs), rtol=1e-4, atol=1e-5)  # type: ignore[operator]
        assert whole.shortest in (1, 2)
        if text:
            torch.testing.assert_close(cut, normalize(cut))
