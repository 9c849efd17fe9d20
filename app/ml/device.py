"""Where networks compute: on a GPU when there is one, unless the settings say otherwise."""

import torch
from torch import Tensor


def chosen(asked: str) -> torch.device:
    """What the setting `device` stands for on this machine."""
    if asked != "auto":
        return torch.device(asked)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def sent(tensor: Tensor, device: torch.device | None) -> Tensor:
    """The tensor on `device`, None being where it is.

    Without waiting: what lies in ordinary memory would otherwise reach a GPU only once all that it was asked before is
    done, and meanwhile nobody asks it for more.
    """
    return tensor if device is None else tensor.to(device, non_blocking=True)
