"""Tells a picture's or a recording's file by its first bytes, also in base64. Opens nothing."""

import base64
import re
from typing import Literal

from app.ml.audio.sounds import is_sound

Medium = Literal["", "image", "audio"]
STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
WEBP = re.compile(rb"RIFF....WEBP", re.DOTALL)
BMP = re.compile(rb"BM....\0\0\0\0", re.DOTALL)
LOOKED_AT = 32
"""Characters of base64: 24 bytes."""
LONG = 60
"""The smallest picture has more characters than this."""


def medium(first: bytes) -> Medium:
    """What a file that begins so holds; nothing where it is neither picture nor recording."""
    if first.startswith(STARTS) or WEBP.match(first) or BMP.match(first):
        return "image"
    return "audio" if is_sound(first) else ""


def encoded_medium(text: str) -> Medium:
    """What a text holds that is a `data:` URI, or the base64 of a file."""
    if text.startswith("data:image/"):
        return "image"
    if text.startswith("data:audio/"):
        return "audio"
    try:
        return medium(base64.b64decode(text[:LOOKED_AT], validate=True)) if len(text) >= LONG else ""
    except ValueError:
        return ""
