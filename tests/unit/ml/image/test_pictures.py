import base64
import contextlib
import io

import numpy as np
import pytest
from PIL import Image as Pillow

from app.errors import Malformed, TooLarge
from app.ml.image import pictures
from app.ml.image.pictures import decode, decode_uri, encode_uri, recolour, resize

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def file(picture: Pillow.Image, format: str = "PNG", **options: object) -> bytes:
    held = io.BytesIO()
    picture.save(held, format, **options)
    return held.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_uri_leads_back_to_the_pixels(channels: int) -> None:
    pixels = np.ascontiguousarray(PIXELS[:, :, :channels])
    assert np.array_equal(decode_uri(encode_uri(pixels), "input"), pixels)


@pytest.mark.parametrize(("format", "options"), [("WEBP", {"lossless": True}), ("BMP", {}), ("JPEG", {"quality": 95})])
def test_reads_the_other_formats(format: str, options: dict[str, object]) -> None:
    smooth = np.full((16, 16, 3), 120, dtype=np.uint8)
    read = decode(file(Pillow.fromarray(smooth), format, **options), "input")
    assert np.abs(read.astype(int) - 120).max() <= 2


def test_reads_the_first_frame_of_an_animation() -> None:
    frames = [Pillow.new("L", (4, 4), level) for level in (10, 200)]
    read = decode(file(frames[0], "GIF", save_all=True, append_images=frames[1:]), "input")
    assert (recolour(read, 1) == 10).all()


def test_sixteen_bits_are_scaled_not_cut() -> None:
    deep = Pillow.fromarray(np.array([[0, 257 * 100], [65535, 257]], dtype=np.uint16))
    assert decode(file(deep), "input")[:, :, 0].tolist() == [[0, 100], [255, 1]]


def test_transparent_places_are_black() -> None:
    clear = np.full((2, 2, 4), 255, dtype=np.uint8)
    clear[0, 0, 3] = 0
    read = decode(file(Pillow.fromarray(clear)), "input")
    assert read[0, 0].tolist() == [0, 0, 0]
    assert read[1, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_is_scaled_while_it_is_unpacked(turn: int) -> None:
    shades = np.linspace(0, 200, 8 * 6 * 3).reshape(6, 8, 3).astype(np.uint8)
    exif = Pillow.Exif()
    exif[0x0112] = turn
    large = Pillow.fromarray(shades).resize((333, 251), Pillow.Resampling.BICUBIC)
    content = file(large, "JPEG", quality=95, exif=exif)
    scaled = decode(content, "input", (31, 43))
    expected = resize(decode(content, "input")[None], 31, 43)[0]
    assert np.abs(scaled.astype(int) - expected).max() <= 3
    flat = file(Pillow.fromarray(PIXELS), "PNG")
    assert np.array_equal(decode(flat, "input", (3, 4)), resize(PIXELS[None], 3, 4)[0])


def test_a_camera_held_upright_gives_an_upright_picture() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    assert decode(file(Pillow.new("RGB", (8, 4)), "JPEG", exif=exif), "input").shape == (8, 4, 3)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://example.org/a.png", "never fetched"),
        ("HTTPS://example.org/a.png", "never fetched"),
        ("file:///etc/passwd", "expected data:image"),
        ("C:\\\\photos\\\\one cat.jpeg", "nobody here can open a path: expected the image's content, as data:image"),
        ("iVBORw0KGgo" + "A" * 100 + "==", "this looks like base64 alone: expected data:image/png;base64, before it"),
        ("data:image/png;base64,AAAAA", "is not base64: "),
        ("data:text/plain;base64,AAAA", "expected data:image"),
        ("data:image/png,AAAA", "expected data:image"),
        ("data:image/png;base64,%%%", "is not base64"),
        ("data:image/png;base64,ä", "is not base64"),
        ("data:image/png;base64,", "is empty"),
        (
            "data:image/png;base64," + base64.b64encode(b"not a picture").decode(),
            "is no PNG, JPEG, WEBP, GIF, BMP, TIFF picture: it begins with b'not a pi'",
        ),
        (
            "data:image/heic;base64," + base64.b64encode(b"\0\0\0\x18ftypheic" + bytes(40)).decode(),
            "is HEIC, which is not read; convert it to PNG",
        ),
        ("data:image/svg;base64," + base64.b64encode(b"<svg></svg>").decode(), "is SVG, which is not read"),
        ("data:image/x;base64," + base64.b64encode(file(Pillow.fromarray(PIXELS), "PPM")).decode(), "is no PNG"),
        (
            "data:image/tiff;base64," + base64.b64encode(file(Pillow.new("F", (4, 4)), "TIFF")).decode(),
            "values have 32 bits",
        ),
        ("data:image/png;base64," + base64.b64encode(file(Pillow.fromarray(PIXELS))[:60]).decode(), "is a PNG that"),
    ],
)
def test_what_is_no_picture_is_malformed(uri: str, message: str) -> None:
    with pytest.raises(Malformed, match=message) as caught:
        decode_uri(uri, "input[3]")
    assert caught.value.param == "input[3]"
    assert caught.value.message.startswith("input[3]: ")


def test_too_many_pixels_are_refused_from_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_PIXELS", 34)
    with pytest.raises(TooLarge, match="is 7 by 5 pixels; at most 34"):
        decode(file(Pillow.fromarray(PIXELS)), "input")


@pytest.mark.parametrize("side", [12_000, 20_000])
def test_a_decompression_bomb_is_refused(side: int) -> None:
    with pytest.raises(TooLarge, match="pixels"):
        decode(file(Pillow.new("1", (side, side))), "input")


@pytest.mark.parametrize("cut", range(10, 120, 10))
def test_a_damaged_file_gives_pixels_or_a_named_error(cut: int) -> None:
    content = bytearray(file(Pillow.fromarray(PIXELS)))
    content[cut] ^= 0xFF
    with contextlib.suppress(Malformed, TooLarge):
        assert decode(bytes(content), "input").dtype == np.uint8


def test_resizing_keeps_a_flat_picture_flat() -> None:
    flat = np.full((2, 9, 5, 3), 77, dtype=np.uint8)
    assert (resize(flat, 4, 11) == 77).all()
    assert resize(flat, 9, 5) is flat
