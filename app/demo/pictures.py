"""The demo's two pictures. Knows arrays and file names, and no service.

Legend: `N` rows, `D` width of a code.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

INK, FAINT = "#22303c", "#8a97a3"


def draw_reconstructions(
    path: Path, originals: NDArray[np.generic], rows: Mapping[str, NDArray[np.generic]], errors: Mapping[str, float]
) -> None:
    """Originals [N, 28, 28] in the first row, then one row per model with its name and mean squared error."""
    count = len(originals)
    figure = Figure(figsize=(1.0 * count + 2.2, 1.08 * (1 + len(rows)) + 0.7), facecolor="white")
    axes = figure.subplots(1 + len(rows), count, gridspec_kw={"wspace": 0.06, "hspace": 0.06})
    labels = ["originals", *(f"{name}\nMSE {errors[name]:.4f}" for name in rows)]
    for line, (label, images) in enumerate(zip(labels, [originals, *rows.values()], strict=True)):
        for column in range(count):
            cell = axes[line, column]
            cell.imshow(images[column], cmap="gray_r", vmin=0, vmax=255 if images.dtype == np.uint8 else 1)
            cell.set_xticks([])
            cell.set_yticks([])
            for spine in cell.spines.values():
                spine.set_color("#d5dce2")
        axes[line, 0].set_ylabel(label, rotation=0, ha="right", va="center", color=INK, fontsize=11, labelpad=12)
    figure.suptitle("Test digits, and what is left of them after 8 numbers", color=INK, fontsize=14)
    _save(figure, path)


def draw_maps(path: Path, codes: Mapping[str, NDArray[np.float64]], labels: NDArray[np.str_]) -> None:
    """One map per model: its codes [N, D] laid out in the plane by t-SNE and coloured by class."""
    names, palette = np.unique(labels), colormaps["tab10"]
    figure = Figure(figsize=(7.2 * len(codes), 7.4), facecolor="white")
    for axis, (title, points) in zip(figure.subplots(1, len(codes), squeeze=False)[0], codes.items(), strict=True):
        plane = flatten(points)
        for number, name in enumerate(names):
            mine, colour = plane[labels == name], palette(number % 10)
            axis.scatter(*mine.T, s=16, color=colour, alpha=0.75, linewidths=0, label=name)
            badge = {"boxstyle": "circle,pad=0.18", "facecolor": "white", "alpha": 0.8, "edgecolor": colour}
            middle = np.median(mine, axis=0)
            axis.text(*middle, name, fontsize=17, weight="bold", ha="center", va="center", color=INK, bbox=badge)
        axis.set_title(title, color=INK, fontsize=14, pad=12)
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_color("#d5dce2")
        axis.set_xlabel(f"{len(points):,} test digits, 8 dimensions drawn in 2 by t-SNE", color=FAINT)
    _save(figure, path)


def flatten(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N, D] to [N, 2] so that neighbours stay neighbours (t-SNE, van der Maaten & Hinton 2008)."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    scaled = (points - points.mean(axis=0)) / points.std()
    layout = TSNE(perplexity=min(30, len(points) // 4), init="pca", max_iter=500, random_state=0)
    with threadpool_limits(1):  # so few points cost less than the threads that would share them
        plane: NDArray[np.float64] = layout.fit_transform(scaled)
    return plane


def _save(figure: Figure, path: Path) -> None:
    FigureCanvasAgg(figure)  # draws without a display
    figure.savefig(path, dpi=110, bbox_inches="tight")
