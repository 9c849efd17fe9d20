"""Words said by speakers who were never heard: embeddings against MFCC-20 with deltas, under the same probes.

Rootstock gets the recordings of the training speakers through its HTTP API, pretrains on them without their labels,
with its defaults alone and for ten minutes at most, and embeds all recordings. The frozen probes of the service itself,
a linear one and the 10 nearest neighbours by cosine, learn from the training speakers and are judged on the others:
accuracy of every held-out speaker, then their mean. The intervals are over seeds, each of which draws voices, takes and
split anew.

    .venv/bin/pip install espeakng-loader
    .venv/bin/python benchmarks/audio.py [--speakers 80] [--held-out 30] [--words 14] [--takes 3] [--seeds 3]
"""

import argparse
import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from speech import Take, archive, cached
from torch.nn.functional import pad

from app.demo.service import Client, started
from app.ml.audio.sounds import FULL_SCALE, decode
from app.ml.audio.spectrograms import Mel
from worker.evaluation.probes import Labelled, linear_right, nearest_right

RATE, MELS, COEFFICIENTS, REACH = 16_000, 40, 20, 2
WINDOW, HOP = 400, 160
PER_REQUEST = 64
Rows = NDArray[np.float64]


def mfcc(takes: Sequence[Take]) -> Rows:
    """Mean and deviation over time of 20 coefficients (Davis & Mermelstein 1980) and of their deltas, [N, 80]."""
    mel = Mel(RATE, MELS, WINDOW, HOP, (20.0, RATE / 2))
    places = (np.arange(MELS) + 0.5) * np.pi / MELS
    cosines = np.cos(np.arange(COEFFICIENTS)[:, None] * places)  # DCT-II
    rows = []
    for take in takes:
        wave = torch.from_numpy(decode(take.wav, take.word, RATE).astype(np.float32) / FULL_SCALE)
        wave = pad(wave, (0, max(0, WINDOW - len(wave))))  # silence fills the window of a shorter one
        coefficients = cosines @ mel.decibels(wave[None])[0].double().numpy()  # [20, F]
        padded = np.pad(coefficients, ((0, 0), (REACH, REACH)), mode="edge")
        frames = coefficients.shape[1]
        deltas = sum(
            step * (padded[:, REACH + step :][:, :frames] - padded[:, REACH - step :][:, :frames])
            for step in range(1, REACH + 1)
        ) / (2 * sum(step**2 for step in range(1, REACH + 1)))
        both = np.concatenate([coefficients, deltas])
        rows.append(np.concatenate([both.mean(1), both.std(1)]))
    return np.array(rows)


def embed(client: Client, model: str, takes: Sequence[Take]) -> Rows:
    """Through the stock SDK, by `data:` URI."""
    uris = ["data:audio/wav;base64," + base64.b64encode(take.wav).decode() for take in takes]
    parts = [uris[start : start + PER_REQUEST] for start in range(0, len(uris), PER_REQUEST)]
    return np.array(
        [item.embedding for part in parts for item in client.sdk.embeddings.create(model=model, input=part).data]
    )


def probe(rows: Rows, takes: Sequence[Take], known: NDArray[np.bool_]) -> dict[str, float]:
    """Mean over the held-out speakers of the share of their words that are recognised."""
    people = np.array([take.speaker for take in takes])[~known]
    words = sorted({take.word for take in takes})
    labels = torch.tensor([words.index(take.word) for take in takes])
    features, heard = torch.from_numpy(rows).float(), torch.from_numpy(known)
    judged = Labelled(features[heard], features[~heard], labels[heard], labels[~heard])
    found = {}
    for name, judge in (("linear", linear_right), ("k-NN", nearest_right)):
        right = judge(judged).numpy()
        found[name] = float(np.mean([right[people == person].mean() for person in np.unique(people)]))
    return found


def train(client: Client, takes: Sequence[Take], seed: int, seconds: float, request: dict[str, Any]) -> dict[str, Any]:
    columns = {"label": "label", "group": "speaker"}
    body = {"name": f"speech-{seed}", "modality": "audio", "columns": columns}
    made = client.dataset("speech.zip", archive(list(takes)), body)
    asked = {"kind": "pretrain", "dataset": made, "name": f"speech-{seed}", **request}
    asked["training"] = {"seed": seed, "max_seconds": seconds, **request.get("training", {})}
    return client.train(f"seed {seed}", asked)


def shown(values: Sequence[float]) -> str:
    """Mean and the half width of its 95 % interval (Student's t), in percent."""
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return f"{100 * mean:5.1f}        "
    width = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}.get(count, 2.5) * float(np.std(values, ddof=1)) / count**0.5
    return f"{100 * mean:5.1f} +- {100 * width:4.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speakers", type=int, default=80)
    parser.add_argument("--held-out", type=int, default=30, help="speakers of those that are never heard")
    parser.add_argument("--words", type=int, default=14)
    parser.add_argument("--takes", type=int, default=3, help="of every word by every speaker")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=600.0, help="that training may take")
    parser.add_argument("--request", type=json.loads, default={}, help="JSON to add to the job's request")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "rootstock-benchmarks")
    arguments = parser.parse_args()
    scores: dict[tuple[str, str], list[float]] = {}
    seconds = []
    with started() as client:
        for seed in range(arguments.seeds):
            takes = cached(arguments.cache, arguments.speakers, arguments.words, arguments.takes, seed)
            everybody = sorted({take.speaker for take in takes})
            unheard = set(np.random.default_rng(seed).permutation(everybody)[: arguments.held_out].tolist())
            known = np.array([take.speaker not in unheard for take in takes])
            job = train(
                client,
                [take for take in takes if take.speaker not in unheard],
                seed,
                arguments.seconds,
                arguments.request,
            )
            seconds.append(job["finished_at"] - job["created_at"])
            print(f"seed {seed}: {job['spec']['objective']['name']}, {seconds[-1]} s, metrics {job['metrics']}")
            for name, rows in (("rootstock", embed(client, job["model"], takes)), ("mfcc-20", mfcc(takes))):
                for kind, score in probe(rows, takes, known).items():
                    scores.setdefault((kind, name), []).append(score)
    print(
        f"\n{arguments.words} words, {arguments.held_out} unheard speakers of {arguments.speakers}; training took "
        f"{np.mean(seconds):.0f} s\nprobe   features      accuracy, mean over unheard speakers, %"
    )
    for (kind, name), values in sorted(scores.items()):
        print(f"{kind:7} {name:12} {shown(values)}")
    for kind in ("linear", "k-NN"):
        gain = np.array(scores[kind, "rootstock"]) - np.array(scores[kind, "mfcc-20"])
        print(f"{kind:7} difference   {shown(gain.tolist())} points")


if __name__ == "__main__":
    main()
