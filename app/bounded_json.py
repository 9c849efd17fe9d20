"""JSON from clients, no deeper than what is asked here can need: close behind that ends Python's own recursion, in
whoever looks at the value, writes it down or names it in an error. Knows no route.
"""

import json
from typing import Any

import orjson

DEEPEST = 100
"""Arrays and objects within each other."""
NEAR = 20
"""Characters shown before and behind a mistake."""
TOO_DEEP = f"arrays and objects are nested more than {DEEPEST} deep"
_AS_ARRAYS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))


def loads(text: bytes | str) -> Any:
    """The value. Raises orjson.JSONDecodeError, also where it is nested deeper than DEEPEST."""
    value = orjson.loads(text)
    if is_deep(text, value):
        raise orjson.JSONDecodeError(TOO_DEEP, str(text[:100]), 0)
    return value


def place(error: json.JSONDecodeError) -> str:
    """Where the mistake is: `at character 6, near '{"a": }'`."""
    return f"at character {error.pos}, near {error.doc[max(0, error.pos - NEAR) : error.pos + NEAR]!r}"


def is_deep(text: bytes | str, value: Any) -> bool:
    """Whether `value`, which was read from `text`, is nested deeper than DEEPEST."""
    if isinstance(text, str):
        return text.count("[") + text.count("{") > DEEPEST and is_deep(text.encode(errors="replace"), value)
    return text.count(b"[") + text.count(b"{") > DEEPEST and not _peels(text) and _is_deep(value)


def _peels(raw: bytes) -> bool:
    """True when the innermost brackets can be taken away DEEPEST times and none are left. False may be due to strings
    that hold brackets."""
    left = raw.translate(_AS_ARRAYS, _NO_BRACKETS)
    for _ in range(DEEPEST):
        left = left.replace(b"[]", b"")
    return not left


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        inner = [each for each in level if isinstance(each, list | dict)]
        level = [below for each in inner for below in (each.values() if isinstance(each, dict) else each)]
        if not level:
            return False
    return any(isinstance(each, list | dict) for each in level)
