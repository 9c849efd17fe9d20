"""Seeds of torch's random numbers, for tests."""

import torch


def seed(number: int) -> None:
    """Like `torch.manual_seed`, which writes down the stack of calls for each kind of device that is not there."""
    if torch.cuda.is_available():
        torch.manual_seed(number)
    else:
        torch.default_generator.manual_seed(number)
