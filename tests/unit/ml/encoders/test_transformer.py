"""Tokens, patches, positions, and what `keep` and `causal` promise."""

import pytest
import torch
from pydantic import ValidationError

from app.ml.encoders.transformer import Positions, Transformer, TransformerEncoder
from app.ml.image import patches
from app.ml.networks.attention import rotations
from app.ml.tensors.shapes import Shape, Tensors

TEXT = Shape("tokens", (9,), vocabulary=20)
PICTURE = Shape("grid", (2, 10, 7), bounded=True)


def text(rows: int = 3, length: int = 9) -> Tensors:
    values = torch.randint(0, 20, (rows, length), generator=torch.Generator().manual_seed(0))
    real = torch.arange(length) < torch.tensor([[length], [4], [1]])[:rows]
    return {"values": values.masked_fill(~real, 0), "mask": real}


def built(shape: Shape = TEXT, positions: Positions = "rotary") -> TransformerEncoder:
    torch.manual_seed(0)
    return Transformer(width=32, depth=2, heads=2, positions=positions).build(shape).eval()


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_padding_changes_nothing(positions: Positions) -> None:
    network, inputs = built(positions=positions), text()
    shorter = {name: tensor[1:2, :4] for name, tensor in inputs.items()}
    whole, cut = network(inputs), network(shorter)
    torch.testing.assert_close(whole.pooled[1:2], cut.pooled)
    torch.testing.assert_close(whole.tokens[1:2, :4], cut.tokens)


@pytest.mark.parametrize("positions", ["rotary", "learned"])
@torch.inference_mode()
def test_the_order_of_words_matters(positions: Positions) -> None:
    network, values = built(positions=positions), text(1)["values"]
    assert (network({"values": values}).pooled - network({"values": values.flip(1)}).pooled).abs().max() > 1e-3


def test_causal_tokens_do_not_see_what_follows() -> None:
    network, inputs = built(), text()
    changed = inputs | {"values": torch.cat([inputs["values"][:, :5], inputs["values"][:, 5:].flip(1)], 1)}
    before, after = network(inputs, causal=True).tokens, network(changed, causal=True).tokens
    torch.testing.assert_close(before[0, :5], after[0, :5])
    assert not torch.equal(network(inputs).tokens[0, :5], network(changed).tokens[0, :5])


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_kept_patches_know_their_places_and_the_others_are_not_seen(positions: Positions) -> None:
    network, values = built(PICTURE, positions), torch.rand(2, 2, 10, 7)
    keep = torch.tensor([[3, 0, 9], [1, 2, 5]])
    seen = network({"values": values}, keep=keep)
    assert seen.tokens.shape == (2, 3, 32)
    assert seen.grid is None
    hidden = patches.cut(values, network.side)
    scrambled = torch.rand_like(hidden).scatter(1, keep[:, :, None].expand(-1, -1, hidden.shape[2]), 0.0)
    visible = torch.zeros(hidden.shape[:2]).scatter(1, keep, 1.0)[:, :, None]
    other = patches.joined(hidden * visible + scrambled, PICTURE, network.side)
    torch.testing.assert_close(network({"values": other}, keep=keep).tokens, seen.tokens)
    elsewhere = torch.tensor([[3, 0, 9], [1, 2, 5]]) + 1
    assert not torch.allclose(network({"values": values}, keep=elsewhere).pooled, seen.pooled)


def test_all_patches_kept_are_the_whole_picture() -> None:
    network, values = built(PICTURE), torch.rand(2, 2, 10, 7)
    whole = network({"values": values})
    count = whole.tokens.shape[1]
    assert whole.grid == (5, 4)
    for keep in (torch.arange(count).expand(2, -1), torch.arange(count)[None]):
        torch.testing.assert_close(network({"values": values}, keep=keep).tokens, whole.tokens)


def test_patches_that_are_kept_of_all_pictures_are_named_once() -> None:
    network, values = built(PICTURE), torch.rand(3, 2, 10, 7)
    keep = torch.tensor([[3, 0, 9]])
    each, once = (network({"values": values}, keep=kept).tokens for kept in (keep.expand(3, -1), keep))
    assert torch.equal(each, once)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 10])
def test_patches_are_put_together_again(size: int) -> None:
    values = torch.rand(3, 2, 10, 7)
    assert torch.equal(patches.joined(patches.cut(values, size), PICTURE, size), values)


def test_rotations_are_those_of_the_lattice() -> None:
    angles = rotations((2, 3), 8)
    assert angles.shape == (6, 4)
    torch.testing.assert_close(angles[4], torch.tensor([1.0, 0.01, 1.0, 0.01]))  # row 1, column 1
    torch.testing.assert_close(angles[2], torch.tensor([0.0, 0.0, 2.0, 0.02]))


def test_a_decoder_of_text_scores_every_word_at_every_place() -> None:
    decoder = built().decoder(TEXT, 5)
    assert decoder(torch.randn(2, 5), 4).shape == (2, 4, 20)
    assert decoder(torch.randn(2, 5)).shape == (2, 9, 20)


def test_presets_have_the_documented_sizes() -> None:
    counts = {
        preset: sum(p.numel() for p in Transformer.model_validate({"preset": preset}).build(PICTURE).parameters())
        for preset in ("nano", "small")
    }
    assert counts == {"nano": pytest.approx(0.1e6, rel=0.05), "small": pytest.approx(3.2e6, rel=0.05)}


def test_a_width_that_the_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"width 36 cannot be shared by 2 heads.*width 40"):
        Transformer(width=36, heads=2)
