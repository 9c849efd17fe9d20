"""L-BFGS (Liu & Nocedal 1989) of a few weights, without torch's compiler."""

import inspect

import torch


class Lbfgs(torch.optim.LBFGS):
    """torch's own, but for what is put around these two for the compiler, which it imports with them: over a second."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
