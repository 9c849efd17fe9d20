"""Work that would hold up the event loop is done beside it."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def aside(large: bool, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `function` in a thread when it is large; at once otherwise, since a thread's hop costs more than it."""
    return await asyncio.to_thread(function, *args, **kwargs) if large else function(*args, **kwargs)
