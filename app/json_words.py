"""A client's values in the words of JSON, for messages: `null` and `true`, not what Python calls them."""

import json
from typing import Any

import numpy as np

MOST = 100
KINDS = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
    bytes: "a file",
}


def told(value: Any, most: int = MOST) -> str:
    """The value as it was given, cut where it would fill the screen. Texts stand in single quotes."""
    if isinstance(value, bytes):
        return told_kind(value)
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)
    return text if len(text) <= most else text[:most] + "…"


def _plain(value: Any) -> Any:
    """What JSON has no word for: NumPy's numbers are numbers."""
    return value.item() if isinstance(value, np.generic) else repr(value)


def told_kind(value: Any) -> str:
    """What a value is, where to show it would say little."""
    return "null" if value is None else KINDS.get(type(value), type(value).__name__)
