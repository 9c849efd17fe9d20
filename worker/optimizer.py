"""The optimizer of a training job and the learning rate as a function of the step. Knows no data."""

import math

import torch
import torch._dynamo  # making the first optimizer imports it, for a second: better now, while a spare process waits
from torch import nn

from app.ml.objectives.base import Objective
from app.ml.spec import ResolvedTraining

START, END = 1 / 25, 1e-4
"""Factors on the peak rate at which a one-cycle schedule begins and ends."""


def build_optimizer(network: Objective, training: ResolvedTraining) -> torch.optim.Optimizer:
    """Fused, with groups for what decays (matrices and kernels) and what does not (norms, biases), encoder apart.

    Each group carries `peak_lr`. Encoders move at `encoder_rate` times the rate of the rest.
    """
    encoders = {id(parameter) for parameter in network.encoders.parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in encoders, parameter.ndim > 1), []).append(parameter)
    described = [
        {
            "params": parameters,
            "weight_decay": training.weight_decay if decays else 0.0,
            "peak_lr": training.learning_rate * (training.encoder_rate if encoded else 1.0),
        }
        for (encoded, decays), parameters in groups.items()
    ]
    if training.optimizer == "sgd":
        return torch.optim.SGD(described, lr=training.learning_rate, momentum=0.9, nesterov=True, fused=True)
    kind = torch.optim.AdamW if training.optimizer == "adamw" else torch.optim.Adam
    return kind(described, lr=training.learning_rate, fused=True)


def rate_factor(training: ResolvedTraining, step: int, total: int) -> float:
    """Factor on the peak rate at `step` of `total`. One cycle: Smith 2018; cosine: Loshchilov & Hutter 2016."""
    if training.schedule == "constant":
        return 1.0
    rising = training.warmup * total
    if step < rising:
        share = step / rising
        return START + (1 - START) * (1 - math.cos(math.pi * share)) / 2 if training.schedule == "one_cycle" else share
    share = (step - rising) / max(1.0, total - rising)
    return END + (1 - END) * (1 + math.cos(math.pi * share)) / 2
