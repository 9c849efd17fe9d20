"""The weights that learn, in one flat buffer, and how a step moves them. Knows no data.

One buffer for the weights and one for their gradients make a step a handful of operations, whatever the number of
layers: clear, norm, clip, one fused update per group, average.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from app.ml.jobs.optimization import ResolvedTraining
from app.ml.objectives.base import Objective

START, END = 1 / 25, 1e-4
"""Factors on the peak rate at which a one-cycle schedule begins and ends."""
FAST = 24.0
"""Times as far as others that fast weights move. In 15 passes over 1,318 pairs of texts, perplexity came to 23 where
vectors of words moved so, and to 60 where they moved as other weights."""
ALIGNMENT = 16
"""Every weight tensor begins at a multiple of this many numbers, 64 bytes: matrix products want that."""
MESSAGE = 16
"""Numbers behind the gradients for what devices tell each other along with them."""


@dataclass(frozen=True)
class Group:
    """A run of the buffers that moves at one rate and decays alike."""

    values: Tensor
    gradient: Tensor
    moments: list[Tensor]
    """Averages of the gradient and of its square, or the momentum alone."""
    rate: float
    decay: float


class Weights:
    """The network's weights as one buffer, with its gradients, its optimizer's moments and its moving average.

    Groups follow each other in it: what decays (matrices and kernels) apart from what does not (norms, biases),
    encoders apart where they move at another rate than the rest, and fast weights apart from others.
    """

    def __init__(self, network: Objective, training: ResolvedTraining) -> None:
        self.training = training
        self.groups = _groups(network, encoders_apart=training.encoder_rate != 1.0)
        self.parameters = [parameter for members in self.groups.values() for parameter in members]
        device = self.parameters[0].device
        length = sum(_room(parameter) for parameter in self.parameters)
        self.values = torch.zeros(length, device=device)
        self._received = torch.zeros(length + MESSAGE, device=device)
        self.gradient, self.message = self._received[:length], self._received[length:]
        self.moments = [torch.zeros_like(self.values) for _ in range(1 if training.optimizer == "sgd" else 2)]
        self.steps = torch.zeros((), device=device)
        self._runs = self._lay()
        self.average = self.values.clone() if training.ema is not None else None

    def step(self, step: int, share: float, scale: float = 1.0) -> None:
        """Step number `step`: moves the weights against their gradients, at `scale` times the schedule's rate.

        `share` is how much of the schedule lies behind, from 0 to 1.
        """
        training = self.training
        factor = scale * rate_factor(training, share)
        excess = None
        if training.clip_norm is not None:
            excess = torch.linalg.vector_norm(self.gradient).div_(training.clip_norm).clamp_(min=1.0)
        self.steps.add_(1)
        for group in self._runs:
            _update(training.optimizer, group, group.rate * factor, self.steps, excess)
        if self.average is not None and training.ema is not None:
            kept = min(training.ema, (1 + step) / (10 + step))  # of the first steps little is kept
            self.average.lerp_(self.values, 1 - kept)

    def clear(self) -> None:
        """Sets the gradients, and the message behind them, to zero."""
        self._received.zero_()

    @property
    def together(self) -> Tensor:
        """Gradients and message as one tensor: what several devices add up."""
        return self._received

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint needs beside the network's own tensors: the optimizer's and the average."""
        tensors = {f"optimizer.{number}": moment for number, moment in enumerate(self.moments)}
        tensors["optimizer.steps"] = self.steps
        return tensors if self.average is None else {**tensors, "average.weights": self.average}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what `state` gave."""
        for name, own in self.state().items():
            own.copy_(tensors[name])

    def swap(self) -> None:
        """Exchanges the weights for their moving average and back, where there is one."""
        if self.average is not None:
            held = self.values.clone()
            self.values.copy_(self.average)
            self.average.copy_(held)

    def reset(self, values: Tensor) -> None:
        """Begins again from these values, as if no step had been made."""
        self.values.copy_(values)
        if self.average is not None:
            self.average.copy_(values)
        for kept in (*self.moments, self.steps):
            kept.zero_()

    def release(self) -> None:
        """Gives every tensor of the network memory of its own again."""
        for parameter in self.parameters:
            parameter.data, parameter.grad = parameter.data.clone(), None

    def _lay(self) -> list[Group]:
        """Moves the tensors into the buffers."""
        laid: list[Group] = []
        at = 0
        for (encoded, fast, decays), members in self.groups.items():
            begin = at
            for parameter in members:
                assert parameter.dtype == torch.float32, "weights are fp32, whatever computes with them: this is a bug"
                place = parameter.shape, parameter.stride(), at
                old, parameter.data = parameter.data, self.values.as_strided(*place)
                parameter.data.copy_(old)
                parameter.grad = self.gradient.as_strided(*place)
                at += _room(parameter)
            values, gradient, *moments = (each[begin:at] for each in (self.values, self.gradient, *self.moments))
            times = FAST if fast and self.training.optimizer != "sgd" else 1.0
            rate = self.training.learning_rate * (self.training.encoder_rate if encoded else 1.0) * times
            laid.append(Group(values, gradient, moments, rate, self.training.weight_decay / times if decays else 0.0))
        return laid


def _groups(network: Objective, *, encoders_apart: bool) -> dict[tuple[bool, bool, bool], list[nn.Parameter]]:
    """What learns, by whether it is an encoder's that moves at a rate of its own, is fast, and decays."""
    encoders = {id(parameter) for parameter in network.encoders.parameters()} if encoders_apart else set()
    fast = {id(parameter) for parameter in network.fast_weights}
    groups: dict[tuple[bool, bool, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            key = (id(parameter) in encoders, id(parameter) in fast, parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
    return groups


def _room(parameter: Tensor) -> int:
    return -(-parameter.numel() // ALIGNMENT) * ALIGNMENT


def _update(optimizer: str, group: Group, rate: float, steps: Tensor, excess: Tensor | None) -> None:
    """torch's fused kernels, without its optimizers around them: small networks would feel those at every step.

    Gradients are divided by `excess` on the way.
    """
    values, gradient = [group.values], [group.gradient]
    usual: dict[str, Any] = {"lr": rate, "weight_decay": group.decay, "maximize": False, "grad_scale": excess}
    if optimizer == "sgd":
        usual |= {"momentum": 0.9, "dampening": 0.0, "nesterov": True, "is_first_step": False}
        torch._fused_sgd_(values, gradient, group.moments, **usual)
    else:
        usual |= {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "amsgrad": False}
        first, second = group.moments
        kernel = torch._fused_adamw_ if optimizer == "adamw" else torch._fused_adam_
        kernel(values, gradient, [first], [second], [], [steps], **usual)


def rate_factor(training: ResolvedTraining, share: float) -> float:
    """Factor on the peak rate at a share of the schedule. One cycle: Smith 2018; cosine: Loshchilov & Hutter 2016."""
    if training.schedule == "constant":
        return 1.0
    rising = training.warmup
    if share < rising:
        risen = share / rising
        return START + (1 - START) * (1 - math.cos(math.pi * risen)) / 2 if training.schedule == "one_cycle" else risen
    fallen = (share - rising) / (1 - rising)
    return END + (1 - END) * (1 + math.cos(math.pi * fallen)) / 2
