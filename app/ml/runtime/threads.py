"""How many of torch's threads a model computes with, from what it multiplies."""

import torch

SMALL_ROW = 10_000_000
"""Multiplications of a row up to which one torch thread serves a model best: several are asked at once."""
SMALL_PRODUCT = 5_000_000
"""Multiplications of a matrix product up to which one torch thread trains a network best. Up to there two gave 0.8 to
1.05 times the steps of one, up to twice of it 0.9 to 1.3 times, and beyond 1.2 to 1.35 times."""
BESIDE_GPU = 4
"""Threads that gather the batches of a GPU. More gather no faster and wait for each other on all cores, which slows the
one that tells the GPU what to do."""
ALL_THREADS = torch.get_num_threads()


def threads_for(work: int, small: int = SMALL_ROW) -> int:
    """Where `work` multiplications are to be shared, of which up to `small` are not worth it."""
    return 1 if work <= small else ALL_THREADS


def threads_beside(device: torch.device) -> int:
    """With how many a job begins whose network is computed on `device`."""
    threads = torch.get_num_threads()
    return threads if device.type == "cpu" else min(threads, BESIDE_GPU)
