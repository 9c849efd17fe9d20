"""The devices that share one training: each does its part of every batch, and sums make them one. Knows no network.

One process per device. With one device everything here does nothing.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as collective
from torch import Tensor


def compute_repeatably(device: torch.device) -> None:
    """Has a GPU give the same bits for the same step, as a processor does: else a resumed training ends elsewhere.

    Some kernels add up in any order otherwise, those of convolutions above all; of those of attention's gradients there
    is no choice, so that a transformer may differ in the last bits. To be called before the GPU is used.
    """
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Devices:
    """This process among those of its job; the first one speaks for all."""

    rank: int = 0
    count: int = 1

    @classmethod
    def joined(cls, kind: str) -> "Devices":
        """Those that `torchrun` started along with this process; alone when it did not start it.

        `kind` is what they are: `cuda` or `cpu`.
        """
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            return cls()
        if not collective.is_initialized():
            collective.init_process_group("nccl" if kind == "cuda" else "gloo")
        return cls(collective.get_rank(), collective.get_world_size())

    @property
    def first(self) -> bool:
        return self.rank == 0

    def add(self, tensor: Tensor) -> None:
        """Replaces the tensor by its sum over all devices."""
        if self.count > 1:
            collective.all_reduce(tensor)

    def agree(self, *numbers: float) -> list[float]:
        """The first device's numbers, everywhere."""
        if self.count == 1:
            return list(numbers)
        told = torch.tensor(numbers, dtype=torch.float64)
        if collective.get_backend() == "nccl":
            told = told.cuda()
        collective.broadcast(told, 0)
        return [float(number) for number in told.cpu()]

    def gather(self, rows: Tensor, counts: Sequence[int]) -> Tensor:
        """The rows of all devices, one after the other; `counts` says how many each has."""
        if self.count == 1:
            return rows
        padded = rows.new_zeros((max(counts), *rows.shape[1:]))
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        collective.all_gather(parts, padded)
        return torch.cat([part[:rows_of_one] for part, rows_of_one in zip(parts, counts, strict=True)])
