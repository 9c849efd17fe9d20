"""Encoded pictures to pixels and back. Never fetches anything; knows no model and no torch."""

import contextlib
import io
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL.Image import Resampling, Transpose

from app import data_uris
from app.errors import Malformed, TooLarge
from app.strangers import stranger

Pixels = NDArray[np.uint8]
"""[H, W, C], C being 1 or 3; 0 is dark, 255 bright."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
STRANGERS = (
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypheix", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypavif", "AVIF"),
    (4, b"jP  \r\n\x87\n", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML, perhaps SVG"),
)
"""Where in a file which mark stands, of pictures that are not read."""
MOST_PIXELS = 2**24
"""Pixels of one picture at most, read from its header before anything is unpacked."""
ORIENTATION = 0x0112
QUARTER_TURNS = (5, 6, 7, 8)
"""Values of EXIF's orientation by which height and width change places."""
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""What the values of EXIF's orientation ask for."""
PNG_EXIF = (b"eXIf", b"Raw profile type exif")
"""Only with one of these a PNG is unpacked in search of its EXIF."""
LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Brightness of red, green and blue (ITU-R BT.601)."""


def decode_uri(uri: str | bytes, name: str, size: tuple[int, int] | None = None) -> Pixels:
    """The picture in a `data:image/…;base64,…` URI, or in its bytes; `name` is what errors call it.

    Raises Malformed, or TooLarge beyond MOST_PIXELS.
    """
    return decode(data_uris.read(uri, "image", "image/png", name), name, size)


def measure_uri(uri: str | bytes, name: str) -> tuple[int, int, int]:
    """What `measure` says of the picture that `decode_uri` gives."""
    return measure(data_uris.read(uri, "image", "image/png", name), name)


def decode(content: bytes, name: str, size: tuple[int, int] | None = None) -> Pixels:
    """The first frame of a picture file, upright, transparent places black; gray ones have one channel.

    With a `size`, height and width, it is scaled to that as `resize` does; a JPEG is then unpacked at a half, a quarter
    or an eighth where that is still large enough. Raises Malformed, or TooLarge beyond MOST_PIXELS.
    """
    with _opened(content, name) as opened:
        turn, box = _turn(opened, content), None
        if size is not None:
            size = size if turn in QUARTER_TURNS else (size[1], size[0])  # width and height, as they are stored
            drafted = opened.draft(None, size)  # None keeps the mode
            box = drafted[1] if drafted is not None else None  # half of 427 rows are 214, but the picture ends at 213.5
        picture = _plain(opened)
        if size is not None:
            picture = picture.resize(size, Resampling.BILINEAR, box)
        if turn in UPRIGHT:
            picture = picture.transpose(UPRIGHT[turn])
        pixels: Pixels = np.asarray(picture)
        return pixels if pixels.ndim == 3 else pixels[:, :, None]


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
    scaled = np.empty((len(pixels), height, width, pixels.shape[3]), np.uint8)
    for source, target in zip(pixels, scaled, strict=True):
        picture = Pillow.fromarray(source[:, :, 0] if source.shape[2] == 1 else source)
        target[:] = np.asarray(picture.resize((width, height), Resampling.BILINEAR)).reshape(target.shape)
    return scaled


@contextlib.contextmanager
def _opened(content: bytes, name: str) -> Iterator[Pillow.Image]:
    """The picture before it is unpacked; what goes wrong with it has a name."""
    kind = ""
    try:
        with Pillow.open(io.BytesIO(content), formats=FORMATS) as opened:
            kind = f"a {opened.format} that cannot be read"
            if opened.width * opened.height > MOST_PIXELS:
                raise TooLarge(
                    f"{name}: is {opened.width} by {opened.height} pixels; at most {MOST_PIXELS} in all are read",
                    param=name,
                )
            if opened.mode in ("I", "F"):
                raise ValueError("its values have 32 bits, and nothing says which is white; save it with 8 or 16 bits")
            yield opened
    except (Pillow.DecompressionBombWarning, Pillow.DecompressionBombError) as error:
        found = re.findall(r"\d+", f"{error}")[0]
        raise TooLarge(f"{name}: has {found} pixels; at most {MOST_PIXELS} in all are read", param=name) from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        if kind:
            shown = f"{kind}: {error}".partition("<")[0].strip()
        else:
            shown = stranger(content, STRANGERS, FORMATS, "picture", "magick FILE FILE.png")
        raise Malformed(f"{name}: is {shown}", param=name) from None


def _turn(opened: Pillow.Image, content: bytes) -> int:
    if opened.format == "TIFF":
        return 1  # Pillow turns these itself
    if opened.format == "PNG" and not any(mark in content for mark in PNG_EXIF):
        return 1
    found = opened.getexif().get(ORIENTATION, 1)
    return found if found in range(1, 9) else 1


def _is_gray(picture: Pillow.Image) -> bool:
    return picture.mode.startswith("I;16") or picture.mode in ("1", "L")


def _plain(picture: Pillow.Image) -> Pillow.Image:
    """In the mode L or RGB."""
    if picture.mode.startswith("I;16"):  # Pillow would cut 16 bits instead of scaling them
        return Pillow.fromarray((np.asarray(picture, dtype=np.uint32) // 257).astype(np.uint8))
    if _is_gray(picture):
        return picture.convert("L")
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        black = Pillow.new("RGBA", clear.size, (0, 0, 0, 255))
        return Pillow.alpha_composite(black, clear).convert("RGB")
    return picture.convert("RGB")
