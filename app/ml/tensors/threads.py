"""With how many threads torch computes. Several wait for each other after every operation: where these are short one is
faster, and many times so beside other programs."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def computing_with(count: int) -> Iterator[None]:
    """The calling thread computes with so many torch threads."""
    before = torch.get_num_threads()  # without this, torch's first use in a thread overwrites what was set before it
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
