import base64
import io

import numpy as np
import pytest
import soundfile

from app.errors import Malformed, RootstockError, TooLarge
from app.ml.audio import sounds
from app.ml.audio.sounds import Header, decode, decode_uri, encode_as, encode_uri, loud, measure, trimmed
from tests.sounds import sound, tone

TONE = tone(440, 0.5)
FORMATS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAVEX", "PCM_16"),
    ("FLAC", None),
    ("OGG", None),
]


@pytest.mark.parametrize(("format", "subtype"), [*FORMATS, ("OGG", "OPUS"), ("MP3", None)])
def test_reads_every_format(format: str, subtype: str | None) -> None:
    content = sound(TONE, 16_000, format, subtype)
    header = measure(content, "x")
    assert (header.rate, header.channels) == (16_000, 1)
    assert header.seconds == pytest.approx(0.5, abs=0.1)  # MP3 counts its encoder's silence
    read = decode(content, "x", 16_000)[: len(TONE)]
    strongest = np.abs(np.fft.rfft(read)).argmax() * 16_000 / len(read)
    assert strongest == pytest.approx(440, abs=3)
    if format not in ("OGG", "MP3"):
        assert np.array_equal(read, TONE)


def test_channels_are_averaged_and_the_rate_is_changed() -> None:
    stereo = np.stack([tone(440, 0.5, 44_100), np.zeros(22_050, np.int16)], axis=1)
    content = sound(stereo, 44_100)
    assert measure(content, "x") == Header(22_050, 44_100, 2)
    read = decode(content, "x", 16_000)
    assert len(read) == 8000
    assert np.abs(read[800:-800].astype(int) - tone(440, 0.5, loudness=0.25)[800:-800]).max() < 20


def test_a_uri_leads_back_to_the_samples() -> None:
    assert np.array_equal(decode_uri(encode_uri(TONE, 16_000), "input", 16_000), TONE)


def test_what_is_too_loud_for_sixteen_bits_is_cut() -> None:
    loud = sound(np.array([2.0, -2.0, 0.5]), 16_000, "WAV", "FLOAT")
    assert decode(loud, "x", 16_000).tolist() == [32767, -32768, 16384]


@pytest.mark.parametrize(("format", "subtype"), [*FORMATS, ("MP3", None)])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_sound_cut_short_is_named(format: str, subtype: str | None, share: float) -> None:
    content = sound(tone(440, 2.0), 16_000, format, subtype)
    with pytest.raises(Malformed, match=r"cut short|holds no samples") as caught:
        decode(content[: int(share * len(content))], "input[3]", 16_000)
    assert caught.value.param == "input[3]"
    assert caught.value.message.startswith("input[3]: ")


def test_an_mp3_without_a_count_is_read_to_its_end() -> None:
    varied = np.concatenate([np.zeros(16_000, np.int16), tone(440, 2.0), tone(3000, 1.0)])
    held = io.BytesIO()
    soundfile.write(held, varied / 32768, 16_000, format="MP3", bitrate_mode="VARIABLE")
    content = held.getvalue()
    assert content.count(b"Xing") == 1
    second = content.index(content[:2], 4)
    assert len(decode(content, "x", 16_000)) == len(varied)
    assert len(decode(content[second:], "x", 16_000)) == pytest.approx(len(varied), abs=3000)


def test_a_stream_that_could_not_know_its_size_is_read() -> None:
    content = bytearray(sound(TONE))
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    assert np.array_equal(decode(bytes(content), "x", 16_000), TONE)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", Malformed, "is empty: it has 0 bytes"),
        (b"\0\0\0\x20ftypM4A \0\0", Malformed, "is M4A or MP4, which is not read; convert it to WAV, FLAC"),
        (b"just text, called song.mp3", Malformed, r"begins with b'just tex'"),
        (b"RIFF\x04\x00\x00\x00WEBP", Malformed, "is no WAV"),
        (b"RIFF\x04\x00\x00\x00WAVE", Malformed, "damaged"),
        (b"\xff\xfb" + b"\x00" * 100, Malformed, "damaged"),
        (sound(np.zeros(0, np.int16)), Malformed, "holds no samples"),
        (sound(TONE, 500), Malformed, "500 samples a second; 1,000 to 384,000"),
        (sound(np.array([0, np.nan]), 16_000, "WAV", "FLOAT"), Malformed, "no finite number"),
        (sound(TONE, 16_000, "AIFF"), Malformed, "is AIFF, which is not read"),
    ],
)
def test_what_is_no_sound_is_named(content: bytes, error: type[RootstockError], message: str) -> None:
    with pytest.raises(error, match=message):
        decode(content, "x", 16_000)


def test_too_long_a_sound_is_refused_from_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sounds, "MOST_FRAMES", 1000)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("unpacked"))
    with pytest.raises(TooLarge, match="8,000 samples; at most 1,000"):
        decode(sound(np.zeros(8000, np.int16), 16_000, "FLAC"), "x", 16_000)


def test_silence_around_a_sound_is_cut_off() -> None:
    hum = np.full(1000, 30, np.int16)
    noisy = np.concatenate([hum, TONE, hum, hum])
    assert loud(noisy, 16_000).sum() == 26  # of 20 ms each, the first and the last in part
    assert np.array_equal(trimmed(noisy, 16_000), noisy[960 : 960 + 26 * 320])
    assert len(trimmed(hum, 16_000)) == 0
    assert len(loud(hum[:1], 16_000)) == 1


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("https://example.org/a.wav", "never fetched; send the audio itself"),
        ("data:image/png;base64,AAAA", "expected data:audio/wav"),
        ("data:audio/wav;base64,%%%", "is not base64"),
        ("data:audio/wav;base64," + base64.b64encode(b"no sound").decode(), "is no WAV"),
    ],
)
def test_what_is_no_uri_of_a_sound_is_malformed(uri: str, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        decode_uri(uri, "input", 16_000)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "opus"])
@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 96_000])
def test_every_kind_is_written_at_a_rate_that_it_has(kind: str, rate: int) -> None:
    samples = tone(440, 0.5, rate)
    back = decode(encode_as(samples, rate, kind), kind, rate)
    assert len(back) == pytest.approx(len(samples), rel=0.15)
    middle = back[len(back) // 4 : len(back) // 2].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * rate / len(middle) == pytest.approx(440, rel=0.03)


def test_pcm_is_what_openai_calls_so() -> None:
    assert len(encode_as(tone(440, 0.5, 16_000), 16_000, "pcm")) == 2 * 12_000
    exact = tone(440, 0.1, 24_000)
    assert encode_as(exact, 24_000, "pcm") == exact.astype("<i2").tobytes()
