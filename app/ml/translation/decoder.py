"""The decoder of a transformer (Vaswani 2017): a text word by word, from what was said and from another text.

Each layer looks at the words before and at the tokens of the other text, each branch normalised first and added to what
was there (Xiong 2020). Knows no vocabulary.
Legend: `B` batch, `K` texts that are continued for each row, `T` their tokens, `L` tokens of the other text, `S` their
width, `D` width, `H` heads, `P` half a head's width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from app.ml.networks.attention import Angles, Attention, quiet, rotations
from app.ml.networks.layers import activated, linear

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of one layer, each [B, H, L, 2P]."""


@dataclass(frozen=True)
class Memory:
    """The other text, as every layer looks at it."""

    layers: list[KeysValues]
    mask: Tensor
    """[B, 1, 1, L] bool, True where a token is real."""


class TextDecoder(nn.Module):
    """Layers that tell from the tokens of a text, and from another one, what the next token is like."""

    angles: Tensor

    def __init__(self, *, width: int, heads: int, depth: int, source: int, places: int, dropout: float) -> None:
        """`source` is S, `places` the most tokens of a text."""
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(width, heads, depth, source, dropout) for _ in range(depth))
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(width)
        self.register_buffer("angles", rotations((places,), width // heads), persistent=False)

    def forward(self, tokens: Tensor, memory: Memory) -> Tensor:
        """What follows each of `tokens` [B, T, D], which sees those before it alone."""
        tokens, angles = self.dropout(tokens), self._turns(0, tokens.shape[1])
        for layer, told in zip(self.layers, memory.layers, strict=True):
            tokens = layer(tokens, angles, told, memory.mask)
        following: Tensor = self.norm(tokens)
        return following

    def remember(self, tokens: Tensor, mask: Tensor) -> Memory:
        """`tokens` [B, L, S] of the other text, of which those of `mask` [B, L] are real."""
        layers = [layer.across.remember(tokens) for layer in self.layers if isinstance(layer, DecoderLayer)]
        return Memory(layers, mask[:, None, None, :])

    def step(self, tokens: Tensor, memory: Memory, before: list[KeysValues]) -> tuple[Tensor, list[KeysValues]]:
        """What follows `tokens` [B, K, D], the next of K texts per row, and what the step after it needs.

        `before` are keys and values [B * K, H, T, 2P] of the tokens that came before, of each layer; empty at first.
        """
        place = before[0][0].shape[2] if before else 0
        angles, kept = self._turns(place, 1), []
        for number, (layer, told) in enumerate(zip(self.layers, memory.layers, strict=True)):
            assert isinstance(layer, DecoderLayer)
            tokens, own = layer.step(tokens, angles, told, memory.mask, before[number] if before else None)
            kept.append(own)
        return self.norm(tokens), kept

    def _turns(self, first: int, count: int) -> Angles:
        angles = self.angles[first : first + count]
        return angles.cos(), angles.sin()


class DecoderLayer(nn.Module):
    def __init__(self, width: int, heads: int, depth: int, source: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(width), Attention(width, heads, depth)
        self.across_norm, self.across = nn.LayerNorm(width), Across(width, heads, depth, source)
        self.inner_norm, self.widen = nn.LayerNorm(width), activated(width, 4 * width)
        self.narrow = quiet(4 * width, width, depth)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, angles: Angles, told: KeysValues, mask: Tensor) -> Tensor:
        tokens = tokens + self.dropout(self.attention(self.attention_norm(tokens), angles, None, True))
        return self._rest(tokens, told, mask)

    def step(
        self, tokens: Tensor, angles: Angles, told: KeysValues, mask: Tensor, before: KeysValues | None
    ) -> tuple[Tensor, KeysValues]:
        """As `forward`, of the next token of each text alone."""
        rows, texts, width = tokens.shape
        alone = self.attention_norm(tokens).view(rows * texts, 1, width)
        queries, keys, values = self.attention.asked(alone, angles)
        if before is not None:
            keys, values = torch.cat([before[0], keys], 2), torch.cat([before[1], values], 2)
        heard = self.attention.told(scaled_dot_product_attention(queries, keys, values)).view(rows, texts, width)
        return self._rest(tokens + heard, told, mask), (keys, values)

    def _rest(self, tokens: Tensor, told: KeysValues, mask: Tensor) -> Tensor:
        tokens = tokens + self.dropout(self.across(self.across_norm(tokens), told, mask))
        inner: Tensor = self.dropout(self.narrow(gelu(self.widen(self.inner_norm(tokens)))))
        return tokens + inner


class Across(nn.Module):
    """Tokens look at those of another text."""

    def __init__(self, width: int, heads: int, depth: int, source: int) -> None:
        super().__init__()
        self.heads = heads
        self.ask, self.offer = linear(width, width), linear(source, 2 * width)
        self.tell = quiet(width, width, depth)

    def remember(self, tokens: Tensor) -> KeysValues:
        rows, length, _ = tokens.shape
        offered: Tensor = self.offer(tokens)
        keys, values = offered.view(rows, length, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        return keys, values

    def forward(self, tokens: Tensor, told: KeysValues, mask: Tensor) -> Tensor:
        """Of `tokens` [B, T, D], or [B, K, D] of as many texts: none looks at its neighbours here."""
        rows, length, _ = tokens.shape
        queries = self.ask(tokens).view(rows, length, self.heads, -1).transpose(1, 2)
        heard = scaled_dot_product_attention(queries, *told, attn_mask=mask)
        answer: Tensor = self.tell(heard.transpose(1, 2).flatten(2))
        return answer
