"""What decides a job that makes a model of a checkpoint, as JSON. Its worker and the HTTP API share it."""

from typing import Literal

from pydantic import Field

from app.ml.plugins import Settings
from app.validation import NAME


class PublishRequest(Settings):
    """What a client may say when a checkpoint is to become a model."""

    name: str | None = Field(None, pattern=NAME)
    """Of the model whose next version it becomes; without one, the name that the training publishes under."""
    metadata: dict[str, str] = Field(default_factory=dict, max_length=16)
    """Up to 16 pairs of strings, kept and returned."""


class PublishJob(Settings):
    """A job that evaluates the weights of a checkpoint and registers them as a version of a model."""

    kind: Literal["publish"] = "publish"
    """Says which job this is."""
    job: str
    """Id of the training."""
    checkpoint: str
    """Id of its checkpoint."""
    step: int
    """Optimizer steps until then."""
    name: str
    """Of the model whose next version it becomes."""
