"""Tells a picture's file by its first bytes, also in base64. Opens nothing."""

import base64
import re

STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")
WEBP = re.compile(rb"RIFF....WEBP", re.DOTALL)
BMP = re.compile(rb"BM....\0\0\0\0", re.DOTALL)
URI = "data:image/"
LOOKED_AT = 32
"""Characters of base64: 24 bytes."""
LONG = 60
"""The smallest picture has more characters than this."""


def is_picture(first: bytes) -> bool:
    return first.startswith(STARTS) or bool(WEBP.match(first) or BMP.match(first))


def is_encoded_picture(text: str) -> bool:
    """Whether a text is a `data:` URI of a picture, or the base64 of one."""
    if text.startswith(URI):
        return True
    try:
        return len(text) >= LONG and is_picture(base64.b64decode(text[:LOOKED_AT], validate=True))
    except ValueError:
        return False
