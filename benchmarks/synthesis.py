"""Words that a model of speech says, recognised by a classifier that only ever heard recordings.

Rootstock gets everything through its HTTP API and trains with its defaults alone. A classifier learns words from the
recordings of many speakers. For each of some voices that it never heard, a model of speech learns from recordings of
that voice with their transcripts, in the manner of LJSpeech, and says every word through the stock SDK. What the
classifier understands of that stands beside what it understands of recordings of the same voices that neither of the
two has heard, beside the same recordings brought back from their spectrograms (what guessing phases costs), and beside
chance. Intervals are over voices.

    .venv/bin/pip install espeakng-loader
    .venv/bin/python benchmarks/synthesis.py [--voices 3] [--words 14] [--takes 12] [--speakers 40]
"""

import argparse
import base64
import io
import json
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation import shown
from speech import WORDS, Take, archive, cached

from app.demo.service import Client, started
from app.ml.audio.sounds import decode, encode
from app.ml.modalities.spectrogram import Spectrogram
from app.ragged import Ragged

RATE, HELD = 16_000, 3
"""Takes of every word by every voice that no training hears."""
SPEEDS = (0.9, 1.0, 1.1)
LISTENER = {"name": "cnn", "preset": "nano"}
"""Of the classifier: it is what is measured with, not what is measured."""


def transcribed(takes: Sequence[Take]) -> bytes:
    """A ZIP in the manner of LJSpeech."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as packed:
        for number, take in enumerate(takes):
            packed.writestr(f"wavs/V-{number:04}.wav", take.wav)
        packed.writestr("metadata.csv", "".join(f"V-{number:04}|{take.word}\n" for number, take in enumerate(takes)))
    return held.getvalue()


def train(
    client: Client, name: str, content: bytes, dataset: dict[str, Any], objective: str, **request: Any
) -> dict[str, Any]:
    made = client.dataset(f"{name}.zip", content, {"name": name, **dataset})
    began = time.monotonic()
    job = client.train(
        name, {"kind": "pretrain", "dataset": made, "name": name, "objective": {"name": objective}, **request}
    )
    print(f"{name}: {time.monotonic() - began:.0f} s, {json.dumps(job['metrics'])}", flush=True)
    return job


def understood(client: Client, sounds: Sequence[bytes], words: Sequence[str]) -> float:
    """Share of the sounds that the classifier takes for their words."""
    uris = ["data:audio/wav;base64," + base64.b64encode(sound).decode() for sound in sounds]
    told = [answer["label"] for answer in client.predictions("listener", uris)]
    wrong = [f"{word} as {label}" for word, label in zip(words, told, strict=True) if word != label]
    print(f"   misunderstood: {', '.join(wrong) or 'nothing'}", flush=True)
    return 1 - len(wrong) / len(words)


def brought_back(takes: Sequence[Take]) -> list[bytes]:
    """Recordings by their spectrograms alone."""
    waves = Ragged.of([decode(take.wav, take.word, RATE) for take in takes])
    fitted = Spectrogram().fit([waves])
    rows = [fitted.encode(waves[place : place + 1])["values"][0] for place in range(len(takes))]
    return [encode(fitted.wave(row), RATE) for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voices", type=int, default=3)
    parser.add_argument("--words", type=int, default=len(WORDS))
    parser.add_argument("--takes", type=int, default=12, help="of every word by every voice")
    parser.add_argument("--speakers", type=int, default=40, help="that the classifier hears")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "rootstock-benchmarks")
    arguments = parser.parse_args()
    everybody = cached(arguments.cache, arguments.speakers, arguments.words, 3, 0)
    heard = {take.speaker for take in everybody}
    scores: dict[str, list[float]] = {}
    with started() as client:
        columns = {"columns": {"label": "label", "group": "speaker"}}
        train(client, "listener", archive(everybody), columns, "classification", encoder=LISTENER)
        for voice in range(arguments.voices):
            takes = cached(arguments.cache, 1, arguments.words, arguments.takes + HELD, 100 + voice)
            held = [take for place, take in enumerate(takes) if place % (arguments.takes + HELD) < HELD]
            rest = [take for place, take in enumerate(takes) if place % (arguments.takes + HELD) >= HELD]
            name = f"voice-{voice}"
            train(client, name, transcribed(rest), {"columns": {"caption": "transcript"}}, "speech_synthesis")
            asked = [(word, speed) for word in WORDS[: arguments.words] for speed in SPEEDS]
            spoken = [
                client.sdk.audio.speech.create(
                    model=name, input=word, voice="own", response_format="wav", speed=speed
                ).read()
                for word, speed in asked
            ]
            for place in range(0, len(spoken), len(SPEEDS)):
                (arguments.cache / f"{name}-{asked[place][0]}.wav").write_bytes(spoken[place])
            said = [take.word for take in held]
            for kind, sounds, words in (
                ("synthesised words", spoken, [word for word, _ in asked]),
                ("held-out recordings", [take.wav for take in held], said),
                ("the same, brought back", brought_back(held), said),
            ):
                print(f"{name}, {kind}:")
                scores.setdefault(kind, []).append(understood(client, sounds, words))
    print(f"\n{arguments.words} words, {len(heard)} speakers heard, {arguments.voices} voices; understood, %")
    for kind, values in scores.items():
        print(f"{kind:24} {shown(values)}")
    print(f"{'chance':24} {100 / arguments.words:.1f}")


if __name__ == "__main__":
    main()
