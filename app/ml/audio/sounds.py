"""Encoded sounds to samples and back. Never fetches anything; knows no model."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from app import data_uris
from app.errors import Malformed, TooLarge
from app.ml.audio.resampling import Waveform, resample
from app.strangers import stranger

Samples = NDArray[np.int16]
"""[n], mono, at a rate that goes beside it."""

FORMATS = ("WAV", "FLAC", "OGG", "MP3")
MAGIC = (b"fLaC", b"OggS", b"ID3")
STRANGERS = (
    (4, b"ftyp", "M4A or MP4"),
    (0, b"FORM", "AIFF"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "WMA"),
    (0, b"#!AMR", "AMR"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
)
"""Sounds that are not read: where they say what they are, and how."""
FULL_SCALE = 32768
MOST_FRAMES = 2**25
"""Samples of each channel at most, read from the header before anything is unpacked: 35 minutes at 16,000 a second."""
RATES = (1_000, 384_000)
"""Slowest and fastest rate."""
BLOCK_FRAMES = 2**16
LOOKED_AT = 4096
MP3_COUNTS = (b"Xing", b"Info")
"""An MP3 counts its samples only after one of these; without, their number is an estimate."""
MP3_FRAME = 1152
"""Samples that an encoder's padding may hide."""
SILENCE = 32
"""Largest sample that counts as silence: a thousandth of full scale, -60 dB."""
LISTENED = 20
"""Milliseconds that are silent or not as a whole."""
MEDIA = {"mp3": "audio/mpeg", "opus": "audio/ogg", "flac": "audio/flac", "wav": "audio/wav", "pcm": "audio/pcm"}
"""What is written, by the names that OpenAI has for it."""
WRITTEN = {
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "opus": ("OGG", "OPUS"),
    "flac": ("FLAC", "PCM_16"),
    "wav": ("WAV", "PCM_16"),
}
WRITTEN_RATES = {
    "mp3": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "opus": (8_000, 12_000, 16_000, 24_000, 48_000),
    "pcm": (24_000,),
}
"""Of kinds that do not have every rate; that of `pcm` is OpenAI's, whose clients know no other."""
STREAMED = (0, 0xFFFF_FFFF)
"""Sizes in the header of a WAV whose writer could not know better."""


@dataclass(frozen=True)
class Header:
    """What a sound says of itself."""

    frames: int
    """Samples of each channel."""
    rate: int
    """Frames a second."""
    channels: int

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


def is_sound(first: bytes) -> bool:
    """Whether a file that begins so may be a sound."""
    wave = first.startswith(b"RIFF") and first[8:12] == b"WAVE"
    layer_3 = len(first) > 1 and first[0] == 0xFF and first[1] & 0xE6 == 0xE2
    return wave or layer_3 or first.startswith(MAGIC)


def decode_uri(uri: str | bytes, name: str, rate: int) -> Samples:
    """The sound in a `data:audio/…;base64,…` URI, or in its bytes, at `rate`; raises as `decode` does."""
    return decode(data_uris.read(uri, "audio", "audio/wav", name), name, rate)


def decode(content: bytes, name: str, rate: int) -> Samples:
    """A sound file's samples, channels averaged, at `rate` samples a second.

    Raises Malformed for what is no sound, damaged, cut short or empty, and TooLarge beyond MOST_FRAMES.
    """
    with _opened(content, name) as opened:
        header = _header(opened, content, name)
        mono = _read(opened, header)
    least = header.frames
    if opened.format == "MP3":
        least = header.frames - MP3_FRAME if any(mark in content[:LOOKED_AT] for mark in MP3_COUNTS) else 1
    if len(mono) < least:
        raise Malformed(
            f"{name}: is cut short: its header announces {header.frames:,} samples, {len(mono):,} are there", param=name
        )
    if not np.isfinite(mono).all():
        raise Malformed(f"{name}: holds a sample that is no finite number", param=name)
    return quantise(resample(mono, header.rate, rate))


def measure(content: bytes, name: str) -> Header:
    """What `decode` would unpack, by the header alone; raises as `decode` does."""
    with _opened(content, name) as opened:
        return _header(opened, content, name)


def encode(samples: Samples, rate: int) -> bytes:
    """A WAV file of 16 bits."""
    held = io.BytesIO()
    soundfile.write(held, samples, rate, format="WAV", subtype="PCM_16")
    return held.getvalue()


def encode_as(samples: Samples, rate: int, kind: str) -> bytes:
    """A file of one of the kinds in MEDIA, at the next rate that the kind has; `pcm` is samples and nothing else."""
    rates = WRITTEN_RATES.get(kind, (rate,))
    wanted = next((each for each in rates if each >= rate), rates[-1])
    if wanted != rate:
        samples = quantise(resample((samples / FULL_SCALE).astype(np.float32), rate, wanted))
    if kind == "pcm":
        return samples.astype("<i2").tobytes()
    held = io.BytesIO()
    form, subtype = WRITTEN[kind]
    with soundfile.SoundFile(held, "w", wanted, 1, subtype, format=form) as file:
        for first in range(0, len(samples), BLOCK_FRAMES):  # the Opus writer cannot take much at once
            file.write(samples[first : first + BLOCK_FRAMES])
    return held.getvalue()


def encode_uri(samples: Samples, rate: int) -> str:
    """A WAV `data:` URI."""
    return data_uris.write(encode(samples, rate), "audio/wav")


def loud(samples: Samples, rate: int) -> NDArray[np.bool_]:
    """For every LISTENED milliseconds, the last ones in part, whether a sample is beyond SILENCE."""
    step = max(1, rate * LISTENED // 1000)
    firsts = np.arange(0, len(samples), step)
    return (np.maximum.reduceat(samples, firsts) > SILENCE) | (np.minimum.reduceat(samples, firsts) < -SILENCE)


def trimmed(samples: Samples, rate: int) -> Samples:
    """Without the silence around it; nothing is left of silence alone."""
    heard = np.flatnonzero(loud(samples, rate))
    step = max(1, rate * LISTENED // 1000)
    return samples[heard[0] * step : (heard[-1] + 1) * step] if len(heard) else samples[:0]


def quantise(waveform: Waveform) -> Samples:
    """Fractions of full scale to 16 bits; what is louder is cut."""
    scaled = np.clip(np.rint(waveform * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    whole: Samples = scaled.astype(np.int16)
    return whole


@contextlib.contextmanager
def _opened(content: bytes, name: str) -> Iterator[soundfile.SoundFile]:
    """The sound before it is unpacked; what goes wrong with it has a name."""
    if not is_sound(content):
        told = stranger(content, STRANGERS, FORMATS, "sound", "ffmpeg -i FILE FILE.flac")
        raise Malformed(f"{name}: is {told}", param=name)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as opened:
            yield opened
    except soundfile.LibsndfileError as error:
        raise Malformed(f"{name}: is damaged or cut short: {error.error_string}", param=name) from None


def _header(opened: soundfile.SoundFile, content: bytes, name: str) -> Header:
    header = Header(opened.frames, opened.samplerate, opened.channels)
    if opened.format not in (*FORMATS, "WAVEX"):
        raise Malformed(f"{name}: is {opened.format}, not {', '.join(FORMATS)}", param=name)
    said = int.from_bytes(content[4:8], "little")
    if content.startswith(b"RIFF") and said not in STREAMED and said + 8 > len(content):
        raise Malformed(
            f"{name}: is cut short: its header announces {said + 8:,} bytes, {len(content):,} are there", param=name
        )
    if not RATES[0] <= header.rate <= RATES[1]:
        raise Malformed(
            f"{name}: has {header.rate:,} samples a second; {RATES[0]:,} to {RATES[1]:,} are read", param=name
        )
    if header.frames == 0:
        raise Malformed(f"{name}: holds no samples", param=name)
    if header.frames > MOST_FRAMES:
        raise TooLarge(
            f"{name}: is {header.seconds:,.0f} s long, {header.frames:,} samples; at most {MOST_FRAMES:,} are read; "
            "cut it into pieces",
            param=name,
        )
    return header


def _read(opened: soundfile.SoundFile, header: Header) -> Waveform:
    """As many frames as there are, a block at a time."""
    mono = np.empty(header.frames, np.float32)
    done = 0
    while done < header.frames:
        block = opened.read(min(BLOCK_FRAMES, header.frames - done), dtype="float32", always_2d=True)
        if not len(block):
            break
        mono[done : done + len(block)] = block.mean(axis=1)
        done += len(block)
    return mono[:done]
