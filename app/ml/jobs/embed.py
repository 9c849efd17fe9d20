"""What decides a job that embeds a dataset, as JSON. Its worker and the HTTP API share it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from app.errors import DoesNotFit
from app.ml.jobs.evaluate import require_fit
from app.ml.jobs.network import NetworkSpec
from app.ml.plugins import Settings
from app.validation import REFERENCE


class EmbedJob(Settings):
    """A job that writes the embeddings of a dataset to a file, shard by shard: for millions of rows."""

    kind: Literal["embed"]
    """Says which job this is."""
    model: str = Field(pattern=REFERENCE)
    """`name`, `name:version` or `name@alias`: the version that it means when the job is made answers."""
    dataset: str = Field(max_length=64)
    """Id of the dataset whose rows are embedded: those of the role that the model reads."""
    split: Literal["train", "validation", "test"] | None = None
    """Its rows alone; without one, all rows."""
    format: Literal["parquet", "jsonl"] = "parquet"
    """Of the file: columns or keys `row` (number of the row in the dataset), `split` and `embedding` (float32)."""
    dimensions: Annotated[int, Field(strict=True, ge=1)] | None = None
    """Width to which embeddings are cut, as in `POST /v1/embeddings`."""
    metadata: dict[str, str] = Field(default_factory=dict, max_length=16)
    """Up to 16 pairs of strings, kept and returned."""


def role_read(spec: NetworkSpec, profile: Mapping[str, Any]) -> str:
    """The role of a dataset of this profile that the network embeds. Raises DoesNotFit when it has none."""
    part = spec.roles[spec.objective.request_role]
    wanted = part.modality.name
    roles = (role for role in profile if isinstance(profile[role], dict) and role != "inferred")
    there = {role: profile[role]["modality"] for role in roles if "modality" in profile[role]}
    role = next((each for each in (spec.objective.request_role, "input") if there.get(each) == wanted), None)
    if role is None:
        held = ", ".join(f"{modality!r} as {role}" for role, modality in sorted(there.items()))
        raise DoesNotFit(f"the model reads {wanted!r}, and the dataset has {held}", param="dataset")
    if part.modality.layout == "vector":  # what else there is finds its size when it is read
        require_fit({role: part}, profile)
    return role
