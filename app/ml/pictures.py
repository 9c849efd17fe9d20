"""Encoded pictures to pixels and back. Never fetches anything; knows no model."""

import contextlib
import io
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps
from torch.nn.functional import interpolate

from app.errors import Malformed, TooLarge
from app.ml import data_uris

Pixels = NDArray[np.uint8]
"""[H, W, C], C being 1 or 3; 0 is dark, 255 bright."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MOST_PIXELS = 2**24
"""Pixels of one picture at most, read from its header before anything is unpacked."""
ORIENTATION = 0x0112
QUARTER_TURNS = (5, 6, 7, 8)
"""Values of EXIF's orientation by which height and width change places."""
PNG_EXIF = (b"eXIf", b"Raw profile type exif")
"""Only with one of these a PNG is unpacked in search of its EXIF."""
LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Brightness of red, green and blue (ITU-R BT.601)."""


def decode_uri(uri: str | bytes, name: str) -> Pixels:
    """The picture in a `data:image/…;base64,…` URI, or in its bytes; `name` is what errors call it.

    Raises Malformed, or TooLarge beyond MOST_PIXELS.
    """
    return decode(data_uris.read(uri, "image", "image/png", name), name)


def decode(content: bytes, name: str) -> Pixels:
    """The first frame of a picture file, upright, transparent places black; gray ones have one channel.

    Raises Malformed, or TooLarge beyond MOST_PIXELS.
    """
    with _opened(content, name) as opened:
        return _pixels(ImageOps.exif_transpose(opened))


def measure(content: bytes, name: str) -> tuple[int, int, int]:
    """Height, width and channels that `decode` gives, by the header alone; raises as `decode` does."""
    return look(content, name)[:3]


def look(content: bytes, name: str) -> tuple[int, int, int, int]:
    """What `measure` gives, and how `decode` turns and mirrors the picture: EXIF's orientation, 1 to 8."""
    with _opened(content, name) as opened:
        turn = _turn(opened, content)
        height, width = (opened.width, opened.height) if turn in QUARTER_TURNS else (opened.height, opened.width)
        return height, width, 1 if _is_gray(opened) else 3, turn


def encode_uri(pixels: Pixels) -> str:
    """A PNG `data:` URI."""
    held = io.BytesIO()
    Pillow.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(held, "PNG")
    return data_uris.write(held.getvalue(), "image/png")


def recolour(pixels: Pixels, channels: int) -> Pixels:
    """[…, H, W, C] with 1 or 3 channels to `channels`: gray by brightness, or gray three times."""
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    gray: Pixels = np.rint(pixels.astype(np.float32) @ LUMINANCE).astype(np.uint8)[..., None]
    return gray


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """[B, H, W, C] to another size, smoothed where it shrinks; the proportions are not kept."""
    if pixels.shape[1:3] == (height, width):
        return pixels
    values = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32))
    smooth = interpolate(values, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    return smooth.round().clamp(0, 255).byte().numpy().transpose(0, 2, 3, 1)


@contextlib.contextmanager
def _opened(content: bytes, name: str) -> Iterator[Pillow.Image]:
    """The picture before it is unpacked; what goes wrong with it has a name."""
    try:
        with Pillow.open(io.BytesIO(content), formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise TooLarge(
                    f"{name}: is {opened.width} by {opened.height} pixels; at most {MOST_PIXELS} in all are read",
                    param=name,
                )
            yield opened
    except (Pillow.DecompressionBombWarning, Pillow.DecompressionBombError):
        raise TooLarge(f"{name}: has more than {MOST_PIXELS} pixels", param=name) from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        shown = f"{error}".partition("<")[0].strip()
        raise Malformed(f"{name}: is no {', '.join(FORMATS)} picture: {shown}", param=name) from None


def _turn(opened: Pillow.Image, content: bytes) -> int:
    if opened.format == "PNG" and not any(mark in content for mark in PNG_EXIF):
        return 1
    found = opened.getexif().get(ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def _is_gray(picture: Pillow.Image) -> bool:
    return picture.mode.startswith("I;16") or picture.mode in ("1", "L")


def _pixels(picture: Pillow.Image) -> Pixels:
    if picture.mode.startswith("I;16"):  # Pillow would cut 16 bits instead of scaling them
        return (np.asarray(picture, dtype=np.uint32) // 257).astype(np.uint8)[:, :, None]
    if _is_gray(picture):
        return np.asarray(picture.convert("L"))[:, :, None]
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        black = Pillow.new("RGBA", clear.size, (0, 0, 0, 255))
        return np.asarray(Pillow.alpha_composite(black, clear).convert("RGB"))
    return np.asarray(picture.convert("RGB"))
