"""The two sides of a model of pairs: which of them reads the items of a request. Knows no network."""

from collections.abc import Mapping
from typing import Any

from app.errors import DoesNotFit
from app.ml.modalities.base import Fitted

URIS = {"data:image/": "image", "data:audio/": "audio"}


def side_of(items: Any, sides: Mapping[str, Fitted], asked: str | None) -> str:
    """The asked side, or that whose modality the first item is of; the first side where both are, or neither is.

    Raises DoesNotFit for a side that the model does not have, and for files among texts.
    """
    if asked is not None:
        if asked not in sides:
            raise DoesNotFit(f"side: this model has no side {asked!r}; leave side out", param="side")
        return asked
    first = items[0] if isinstance(items, list) and items else items
    text = isinstance(first, str) and not first.startswith(tuple(URIS))
    kind = next((modality for start, modality in URIS.items() if not text and str(first)[:11].startswith(start)), None)
    names = {side: fitted.settings.name for side, fitted in sides.items()}
    if text and isinstance(items, list) and set(names.values()) != {"text"}:
        files = (place for place, item in enumerate(items) if isinstance(item, str) and item.startswith(tuple(URIS)))
        if (place := next(files, None)) is not None:
            raise DoesNotFit(
                f"input[{place}]: is a file among texts; ask for each side in a request of its own",
                param=f"input[{place}]",
            )
    fitting = [side for side, name in names.items() if (name == "text") == text and kind in (None, name)]
    return fitting[0] if fitting else next(iter(sides))


def compared_sides(items: Any, sides: Mapping[str, Fitted]) -> tuple[str, str]:
    """The side of the items, and the other one, which reads the labels that they are compared with.

    Raises DoesNotFit where that one reads no texts.
    """
    side = side_of(items, sides, None)
    other = next(name for name in sides if name != side)
    if sides[other].shape.layout != "tokens":
        raise DoesNotFit(
            f"candidate_labels: would be of the side {other!r}, which reads {sides[other].settings.name}; "
            "give items of the side that reads that",
            param="candidate_labels",
        )
    return side, other
