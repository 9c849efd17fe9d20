"""Alignment against a search of all paths, and durations laid out over frames."""

import itertools

import pytest
import torch
from torch import Tensor

from app.ml.audio.durations import aligned, evenness, laid_out


def best_path(scores: Tensor) -> list[int]:
    """Frames of each token [L] on the best of all monotonic paths through [L, F]."""
    tokens, frames = scores.shape
    paths = []
    for cuts in itertools.combinations(range(1, frames), tokens - 1):
        durations = [end - begin for begin, end in itertools.pairwise([0, *cuts, frames])]
        owners = [token for token, count in enumerate(durations) for _ in range(count)]
        paths.append((sum(float(scores[token, time]) for time, token in enumerate(owners)), durations))
    return max(paths)[1]


def test_the_alignment_is_the_best_of_all_paths() -> None:
    drawn = torch.Generator().manual_seed(0)
    tokens, frames = torch.tensor([4, 1, 3, 5, 2]), torch.tensor([9, 6, 3, 8, 9])
    scores = torch.randn(5, 5, 9, generator=drawn)
    found = aligned(scores, tokens, frames)
    for row, (count, length) in enumerate(zip(tokens.tolist(), frames.tolist(), strict=True)):
        assert found[row, :count].tolist() == best_path(scores[row, :count, :length])
        assert not found[row, count:].any()


def test_fewer_frames_than_tokens_are_shared() -> None:
    found = aligned(torch.zeros(1, 4, 3), torch.tensor([4]), torch.tensor([3]))
    assert found.tolist() == [[0.75] * 4]


def test_without_knowledge_texts_are_spoken_evenly() -> None:
    tokens, frames = torch.tensor([4, 2]), torch.tensor([12, 6])
    even = evenness(tokens, frames, (4, 12))
    assert aligned(even, tokens, frames).tolist() == [[3, 3, 3, 3], [3, 3, 0, 0]]


def test_whole_durations_give_each_frame_to_one_token() -> None:
    share = laid_out(torch.tensor([[2.0, 0.0, 1.0]]), 4)
    assert share[0].tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_durations_in_between_share_frames() -> None:
    durations = torch.tensor([[1.5, 2.25]])
    share = laid_out(durations, 4)
    torch.testing.assert_close(share.sum(1), durations)
    torch.testing.assert_close(share[0, 1], torch.tensor([0.5, 0.5]))
    assert share[0, 3].sum() == pytest.approx(0.75)
