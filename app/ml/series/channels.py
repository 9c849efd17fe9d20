"""Whether rows of numbers can be series: steps one after the other, each with its channels side by side."""

from typing import Any

from app.errors import DoesNotFit
from app.ml.tensors.shapes import Shape


def check(channels: int | None, count: int, param: str) -> None:
    """Raises DoesNotFit, naming `param`, where rows of `count` numbers are no whole steps."""
    if channels is not None and count % channels:
        raise DoesNotFit(
            f"{param}: rows of {count} numbers are no series of {channels} channels; give a divisor of {count}",
            param=param,
        )


def check_encoder(channels: int | None, shape: Shape) -> None:
    """Raises DoesNotFit where an encoder of so many `channels` cannot read items of that shape."""
    if shape.layout == "vector":
        check(channels, shape.count, "encoder.channels")
    elif channels is not None:
        raise DoesNotFit(
            "encoder.channels: is for rows of numbers; pictures and sounds have their own", param="encoder.channels"
        )


def default(shape: Shape) -> tuple[dict[str, Any], str]:
    """`channels` of an encoder that reads rows of `shape`, and why, where they are known."""
    return ({"channels": shape.channels}, "the dataset's series have as many") if shape.channels else ({}, "")
