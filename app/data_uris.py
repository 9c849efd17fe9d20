"""Takes the bytes out of `data:` URIs. Never fetches anything."""

import base64
import re

from app.errors import Malformed

PATH = re.compile(r"[^,;]{1,500}\.\w{2,4}")
BASE64 = re.compile(r"[A-Za-z0-9+/]{40}")


def read(uri: str | bytes, kind: str, example: str, name: str) -> bytes:
    """The content of a `data:<kind>/…;base64,…` URI; `name` is what errors call it, `example` a fitting MIME type.

    Bytes are the content itself, as a form brings it. Raises Malformed.
    """
    if isinstance(uri, bytes):
        return uri
    if uri[:8].lower().startswith(("http://", "https://")):
        raise Malformed(f"{name}: URLs are never fetched; send the {kind} itself as a data: URI", param=name)
    header, comma, body = uri.partition(",")
    if not comma or not header.startswith(f"data:{kind}/") or not header.endswith(";base64"):
        raise Malformed(f"{name}: {_instead(uri, kind, f'data:{example};base64,')}, got {uri[:40]!r}", param=name)
    try:
        return base64.b64decode(body, validate=True)
    except ValueError as error:  # also for letters beyond ASCII
        raise Malformed(f"{name}: the data: URI is not base64: {error}", param=name) from None


def _instead(text: str, kind: str, head: str) -> str:
    """What is expected where `text` is no data: URI of this kind."""
    if PATH.fullmatch(text):
        return f"nobody here can open a path: expected the {kind}'s content, as {head}… or as the file of a form"
    if BASE64.match(text):
        return f"this looks like base64 alone: expected {head} before it"
    return f"expected {head}…"


def write(content: bytes, mime: str) -> str:
    """A `data:` URI."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
