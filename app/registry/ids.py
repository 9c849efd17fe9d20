"""Draws ids: a prefix and a ULID, lower case, which sorts by its millisecond of creation. Knows no table."""

import os
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32


def new_id(prefix: str) -> str:
    """`prefix` (with its separator, as in `job-` or `part_`) and 26 characters: 48 bits of time, 80 random bits."""
    number = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10))
    return prefix + "".join(ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def is_id(text: str, prefix: str) -> bool:
    """True for what `new_id(prefix)` could have drawn."""
    drawn = text.removeprefix(prefix)
    return text.startswith(prefix) and len(drawn) == 26 and set(drawn) <= set(ALPHABET)
