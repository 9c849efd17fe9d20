"""Rows are answered in chunks, and their answers come in the rows' own order."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from app.ml.encoders.transformer import Transformer
from app.ml.tensors.shapes import Shape, Tensors
from worker.evaluation import subject
from worker.evaluation.subject import answer


def test_texts_are_answered_in_chunks_of_one_length_and_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    encoder = Transformer(preset="nano").build(Shape("tokens", (64,), vocabulary=50)).eval()
    lengths = torch.tensor([64, 3, 60, 2, 5, 64, 1, 4])
    mask = torch.arange(64)[None] < lengths[:, None]
    texts = {"values": torch.randint(3, 50, (8, 64)) * mask, "mask": mask}
    seen: list[tuple[int, ...]] = []

    def embed(inputs: Tensors) -> Tensor:
        seen.append(tuple(inputs["values"].shape))
        return encoder.pooled(inputs)

    network: Any = SimpleNamespace(embed=embed)
    monkeypatch.setattr(subject, "PLACES", 192)
    with torch.no_grad():
        found = answer(network, "embed", texts)
        alone = torch.cat([encoder.pooled({n: t[row : row + 1] for n, t in texts.items()}) for row in range(8)])
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)
    assert seen == [(3, 3), (3, 60), (2, 64)], "short texts are not padded to long ones"


def test_numbers_are_answered_in_chunks_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def embed(inputs: Tensors) -> Tensor:
        seen.append(len(inputs["values"]))
        return inputs["values"].flatten(1)

    network: Any = SimpleNamespace(embed=embed)
    monkeypatch.setattr(subject, "NUMBERS", 40)
    rows = torch.arange(70.0).view(10, 1, 7)
    assert torch.equal(answer(network, "embed", {"values": rows}), rows.flatten(1))
    assert seen == [5, 5]
