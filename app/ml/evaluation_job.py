"""What decides a job that judges a model on a dataset, as JSON. Its worker and the HTTP API share it."""

from typing import Literal

from pydantic import Field

from app.ml.plugins import Settings
from app.ml.spec import REFERENCE


class EvaluateJob(Settings):
    """A job that judges a model on a dataset, by the protocol by which every model is judged when it is published.

    What it finds, baselines on the same rows included, is the job's `metrics`. The test split is judged, or the
    validation split where there is none; probes and baselines learn from the training split.
    """

    kind: Literal["evaluate"]
    """Says which job this is."""
    model: str = Field(pattern=REFERENCE)
    """`name`, `name:version` or `name@alias`: the version that it means when the job is made is judged."""
    dataset: str = Field(max_length=64)
    """Id of a dataset of the model's kind; it need not be one that the model learned from."""
    metadata: dict[str, str] = Field(default_factory=dict, max_length=16)
    """Up to 16 pairs of strings, kept and returned."""
