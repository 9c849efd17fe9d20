"""Rows are answered in parts, and their answers come in the rows' own order."""

import pytest
import torch
from torch import Tensor

from app.ml.encoders.transformer import Transformer
from app.ml.tensors import parts
from app.ml.tensors.parts import answered
from app.ml.tensors.shapes import Shape, Tensors


def test_texts_are_answered_in_parts_of_one_length_and_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    encoder = Transformer(preset="nano").build(Shape("tokens", (64,), vocabulary=50)).eval()
    lengths = torch.tensor([64, 3, 60, 2, 5, 64, 1, 4])
    mask = torch.arange(64)[None] < lengths[:, None]
    texts = {"values": torch.randint(3, 50, (8, 64)) * mask, "mask": mask}
    seen: list[tuple[int, ...]] = []
    ticks: list[int] = []

    def embed(inputs: Tensors) -> Tensor:
        seen.append(tuple(inputs["values"].shape))
        return encoder.pooled(inputs)

    monkeypatch.setattr(parts, "PLACES", 192)
    with torch.no_grad():
        found = answered(embed, texts, lambda: ticks.append(len(seen)))
        alone = torch.cat([encoder.pooled({n: t[row : row + 1] for n, t in texts.items()}) for row in range(8)])
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)
    assert seen == [(5, 5), (3, 64)], "short texts are not padded to long ones"
    assert ticks == [1, 2]


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((1, 7), [5, 5]),
        ((1, 40), [2, 2, 2, 2, 2]),  # of large rows a few come together,
        ((4, 41), [1] * 10),  # and of huge ones one
    ],
)
def test_numbers_are_answered_in_parts_of_bounded_size(
    shape: tuple[int, ...], sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def embed(inputs: Tensors) -> Tensor:
        seen.append(len(inputs["values"]))
        return inputs["values"].flatten(1)

    for name, value in {"NUMBERS": 40, "FEW_ROWS": 2, "MOST_NUMBERS": 100}.items():
        monkeypatch.setattr(parts, name, value)
    rows = torch.randn(10, *shape)
    assert torch.equal(answered(embed, {"values": rows}), rows.flatten(1))
    assert seen == sizes
