"""Spoken commands by many voices, synthesised with eSpeak NG from the package `espeakng-loader` (library and voices).

A speaker is an accent, a voice and a pitch of its own; every take of a word has another pace, pitch, loudness, distance
to the edges and noise. The same seed gives the same sounds. They are kept in a folder outside the repository.
"""

import ctypes
import io
import random
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

WORDS = (
    "yes",
    "no",
    "up",
    "down",
    "left",
    "right",
    "on",
    "off",
    "stop",
    "go",
    "forward",
    "backward",
    "follow",
    "learn",
)
ACCENTS = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc")
MEN = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "Andy", "Alex", "Michael", "Storm", "benjamin", "caleb", "david")
MORE_MEN = ("ed", "edward", "grandpa", "ian", "iven", "john", "max", "paul", "pedro", "quincy", "rob", "robert")
OTHERS = ("travis", "victor", "zac")
WOMEN = ("f1", "f2", "f3", "f4", "f5", "Annie", "anika", "belinda", "grandma", "linda", "shelby", "steph")
VOICES = MEN + MORE_MEN + OTHERS + WOMEN
RATE_PARAMETER, PITCH_PARAMETER, RANGE_PARAMETER = 1, 3, 4
SYNCHRONOUS, CHARACTERS, UTF8 = 2, 1, 1
Wave = NDArray[np.float64]


@dataclass(frozen=True)
class Speaker:
    """One voice."""

    name: str
    voice: str
    pitch: int
    pace: int


@dataclass(frozen=True)
class Take:
    """One word, said once."""

    speaker: str
    word: str
    wav: bytes


class Synthesiser:
    """eSpeak NG in this process; it can be started once."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._pieces: list[NDArray[np.int16]] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._hear = kind(self._take)  # must live as long as the library calls it
        self.rate = int(self._library.espeak_Initialize(SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0))
        self._library.espeak_SetSynthCallback(self._hear)

    def say(self, text: str, voice: str, pace: int, pitch: int) -> Wave:
        """Samples from -1 to 1 at `rate`; `pace` in words a minute, `pitch` from 0 to 100."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"eSpeak has no voice {voice!r}")
        for parameter, value in ((RATE_PARAMETER, pace), (PITCH_PARAMETER, pitch), (RANGE_PARAMETER, 50)):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._pieces = []
        content = text.encode() + b"\0"
        self._library.espeak_Synth(content, len(content), 0, CHARACTERS, 0, UTF8, None, None)
        return np.concatenate(self._pieces) / 32768

    def _take(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, _: object) -> int:
        if count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).astype(np.int16))
        return 0


def speakers(count: int, seed: int) -> list[Speaker]:
    drawn = random.Random(seed)
    pairs = drawn.sample([(accent, voice) for accent in ACCENTS for voice in VOICES], count)
    return [
        Speaker(f"speaker-{n:03}", f"{accent}+{voice}", drawn.randint(25, 75), drawn.randint(130, 210))
        for n, (accent, voice) in enumerate(pairs)
    ]


def takes(people: list[Speaker], words: tuple[str, ...], each: int, seed: int) -> Iterator[Take]:
    """Every word by every speaker, `each` times."""
    synthesiser, drawn = Synthesiser(), np.random.default_rng(seed)
    for person in people:
        for word in words:
            for _ in range(each):
                pace, pitch = person.pace + int(drawn.integers(-20, 21)), person.pitch + int(drawn.integers(-8, 9))
                clean = synthesiser.say(word, person.voice, pace, pitch)
                yield Take(person.name, word, recorded(clean, synthesiser.rate, drawn))


def recorded(clean: Wave, rate: int, drawn: np.random.Generator) -> bytes:
    """A WAV as a phone might have made it: silence around the word, another loudness, noise of another colour."""
    before, after = (int(rate * drawn.uniform(0.02, 0.2)) for _ in range(2))
    wave = np.concatenate([np.zeros(before), clean, np.zeros(after)])
    noise = drawn.normal(size=len(wave))
    noise = np.convolve(noise, [1, drawn.uniform(-0.9, 0.9)], mode="same")
    level = np.sqrt(np.mean(clean**2)) * 10 ** (-drawn.uniform(10, 30) / 20)  # 10 to 30 dB under the word
    wave = (wave + noise * level / noise.std()) * 10 ** (drawn.uniform(-12, 0) / 20)
    held = io.BytesIO()
    soundfile.write(held, np.clip(wave, -1, 1), rate, format="WAV", subtype="PCM_16")
    return held.getvalue()


def archive(made: list[Take]) -> bytes:
    """A ZIP of the takes with `metadata.csv`: `file_name`, `label`, `speaker`."""
    held, rows = io.BytesIO(), ["file_name,label,speaker"]
    with zipfile.ZipFile(held, "w", zipfile.ZIP_STORED) as packed:
        for number, take in enumerate(made):
            packed.writestr(f"clips/{number:06}.wav", take.wav)
            rows.append(f"clips/{number:06}.wav,{take.word},{take.speaker}")
        packed.writestr("metadata.csv", "\n".join(rows) + "\n")
    return held.getvalue()


def cached(folder: Path, people: int, words: int, each: int, seed: int) -> list[Take]:
    """The takes of `people` speakers, from the folder if they were made before."""
    path = folder / f"speech-{people}-{words}-{each}-{seed}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = list(takes(speakers(people, seed), WORDS[:words], each, seed))
        lengths = [len(take.wav) for take in made]
        names = np.array([(take.speaker, take.word) for take in made])
        content = np.frombuffer(b"".join(take.wav for take in made), np.uint8)
        np.savez(path, names=names, lengths=lengths, content=content)
    with np.load(path) as held:
        ends, content = np.cumsum(held["lengths"]), held["content"]
        return [
            Take(str(speaker), str(word), content[end - length : end].tobytes())
            for (speaker, word), length, end in zip(held["names"], held["lengths"], ends, strict=True)
        ]
