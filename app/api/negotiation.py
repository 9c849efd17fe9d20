"""Which form of an answer a client wants, by its header `Accept` (RFC 9110, section 12.5.1). Knows no route."""

import re
from collections.abc import Sequence
from functools import lru_cache

JSON = "application/json"
QUALITY = re.compile(r"[01](\.\d{0,3})?", re.ASCII)


def chosen(accept: str, others: Sequence[str]) -> str | None:
    """That one of the types beside JSON which the client names and wants most; None where JSON is to be sent.

    Of types that are wanted alike the first of `others` is sent, and JSON the last: it stands in many a header beside
    what is really wanted, for errors. Who wants neither gets JSON, too.
    """
    return _chosen(accept, tuple(others)) if accept else None


@lru_cache(maxsize=256)
def _chosen(accept: str, others: Sequence[str]) -> str | None:
    wanted = dict(map(_range, accept.lower().split(",")))
    json = next((wanted[name] for name in (JSON, "application/*", "*/*") if name in wanted), 0.0)
    best = max(others, key=lambda kind: wanted.get(kind, 0.0))
    return best if wanted.get(best, 0.0) >= max(json, 0.001) else None


def _range(written: str) -> tuple[str, float]:
    """A range of types, and how much it is wanted, from 0 for not at all to 1."""
    kind, *parameters = (each.strip() for each in written.split(";"))
    given = (value.strip() for name, _, value in (each.partition("=") for each in parameters) if name.strip() == "q")
    quality = next(given, "1")
    return kind, min(float(quality), 1.0) if QUALITY.fullmatch(quality) else 1.0
