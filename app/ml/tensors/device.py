"""Where networks compute: on a GPU when there is one, unless the settings say otherwise."""

import torch
from torch import Tensor

from app.errors import DoesNotFit


def chosen(asked: str) -> torch.device:
    """What the setting `device` stands for on this machine. Raises DoesNotFit for a GPU that is not there."""
    there = torch.cuda.device_count()
    if asked == "auto":
        return torch.device("cuda" if there else "cpu")
    device = torch.device(asked)
    if device.type == "cuda" and (device.index or 0) >= there:
        known = f"torch sees GPUs up to cuda:{there - 1}" if there else "torch sees no GPU"
        raise DoesNotFit(f"ROOTSTOCK_DEVICE is {asked!r}, and {known} on this machine; auto and cpu work anywhere")
    return device


def sent(tensor: Tensor, device: torch.device | None) -> Tensor:
    """The tensor on `device`, None being where it is.

    Without waiting: what lies in ordinary memory would otherwise reach a GPU only once all that it was asked before is
    done, and meanwhile nobody asks it for more.
    """
    return tensor if device is None else tensor.to(device, non_blocking=True)
