"""What is counted of a step, whose mean decides by how many threads it is computed."""

import threading

import pytest
import torch
from torch import nn

from app.ml.runtime.threads import BESIDE_GPU, threads_beside
from app.ml.tensors.threads import computing_with
from worker.timing.threads import Products, without_denormals


def test_products_and_convolutions_are_counted_with_their_multiplications() -> None:
    dense, cut = nn.Linear(6, 5), nn.Conv1d(2, 3, kernel_size=4)
    with torch.no_grad(), Products() as products:
        dense(torch.ones(7, 6)).relu()
        cut(torch.ones(1, 2, 13))
    assert products.number == 2
    assert products.multiplications == 7 * 6 * 5 + 10 * 3 * 2 * 4
    assert products.mean == products.multiplications // 2


def test_a_recurrent_network_multiplies_little_at_once() -> None:
    with torch.no_grad(), Products() as products:
        nn.GRU(8, 8, batch_first=True)(torch.ones(4, 20, 8))
    assert products.number >= 20
    assert products.mean <= 4 * 20 * 8 * 24 // 10


def test_nothing_multiplied_means_nothing() -> None:
    with Products() as products:
        torch.ones(3) + 1
    assert products.mean == 0


def test_beside_a_gpu_few_threads_gather_its_batches() -> None:
    for available in (1, BESIDE_GPU + 3):
        with computing_with(available):
            assert threads_beside(torch.device("cpu")) == available
            assert threads_beside(torch.device("cuda")) == min(available, BESIDE_GPU)


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor always keeps denormals")
def test_a_training_has_no_denormals_in_any_of_its_threads() -> None:
    found: list[float] = []

    def halved() -> None:
        found.append(float(torch.tensor(1.2e-38) / 2))

    with without_denormals():
        halved()
        started = threading.Thread(target=halved)
        started.start()
        started.join()
    halved()
    assert found[:2] == [0, 0]
    assert found[2] > 0
