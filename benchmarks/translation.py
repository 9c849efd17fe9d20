"""Message catalogues of programs, translated by a model that learned from the rest of their messages.

Rootstock gets a table of sources and targets through its HTTP API and trains with its defaults alone. Messages of the
catalogues that packages of PyPI ship are drawn into training, validation and test; those of the test are asked for over
HTTP, and the chrF of the answers stands beside that of the sources themselves, of the commonest target and of a
translation memory of all messages that the model could learn from. Intervals are over draws.

    .venv/bin/python benchmarks/translation.py [--packages django wagtail] [--languages de fr] [--draws 3]
"""

import argparse
import gettext
import json
import time
from pathlib import Path

import numpy as np
from evaluation import shown, split
from packages import pypi

from app.demo.service import Client, started
from app.ml.translation.chrf import chrf
from app.ml.translation.memory import TranslationMemory

Pairs = list[tuple[str, str]]
TOGETHER = 64
"""Texts of a request."""


def messages(folder: Path, language: str) -> Pairs:
    """Of all catalogues of a package, each once: those of one line that are not the same in both languages."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob(f"{language}/LC_MESSAGES/*.mo")):
        with path.open("rb") as file:
            known = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
        for key, text in known.items():
            source = key[0] if isinstance(key, tuple) else key
            source = source.rpartition("\x04")[2].strip()
            if source and text.strip() not in ("", source) and not {"\n", "\t", '"'} & {*source, *text}:
                found.setdefault(source, text.strip())
    return list(found.items())


def table(pairs: Pairs, splits: np.ndarray[tuple[int], np.dtype[np.str_]]) -> bytes:
    """The pairs as TSV."""
    rows = [f"{source}\t{target}\t{part}" for (source, target), part in zip(pairs, splits, strict=True)]
    return "\n".join(["source\ttarget\tsplit", *rows]).encode()


def translated(client: Client, model: str, sources: list[str]) -> list[str]:
    found: list[str] = []
    for first in range(0, len(sources), TOGETHER):
        body = {"model": model, "input": sources[first : first + TOGETHER]}
        found += [item["text"] for item in client.call("POST", "/v1/translations", json=body)["data"]]
    return found


def judge(client: Client, name: str, pairs: Pairs, draw: int) -> dict[str, float]:
    splits = split(len(pairs), draw, test=0.1)
    columns = {"source": "source", "target": "target", "split": "split"}
    dataset = client.dataset(f"{name}.tsv", table(pairs, splits), {"name": name, "columns": columns})
    began = time.monotonic()
    job = client.train(name, {"kind": "pretrain", "dataset": dataset, "name": name})
    print(f"{name}: {time.monotonic() - began:.0f} s, {json.dumps(job['metrics'])}", flush=True)
    held = [pair for pair, part in zip(pairs, splits, strict=True) if part == "test"]
    known = [pair for pair, part in zip(pairs, splits, strict=True) if part != "test"]
    memory = TranslationMemory([source for source, _ in known], [target for _, target in known])
    sources, targets = [source for source, _ in held], [target for _, target in held]
    told = [target for _, target in known]
    ways = {
        "translated": translated(client, name, sources),
        "copied": sources,
        "commonest target": [max(sorted(set(told)), key=told.count)] * len(held),
        "translation memory": [memory.nearest(source) for source in sources],
    }
    for source, made, target in list(zip(sources, ways["translated"], targets, strict=True))[:5]:
        print(f"   {source!r:.60} -> {made!r:.60}; should be {target!r:.60}", flush=True)
    return {way: chrf(zip(texts, targets, strict=True)) for way, texts in ways.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", nargs="+", default=["django", "wagtail"])
    parser.add_argument("--languages", nargs="+", default=["de", "fr"])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "rootstock-benchmarks")
    arguments = parser.parse_args()
    folders = [pypi(arguments.cache, package) for package in arguments.packages]
    with started() as client:
        for language in arguments.languages:
            pairs = list(dict(pair for folder in folders for pair in messages(folder, language)).items())
            scores: dict[str, list[float]] = {}
            for draw in range(arguments.draws):
                for way, score in judge(client, f"{language}-{draw}", pairs, draw).items():
                    scores.setdefault(way, []).append(score)
            print(f"\nen to {language}, {len(pairs)} messages of {' and '.join(arguments.packages)}; chrF")
            for way, values in scores.items():
                print(f"{way:20} {shown(values)}")


if __name__ == "__main__":
    main()
