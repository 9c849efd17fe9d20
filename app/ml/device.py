"""Where networks compute: on a GPU when there is one, unless the settings say otherwise."""

import torch


def chosen(asked: str) -> torch.device:
    """What the setting `device` stands for on this machine."""
    if asked != "auto":
        return torch.device(asked)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
