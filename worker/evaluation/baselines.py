"""Easy alternatives to a trained network, of the same width and from the same training rows.

Legend: `N` rows, `W` numbers per row, `E` width of the features, `L` tokens, `V` vocabulary, `M` mels, `F` frames.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from app.ml.objectives.parts.rebuilding import real
from app.ml.series.summary import Summary
from app.ml.tensors.shapes import Tensors

COEFFICIENTS, REACH = 20, 2
"""Of MFCC; frames to either side from which a delta is taken."""


def pca(rows: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Principal directions [W, E] and mean [W] of `rows` [N, W] (Pearson 1901).

    By randomised SVD (Halko 2011) where W is large.
    """
    width = min(width, *rows.shape)
    mean = rows.mean(0)
    centred = rows - mean
    if rows.shape[1] <= 2048:
        _, vectors = torch.linalg.eigh((centred.T @ centred).double())
        return vectors[:, -width:].flip(1).float(), mean
    torch.manual_seed(0)
    return torch.svd_lowrank(centred, q=min(width + 8, *rows.shape), niter=4)[2][:, :width], mean


def mfcc(spectrograms: Tensor) -> Tensor:
    """Mean and deviation over time of 20 cepstral coefficients (Davis & Mermelstein 1980) and of their deltas.

    From log-mel spectrograms [N, 1, M, F] to [N, 80].
    """
    mels = spectrograms.shape[2]
    count = min(COEFFICIENTS, mels)
    places = (torch.arange(mels) + 0.5) * math.pi / mels
    cosines = (torch.arange(count)[:, None] * places).cos()  # DCT-II
    coefficients = cosines @ spectrograms[:, 0]  # [N, 20, F]
    padded = pad(coefficients, (REACH, REACH), mode="replicate")
    frames = coefficients.shape[2]
    steps = range(1, REACH + 1)
    slopes = [
        step * (padded[..., REACH + step :][..., :frames] - padded[..., REACH - step :][..., :frames]) for step in steps
    ]
    both = torch.cat([coefficients, torch.stack(slopes).sum(0) / (2 * sum(step**2 for step in steps))], 1)
    return torch.cat([both.mean(2), both.std(2, correction=0)], 1)


def series(rows: Tensor, channels: int) -> Tensor:
    """Mean, deviation, minimum, maximum and log power per band of frequency of each channel, of `rows` [N, W]."""
    steps = rows.shape[1] // channels
    summary: Tensor = Summary(steps, channels)(rows.view(-1, steps, channels))
    return summary


def unigram(train: Tensors, test: Tensors, vocabulary: int) -> dict[str, float]:
    """`perplexity` and `token_accuracy` of `test` for somebody who knows how often each token comes in `train`."""
    counts = torch.bincount(train["values"][real(train)], minlength=vocabulary).double() + 1
    likely, words = (counts / counts.sum()).log(), test["values"][real(test)]
    right = float((words == counts.argmax()).float().mean())
    return {"perplexity": float((-likely[words].mean()).exp()), "token_accuracy": right}
