"""A dictionary of small patches, learned from pictures by k-means (Coates, Lee & Ng 2011), and components of where a
picture looks like which of them. Computed, without steps.

Legend: `B` batch, `C` channels, `H`, `W` height and width, `S` side of a patch, `P` patches, `N` numbers of a patch,
`K` entries, `E` components.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool1d, conv2d, normalize, relu

from app.ml.decomposition.components import PASSES, SMALLEST, Projection, Rows
from app.ml.decomposition.factorisation import leading
from app.ml.tensors.shapes import Shape

ENTRIES = 64
PATCH = 7
NARROWEST = 8
"""Height and width below which a picture is no place for patches."""
DETAIL = 32
"""Height and width to which larger pictures are averaged down."""
PLACES = 4
"""Rows and columns of the areas over which responses are averaged."""
THRESHOLD = 0.25
"""Cosine of an entry and a whitened patch, times the patch's length, from which on they are alike."""
FAINT = 0.03
"""Share of the patches' mean variance that is added to every patch's own: contrast far below is noise."""
QUIET = 1e-3
"""What is added to a mean response before its root is taken, which is steep at nothing."""
STILL = 1e-3
"""Deviation of patches and of responses below which they are taken as all alike."""
SAMPLE = 20_000
ROUNDS = 10
WHITENING = 0.1
"""What is added to the variance along every direction of the patches before they are divided by it."""


def holds_patches(shape: Shape) -> bool:
    """Whether items are pictures and large enough for patches, which may then lie anywhere in them."""
    return shape.layout == "grid" and not shape.aligned and min(shape.size[1:]) >= NARROWEST


class PatchComponents(Projection):
    """Pictures to components of their responses to a dictionary of patches. Nothing until filled.

    Every patch has its mean taken away and is divided by its deviation, so that light and contrast play no part, then
    whitened. Responses to an entry and to its negative, as far as they are over a threshold, are averaged over areas.
    """

    filters: Tensor
    offset: Tensor
    faint: Tensor
    flat: Tensor

    def __init__(self, shape: Shape, rank: int) -> None:
        super().__init__(2 * ENTRIES * PLACES**2, rank)
        channels, height, width = shape.size
        small = (min(height, DETAIL), min(width, DETAIL))
        self.side = PATCH if min(small) >= 2 * PATCH else PATCH // 2
        self.register_buffer("filters", torch.zeros(ENTRIES, channels, self.side, self.side))
        self.register_buffer("offset", torch.zeros(ENTRIES, 1, 1))
        self.register_buffer("faint", torch.ones(()))
        self.register_buffer("flat", torch.full((1, channels, self.side, self.side), 1 / (channels * self.side**2)))
        self.shrink = Areas((height, width), small)
        self.pool = Areas(small, (PLACES, PLACES))

    def fill(self, pictures: Rows) -> None:
        """From pictures [B, C, H, W]."""
        patches = torch.cat(list(self._sampled(pictures)))
        patches -= patches.mean(1, keepdim=True)
        variance = patches.square().mean(1, keepdim=True)
        faint = (FAINT * variance.mean()).clamp(min=STILL**2)
        patches /= (variance + faint).sqrt()
        self.faint.copy_(faint)
        filters, offset = dictionary(patches)
        self.filters.copy_(filters.view_as(self.filters))
        self.offset.copy_(offset.view_as(self.offset))
        device = self.mean.device
        responses = torch.cat([self.responses(piece.to(device)).cpu() for piece in pictures()])  # 8 KB each
        mean = responses.mean(0)
        responses -= mean

        def covariance(basis: Tensor) -> Tensor:
            return responses.T @ (responses @ basis) / len(responses)

        self.settle(mean, *leading(covariance, *self.directions.shape, passes=PASSES), STILL)

    def forward(self, pictures: Tensor) -> Tensor:
        """[B, C, H, W] to [B, E]"""
        return super().forward(self.responses(pictures))

    def responses(self, pictures: Tensor) -> Tensor:
        """[B, C, H, W] to square roots [B, 2 · K · areas]: a few strong responses would drown all others."""
        with torch.autocast(pictures.device.type, enabled=False):  # a variance is a small difference
            pictures, border = self.shrink(pictures.float()), self.side // 2
            mean = conv2d(pictures, self.flat, padding=border)
            variance = (conv2d(pictures.square(), self.flat, padding=border) - mean.square()).clamp(min=0)
            likeness = conv2d(pictures, self.filters, padding=border) / (variance + self.faint).sqrt() - self.offset
            parts = [self.pool(relu(sign * likeness - THRESHOLD)) for sign in (1, -1)]  # each [B, K, areas]
            return (torch.cat(parts, 1).flatten(1) + QUIET).sqrt()

    def _sampled(self, pictures: Rows) -> Iterator[Tensor]:
        """Patches [P, N] from places drawn at random, equally many of every picture."""
        random = torch.Generator().manual_seed(0)
        each = -(-SAMPLE // max(1, sum(map(len, pictures()))))
        for piece in pictures():
            windows = self.shrink(piece.to(self.mean.device)).cpu().unfold(2, self.side, 1).unfold(3, self.side, 1)
            rows, columns = (torch.randint(size, (len(piece), each), generator=random) for size in windows.shape[2:4])
            items = torch.arange(len(piece))[:, None]
            yield windows[items, :, rows, columns].flatten(0, 1).flatten(1)


class Areas(nn.Module):
    """Means over areas of like size that cover a grid: adaptive pooling as two matrix products."""

    rows: Tensor
    columns: Tensor

    def __init__(self, before: tuple[int, int], after: tuple[int, int]) -> None:
        super().__init__()
        for name, whole, parts in zip(("rows", "columns"), before, after, strict=True):
            self.register_buffer(name, adaptive_avg_pool1d(torch.eye(whole), parts).T.contiguous(), persistent=False)
        self.nothing = before == after

    def forward(self, grids: Tensor) -> Tensor:
        """[…, H, W] to […, h, w]"""
        return grids if self.nothing else self.rows @ grids @ self.columns.T


def dictionary(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Entries as filters [K, N] without a mean, and what is taken from their responses [K].

    k-means of directions: every whitened patch moves the entry that it or its negative is nearest to.
    """
    random = torch.Generator().manual_seed(0)
    mean = patches.mean(0)
    centred = patches - mean
    variances, axes = torch.linalg.eigh((centred.T @ centred).double() / len(centred))
    whitening = (axes / (variances.clamp(min=0) + WHITENING).sqrt() @ axes.T).float()
    white = centred @ whitening
    entries = normalize(white[torch.randint(len(white), (ENTRIES,), generator=random)] + SMALLEST)
    for _ in range(ROUNDS):
        likeness = white @ entries.T
        nearest = likeness.abs().argmax(1, keepdim=True)
        moved = torch.zeros_like(entries).index_add(0, nearest[:, 0], white * likeness.gather(1, nearest))
        entries = normalize(moved + SMALLEST)
    filters = entries @ whitening
    filters -= filters.mean(1, keepdim=True)
    return filters, filters @ mean
