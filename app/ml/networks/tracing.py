"""Graphs are traces of what is computed. Where that is plainer in another way than it is fast, it goes another way."""

import torch


def tracing() -> bool:
    """True while a graph is made."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]
