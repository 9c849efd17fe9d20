"""Builds pictures and archives for the tests of their readers."""

import io
import tarfile
import zipfile
from collections.abc import Mapping

import numpy as np
from PIL import Image as Pillow


def picture(value: int = 0, *, size: tuple[int, int] = (4, 6), mode: str = "L", format: str = "PNG") -> bytes:
    """`size` is height and width; every pixel has `value`."""
    held = io.BytesIO()
    Pillow.fromarray(np.full(size, value, np.uint8)).convert(mode).save(held, format)
    return held.getvalue()


def to_zip(members: Mapping[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in members.items():
            archive.writestr(path, content)
    return held.getvalue()


def to_tar(members: Mapping[str, bytes], kind: int = tarfile.PAX_FORMAT) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=kind) as archive:
        for path, content in members.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return held.getvalue()
