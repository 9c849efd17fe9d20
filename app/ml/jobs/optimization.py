"""How the weights move: as a client asks for it, and with every `auto` decided."""

from typing import Annotated, Literal

from pydantic import Field

from app.ml.plugins import Settings

AutoName = Literal["auto"]
Whole = Annotated[int, Field(strict=True)]
Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class EarlyStopping(Settings):
    """Stop when the validation metric no longer improves; the best weights are kept in any case."""

    patience: int = Field(5, ge=1, le=10_000)
    """Validations without improvement after which training stops."""


class Training(Settings):
    """How the weights move. What is `auto` is decided before the first step and shown with its reason."""

    epochs: Annotated[Whole, Field(ge=1, le=100_000)] | AutoName = "auto"
    """Passes over the training split."""
    batch_size: Annotated[Whole, Field(ge=1, le=1_048_576)] | AutoName = "auto"
    """Rows per optimizer step."""
    learning_rate: Annotated[Real, Field(gt=0, le=10)] | AutoName = "auto"
    """Peak rate of the schedule."""
    learning_rate_multiplier: Annotated[Real, Field(gt=0, le=1000)] = 1.0
    """Factor on the rate, above all on one that is chosen from the data."""
    optimizer: Literal["auto", "adamw", "adam", "sgd"] = "auto"
    """`adamw` decays weights apart from the gradient (Loshchilov & Hutter 2017) and spares norms and biases."""
    weight_decay: Annotated[Real, Field(ge=0, le=10)] | AutoName = "auto"
    """Decay per unit of learning rate."""
    schedule: Literal["auto", "one_cycle", "cosine", "constant"] = "auto"
    """`one_cycle` (Smith 2018) rises for a quarter of the steps, `cosine` warms up and decays, `constant` stays."""
    warmup: Annotated[Real, Field(ge=0, lt=1)] | AutoName = "auto"
    """Share of all steps in which the rate rises from zero; not used by `constant`."""
    clip_norm: Annotated[Real, Field(gt=0)] | AutoName | None = "auto"
    """Largest global norm of the gradient; null does not clip."""
    accumulation: Whole = Field(1, ge=1, le=4096)
    """Parts in which a batch is computed one after the other: the memory of one, the gradient of all. Objectives that
    compare the rows of a batch still compare all of them (gradient caching, Gao 2021)."""
    ema: Annotated[Real, Field(gt=0, lt=1)] | None = None
    """Share of the moving average of the weights that a step keeps, such as 0.999; then the average is what is
    validated and published. Null takes the weights themselves."""
    max_seconds: Annotated[Real, Field(ge=1, le=31_536_000)] | None = None
    """Time for the steps and their validations: speed is measured first, as a part of it, then as many steps are
    planned as fit, `epochs` at most, and the schedule ends with them. Twenty times on the way the clock is looked at;
    when the speed has changed, the steps that are left are planned again, which an event tells and a checkpoint keeps.
    Preparation and the final evaluation come on top."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the forward and backward pass; weights and optimizer are always fp32. `auto` takes bf16 where the
    device has it and it makes a step clearly faster, measured before the first one; on processors large networks alone
    are measured."""
    channels_last: bool = False
    """Keeps the channels of a pixel side by side: often faster for networks of convolutions."""
    compile: bool = False
    """Compiles the network before the first step (`torch.compile`): takes seconds to minutes, pays in long trainings
    of deep networks. Where that fails, above all for want of a C++ compiler, an event says so and the job trains
    without. After a resume, a compiled job may differ in the last bits."""
    seed: Whole = Field(0, ge=0, le=2**31 - 1)
    """Decides initial weights, order and noise: the same seed on the same kind of machine gives the same weights."""
    early_stopping: EarlyStopping | AutoName | None = "auto"
    """Null trains all epochs."""
    checkpoint_seconds: Real = Field(60.0, ge=0.1, le=86_400)
    """Longest time between two checkpoints, in seconds."""


class ResolvedTraining(Settings):
    """`Training` without any `auto`."""

    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: Literal["adamw", "adam", "sgd"]
    weight_decay: float
    schedule: Literal["one_cycle", "cosine", "constant"]
    warmup: float
    clip_norm: float | None
    precision: Literal["auto", "fp32", "bf16"]
    """`auto` is settled by the worker, which knows its device."""
    seed: int
    early_stopping: EarlyStopping | None
    checkpoint_seconds: float
    accumulation: int = 1
    ema: float | None = None
    max_seconds: float | None = None
    channels_last: bool = False
    compile: bool = False
    encoder_rate: float = 1.0
    """Factor on the learning rate for weights that come from a base model."""
