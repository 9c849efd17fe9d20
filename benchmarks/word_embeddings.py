"""Vectors of words through the HTTP API against gensim's skip-gram: same corpus, vocabulary, window, width and threads.

The corpus is one text per line. Words are runs of letters and digits in small letters; all but the most frequent ones
are taken out of it beforehand, so that both sides know the same words. Rootstock's time goes from `POST /v1/jobs` to
the registered model, gensim's over reading and training. Judged are the rank correlation (Spearman) with people's
judgements in WordSim-353 and SimLex-999, and the share of right analogies (the nearest word by cosine, out of all).

Without `--corpus`, English is taken from Debian packages: dictionaries, glosses of WordNet, manuals, help texts.

    python3 -m venv /tmp/gensim && /tmp/gensim/bin/pip install gensim
    .venv/bin/python benchmarks/word_embeddings.py --gensim /tmp/gensim/bin/python [--corpus FILE] [--seeds 3]
"""

import argparse
import collections
import gzip
import html
import itertools
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from packages import debian
from scipy.stats import spearmanr

from app.demo.service import Client, started

SPECIALS = 5
"""Ids of a vocabulary that are no words."""
LONGEST = 1000
"""Words of a text: longer ones become several, since both sides read a text only so far."""
Table = NDArray[np.float32]


def english(cache: Path) -> Path:
    """A corpus of the packages' English, 14 million words, in the folder if it was made before."""
    path = cache / "english.txt"
    if not path.exists():
        lines: dict[str, None] = {}
        for package, reader in PACKAGES.items():
            lines |= dict.fromkeys(" ".join(line.split()) for line in reader(debian(cache, package) / "usr/share"))
        path.write_text("\n".join(lines), encoding="utf-8")
    return path


def glosses(folder: Path) -> Iterator[str]:
    """Definitions and examples of WordNet."""
    for path in sorted(folder.glob("wordnet/data.*")):
        for line in path.read_text(encoding="latin-1").splitlines():
            if "|" in line and not line.startswith(" "):
                yield line.split("|", 1)[1]


def manuals(folder: Path) -> Iterator[str]:
    """Paragraphs of manual pages."""
    for path in sorted(folder.glob("man/man*/*.gz")):
        text = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
        lines = [line for line in text.splitlines() if not line.startswith((".\\", "'"))]
        yield from paragraphs(re.sub(r"\\f.|\\[&e-]|^\.\S+", " ", line) if line.strip(". ") else "" for line in lines)


def dictionary(folder: Path) -> Iterator[str]:
    """Paragraphs of a dictionary of dictd."""
    for path in sorted(folder.glob("dictd/*.dict.dz")):
        yield from paragraphs(gzip.decompress(path.read_bytes()).decode("utf-8", "replace").splitlines())


def pages(folder: Path) -> Iterator[str]:
    """What HTML shows, block by block; a block of less than four words is a label."""
    for path in sorted(folder.rglob("*.html")):
        shown = re.sub(r"<(script|style)\b.*?</\1>", " ", path.read_text("utf-8", "replace"), flags=re.DOTALL)
        for block in re.split(r"</?(?:p|div|li|td|th|h\d|pre|dd|dt|tr|body)\b[^>]*>", shown):
            words = html.unescape(re.sub(r"<[^>]*>", "", block)).split()
            if len(words) > 3:
                yield " ".join(words)


def paragraphs(lines: Iterable[str]) -> Iterator[str]:
    """Lines up to an empty one, joined."""
    for full, group in itertools.groupby(lines, lambda line: bool(line.strip())):
        if full:
            yield " ".join(group)


PACKAGES: dict[str, Callable[[Path], Iterator[str]]] = {
    "wordnet-base": glosses,
    "manpages": manuals,
    "manpages-dev": manuals,
    "dict-gcide": dictionary,
    "dict-foldoc": dictionary,
    "libreoffice-help-en-us": pages,
    "python3.11-doc": pages,
    "postgresql-doc-15": pages,
}


def prepared(corpus: Path, target: Path, most: int) -> tuple[int, list[str]]:
    """Writes the corpus with its `most` most frequent words alone; gives its tokens and the words."""
    whole = [re.findall(r"\w+", line.lower()) for line in corpus.open(encoding="utf-8")]
    lines = [line[first : first + LONGEST] for line in whole for first in range(0, len(line), LONGEST)]
    counts = collections.Counter(itertools.chain.from_iterable(lines))
    words = sorted(counts, key=lambda word: (-counts[word], word))[:most]
    known, tokens = set(words), 0
    with target.open("w", encoding="utf-8") as file:
        for line in lines:
            kept = [word for word in line if word in known]
            if len(kept) > 1:
                tokens += len(kept)
                file.write(" ".join(kept) + "\n")
    return tokens, words


def ours(
    client: Client, dataset: str, words: list[str], arguments: argparse.Namespace, seed: int
) -> tuple[Table, float]:
    """Vectors of the words by the HTTP API, and the seconds from the job's request to the registered model."""
    request = {
        "kind": "pretrain",
        "dataset": dataset,
        "name": f"words-{seed}",
        "modality": {"name": "text", "vocabulary": len(words) + SPECIALS},
        "encoder": {"name": "words", "dimensions": arguments.width},
        "objective": {"name": "word_embeddings", "window": arguments.window, **arguments.objective},
        "training": {"seed": seed},
    }
    began = time.perf_counter()
    job = client.train(f"rootstock, seed {seed}", request)
    seconds = time.perf_counter() - began
    return np.array(client.embeddings(job["model"], words), np.float32), seconds


def uploaded(client: Client, corpus: Path) -> str:
    """The corpus as a dataset of which nearly all rows are for training."""
    split = {"train": 0.998, "validation": 0.001, "test": 0.001}
    with corpus.open("rb") as file:
        return client.dataset("corpus.txt", file, {"name": "corpus", "modality": "text", "split": split})


def theirs(
    corpus: Path, folder: Path, words: list[str], arguments: argparse.Namespace, seed: int
) -> tuple[Table, float]:
    """The same by gensim."""
    command = [arguments.gensim, str(Path(__file__).with_name("skip_gram.py")), str(corpus), str(folder)]
    for name in ("width", "window", "epochs", "threads"):
        command += [f"--{name}", str(getattr(arguments, name))]
    done = subprocess.run([*command, "--seed", str(seed)], check=True, capture_output=True, text=True)
    names = {name: place for place, name in enumerate(json.loads((folder / "words.json").read_text()))}
    vectors = np.load(folder / "vectors.npy")
    table = np.zeros((len(words), vectors.shape[1]), np.float32)
    for place, word in enumerate(words):
        if word in names:
            table[place] = vectors[names[word]]
    return table, float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def judged(table: Table, words: list[str], folder: Path) -> dict[str, float]:
    """Figures of a table of vectors [V, D]."""
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    places = {word: place for place, word in enumerate(words)}
    scores = {}
    for name in ("wordsim353.tsv", "simlex999.txt"):
        rows = [line.split("\t")[:3] for line in (folder / name).read_text().splitlines() if not line.startswith("#")]
        known = [
            (places[a.lower()], places[b.lower()], float(c))
            for a, b, c in rows
            if {a.lower(), b.lower()} <= set(places)
        ]
        alike = [float(unit[a] @ unit[b]) for a, b, _ in known]
        scores[f"{Path(name).stem} ({len(known)})"] = float(spearmanr(alike, [score for _, _, score in known])[0])
    asked = [
        line.lower().split() for line in (folder / "questions-words.txt").read_text().splitlines() if line[0] != ":"
    ]
    quads = np.array([[places[word] for word in quad] for quad in asked if set(quad) <= set(places)])
    right = sum(_right(unit, quads[first : first + 256]) for first in range(0, len(quads), 256))
    return scores | {f"analogies ({len(quads)})": right / max(1, len(quads))}


def _right(unit: Table, quads: NDArray[np.int64]) -> int:
    near = (unit[quads[:, 1]] - unit[quads[:, 0]] + unit[quads[:, 2]]) @ unit.T
    np.put_along_axis(near, quads[:, :3], -np.inf, axis=1)
    return int((near.argmax(1) == quads[:, 3]).sum())


def report(figures: dict[str, list[dict[str, float]]]) -> None:
    """Mean and range over the seeds, side by side."""
    for name in figures["rootstock"][0]:
        shown = []
        for rows in figures.values():
            values = [row[name] for row in rows]
            shown.append(f"{np.mean(values):9.3f} ({min(values):.3f} to {max(values):.3f})")
        print(f"{name:22} {'  '.join(shown)}")
    ratio = np.mean([row["seconds"] for row in figures["gensim"]]) / np.mean(
        [r["seconds"] for r in figures["rootstock"]]
    )
    print(f"rootstock takes 1/{ratio:.1f} of gensim's time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gensim", required=True, help="a Python that has gensim")
    parser.add_argument("--corpus", type=Path, help="one text per line")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "rootstock-benchmarks")
    parser.add_argument("--words", type=int, default=50_000)
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--window", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=5, help="of gensim")
    parser.add_argument("--threads", type=int, default=2, help="of both")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--objective", type=json.loads, default={}, help="JSON to add to Rootstock's objective")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["RAYON_NUM_THREADS"] = str(arguments.threads)
    figures: dict[str, list[dict[str, float]]] = {"rootstock": [], "gensim": []}
    with tempfile.TemporaryDirectory() as name, started() as client:
        folder = Path(name)
        corpus = folder / "corpus.txt"
        tokens, words = prepared(arguments.corpus or english(arguments.cache), corpus, arguments.words)
        print(f"{tokens:,} tokens of {len(words):,} words")
        dataset = uploaded(client, corpus)
        for seed in range(arguments.seeds):
            runs = {
                "gensim": theirs(corpus, folder, words, arguments, seed),
                "rootstock": ours(client, dataset, words, arguments, seed),
            }
            for side, (table, seconds) in runs.items():
                figures[side].append({"seconds": seconds, **judged(table, words, folder)})
                print(f"seed {seed}, {side}: {figures[side][-1]}")
    print(f"\n{'':22} rootstock (lowest to highest)  gensim")
    report(figures)


if __name__ == "__main__":
    main()
