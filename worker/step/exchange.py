"""What the devices of a training tell each other at a step, all in one message. Knows no network."""

from collections.abc import Mapping

import torch
from torch import Tensor

from worker.step.devices import Devices
from worker.step.optimizer import Weights


def exchange(
    devices: Devices, weights: Weights, sums: Mapping[str, Tensor], count: int, *, leaving: bool
) -> tuple[dict[str, Tensor], int, bool]:
    """Adds up, over all devices, the gradients in place, the sums of the loss and its parts, and their count.

    Returns these sums and counts, and True where one of the devices was asked to leave.
    """
    own = [torch.tensor(float(count)), torch.tensor(float(leaving)), *sums.values()]
    message = weights.message[: len(own)]
    message.copy_(torch.stack([number.to(message).reshape(()) for number in own]))
    devices.add(weights.together)
    return dict(zip(sums, message[2:].clone(), strict=True)), int(message[0]), bool(message[1] > 0)
