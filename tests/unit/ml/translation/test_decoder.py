"""The decoder says step by step what it says of a whole text, and sees what it may see."""

import torch

from app.ml.translation.decoder import KeysValues, TextDecoder

ROWS, LENGTH, SOURCE, WIDTH = 3, 5, 12, 16


def decoder() -> TextDecoder:
    torch.manual_seed(0)
    return TextDecoder(width=WIDTH, heads=2, depth=2, source=SOURCE, places=8, dropout=0.1).eval()


@torch.inference_mode()
def test_steps_give_what_the_whole_gives() -> None:
    made, tokens = decoder(), torch.randn(ROWS, LENGTH, WIDTH)
    memory = made.remember(torch.randn(ROWS, 4, SOURCE), torch.ones(ROWS, 4, dtype=torch.bool))
    whole = made(tokens, memory)
    before: list[KeysValues] = []
    for place in range(LENGTH):
        following, before = made.step(tokens[:, place : place + 1].expand(-1, 2, -1), memory, before)
        for text in range(2):
            torch.testing.assert_close(following[:, text], whole[:, place], atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_what_comes_later_and_what_is_padding_is_not_seen() -> None:
    made, tokens, other = decoder(), torch.randn(ROWS, LENGTH, WIDTH), torch.randn(ROWS, 4, SOURCE)
    mask = torch.tensor([[True, True, False, False]] * ROWS)
    said = made(tokens, made.remember(other, mask))
    changed, padding = tokens.clone(), other.clone()
    changed[:, 3:] = torch.randn(ROWS, 2, WIDTH)
    padding[:, 2:] = torch.randn(ROWS, 2, SOURCE)
    again = made(changed, made.remember(padding, mask))
    torch.testing.assert_close(again[:, :3], said[:, :3])
    assert not torch.allclose(again[:, 3:], said[:, 3:])
    seen = made(tokens, made.remember(other.flip(2), mask))
    assert not torch.allclose(seen[:, :3], said[:, :3])
