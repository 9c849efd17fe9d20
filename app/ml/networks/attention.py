"""Self-attention (Vaswani 2017) over tokens that know where they stand. Knows no encoder and no modality.

Legend: `B` batch, `L` tokens, `D` width, `H` heads, `P` half a head's width.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from app.ml.networks.layers import activated, linear
from app.ml.networks.tracing import tracing

WAVELENGTH = 10_000.0
"""Longest wavelength of the rotations, in tokens over 2 pi (Su 2021)."""

Angles = tuple[Tensor, Tensor]
"""Cosines and sines [L, P], or [B, L, P] where items keep different tokens."""


def check_heads(width: int, heads: int) -> None:
    """Raises ValueError where `width` numbers cannot be shared by so many heads whose tokens are turned."""
    if width % (4 * heads):
        raise ValueError(
            f"width {width} cannot be shared by {heads} heads: width / heads must be a multiple of 4, "
            f"as in width {-(-width // (4 * heads)) * 4 * heads}"
        )


def rotations(places: Sequence[int], head: int) -> Tensor:
    """Angles [L, head / 2] of rotary positions (Su 2021) for tokens on a lattice of `places` per axis.

    Each axis gets its share of the frequencies, so that attention sees how far apart two tokens are along each.
    """
    share = head // 2 // len(places)
    frequencies = WAVELENGTH ** (-torch.arange(share) / share)
    axes = torch.meshgrid(*[torch.arange(count).float() for count in places], indexing="ij")
    return torch.cat([axis.reshape(-1, 1) * frequencies for axis in axes], dim=1)


def chosen(tokens: Tensor, keep: Tensor | None) -> Tensor:
    """The tokens [B, K, D] named by `keep` [B, K], or [1, K] for all items, of `tokens` [B, L, D]."""
    if keep is None:
        return tokens
    if len(keep) == 1:
        return tokens.index_select(1, keep[0])
    return tokens.gather(1, keep[:, :, None].expand(-1, -1, tokens.shape[2]))


def attended(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, *, causal: bool = False) -> Tensor:
    """What tokens hear of the real ones `mask` [B, L], or of those before them: the others are [B, H, L, 2P]."""
    if not tracing():
        # padding stands at the end, where nothing causal looks: no mask then, which keeps the fast kernels
        seen = mask[:, None, None, :] if mask is not None and not causal else None
        return scaled_dot_product_attention(queries, keys, values, attn_mask=seen, is_causal=causal)
    # a graph shall say what is known here, and onnx2tf adds one axis at a time alone: there is something between them
    seen = None
    if causal:
        places = torch.arange(queries.shape[2], device=queries.device)
        seen = torch.where(places <= places[:, None], 0.0, -torch.inf)
    elif mask is not None:
        seen = torch.where(mask[:, None], 0.0, -torch.inf)[:, None]
    return scaled_dot_product_attention(queries, keys, values, seen, scale=1 / math.sqrt(int(queries.shape[3])))


class Attention(nn.Module):
    """Every token looks at every other one, or at those before it alone."""

    def __init__(self, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.heads = heads
        self.ask = linear(width, 3 * width)
        self.tell = quiet(width, width, depth)

    def forward(self, tokens: Tensor, angles: Angles | None, mask: Tensor | None, causal: bool) -> Tensor:
        queries, keys, values = self.asked(tokens, angles)
        return self.told(attended(queries, keys, values, mask, causal=causal))

    def asked(self, tokens: Tensor, angles: Angles | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of `tokens` [B, L, D], each [B, H, L, 2P]."""
        rows, length, _ = tokens.shape
        asked: Tensor = self.ask(tokens)
        queries, keys, values = asked.view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if angles is not None:
            queries, keys = turned(queries, angles), turned(keys, angles)
        return queries, keys, values

    def told(self, heard: Tensor) -> Tensor:
        """What tokens [B, L, D] take from what their heads [B, H, L, 2P] have heard."""
        told: Tensor = self.tell(heard.transpose(1, 2).flatten(2))
        return told


class Layer(nn.Module):
    """Attention and two connected layers, each normalised first and added to what was there (Xiong 2020)."""

    def __init__(self, width: int, heads: int, depth: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(width), Attention(width, heads, depth)
        self.inner_norm, self.widen = nn.LayerNorm(width), activated(width, 4 * width)
        self.narrow = quiet(4 * width, width, depth)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, tokens: Tensor, angles: Angles | None = None, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        tokens = tokens + self.dropout(self.attention(self.attention_norm(tokens), angles, mask, causal))
        inner: Tensor = self.dropout(self.narrow(gelu(self.widen(self.inner_norm(tokens)))))
        return tokens + inner


def turned(heads: Tensor, angles: Angles) -> Tensor:
    """`heads` [B, H, L, 2P] with each pair of numbers rotated by its token's angle; computed in float32."""
    cosines, sines = (part if part.ndim == 2 else part[:, None] for part in angles)
    first, second = heads.float().chunk(2, dim=-1)
    rotated = torch.cat([first * cosines - second * sines, first * sines + second * cosines], dim=-1)
    return rotated.to(heads.dtype)


def quiet(inputs: int, outputs: int, depth: int) -> nn.Linear:
    """The last layer of a branch: so small at first that `depth` layers of two branches add up to one signal."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(2 * depth * inputs))
    nn.init.zeros_(layer.bias)
    return layer


def masked_mean(tokens: Tensor, mask: Tensor | None) -> Tensor:
    """Mean [B, D] of the real tokens of `tokens` [B, L, D]."""
    if mask is None:
        return tokens.mean(1)
    real = mask[:, :, None].to(tokens.dtype)
    return (tokens * real).sum(1) / real.sum(1).clamp(min=1)
