"""How long each token of a text is spoken: found in recordings, and laid out over frames. Knows no network.

Legend: `B` batch, `L` tokens, `F` frames.
"""

import torch
from torch import Tensor

STRAIGHT = 100.0
"""Cost of a frame that is spoken by a token from the other end of the text, were the text spoken evenly."""


def evenness(tokens: Tensor, frames: Tensor, size: tuple[int, int]) -> Tensor:
    """Log-likelihoods [B, L, F] of texts of `tokens` [B] being spoken evenly over `frames` [B]; `size` is (L, F).

    Without them, what has learned nothing could take any alignment for the best one. They are small beside what
    frames of many numbers tell (the prior of Badlani 2021 is of the same use).
    """
    places = (torch.arange(size[0], device=tokens.device) + 0.5) / tokens[:, None]  # [B, L]
    times = (torch.arange(size[1], device=tokens.device) + 0.5) / frames[:, None]  # [B, F]
    return -STRAIGHT * (places[:, :, None] - times[:, None]).square()


@torch.no_grad()
def aligned(scores: Tensor, tokens: Tensor, frames: Tensor) -> Tensor:
    """Frames of each token [B, L] on the best monotonic path through log-likelihoods `scores` [B, L, F].

    Every token of the text gets a frame at least, and every frame one token, in order (monotonic alignment search, Kim
    2020); all rows of the batch at once. Where there are fewer frames than tokens, all get the same share of them.
    """
    rows, length, longest = scores.shape
    best = scores.new_full((rows, length), -torch.inf)
    best[:, 0] = 0.0
    moved = torch.zeros((longest, rows, length), dtype=torch.bool, device=scores.device)
    wall = scores.new_full((rows, 1), -torch.inf)
    for time, score in enumerate(scores.unbind(2)):
        if time:
            before = torch.cat([wall, best[:, :-1]], 1)
            moved[time] = before > best
            best = torch.maximum(best, before)
        best = best + score
    durations = torch.zeros_like(best)
    place = (tokens - 1)[:, None]
    for time in range(longest - 1, -1, -1):
        spoken = (frames > time)[:, None]
        durations.scatter_add_(1, place, spoken.to(durations.dtype))
        place = place - (moved[time].gather(1, place) & spoken).long()
    even = (torch.arange(length, device=tokens.device) < tokens[:, None]) * (frames / tokens)[:, None]
    return torch.where((frames < tokens)[:, None], even, durations)


def laid_out(durations: Tensor, frames: int) -> Tensor:
    """[B, F, L]: the share of each frame that each token fills when tokens are spoken one after the other.

    Length regulation (Ren 2019) that is continuous: with whole `durations` [B, L] every frame is of one token, and
    between two durations lies what lies between their frames.
    """
    ends = durations.cumsum(1)[:, None]  # [B, 1, L]
    begins = ends - durations[:, None]
    times = torch.arange(frames, device=durations.device, dtype=durations.dtype)[:, None]  # [F, 1]
    return (torch.minimum(ends, times + 1) - torch.maximum(begins, times)).clamp(min=0)
