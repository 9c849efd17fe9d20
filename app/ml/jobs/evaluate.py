"""What decides a job that evaluates a model on a dataset, as JSON. Its worker and the HTTP API share it."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from app.dataset_roles import with_sides
from app.errors import DoesNotFit, Invalid
from app.ml.jobs.network import RoleSpec
from app.ml.plugins import Settings
from app.validation import REFERENCE


class EvaluateJob(Settings):
    """A job that evaluates a model on a dataset, by the same protocol as every model when it is published.

    What it finds, baselines on the same rows included, is the job's `metrics`. The test split is used, or the
    validation split where there is none; probes and baselines learn from the training split.
    """

    kind: Literal["evaluate"]
    """Says which job this is."""
    model: str = Field(pattern=REFERENCE)
    """`name`, `name:version` or `name@alias`: the version that it means when the job is made is evaluated."""
    dataset: str = Field(max_length=64)
    """Id of a dataset of the model's kind; it need not be one that the model learned from."""
    metadata: dict[str, str] = Field(default_factory=dict, max_length=16)
    """Up to 16 pairs of strings, kept and returned."""


@contextlib.contextmanager
def refusing(model: str, doing: str, dataset: str) -> Iterator[None]:
    """Has what is raised for a dataset within name the model and what it cannot do with it."""
    try:
        yield
    except Invalid as error:
        raise DoesNotFit(f"model {model} cannot {doing} dataset {dataset}: {error.message}", param="dataset") from error


def require_fit(roles: Mapping[str, RoleSpec], profile: Mapping[str, Any]) -> None:
    """Raises DoesNotFit where a dataset of this profile is not what a network with these roles was made for."""
    profile = with_sides(profile)
    for role, part in roles.items():
        facts, modality = profile.get(role), part.modality
        if facts is None:
            raise DoesNotFit(f"it has no {role!r}, and the network was made for one", param="dataset")
        if facts["modality"] not in (modality.name, modality.reads):
            problem = f"is {facts['modality']}, and the network was made for {modality.name}"
        elif modality.layout == "vector" and list(facts.get("shape", ())) != part.shape:
            problem = f"has the shape {list(facts.get('shape', ()))}, and the network was made for {part.shape}"
        elif (completed := modality.completed(facts)) != modality:
            its, ours = (made.model_dump(mode="json") for made in (completed, modality))
            differ = [
                f"{key} {its[key]!r:.100}, and the network {ours[key]!r:.100}" for key in its if its[key] != ours[key]
            ]
            problem = f"has {'; '.join(differ)}"
        else:
            continue
        raise DoesNotFit(f"its {role!r} {problem}", param="dataset")
