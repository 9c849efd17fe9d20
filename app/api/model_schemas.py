"""The wire shapes of models: OpenAI's, and what ours say beyond it. Knows no row."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from app.api.schemas import Wire


class ModelObject(Wire):
    """A published model, as the version that its name means now."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    """The project."""
    version: int
    """Number of the version that these numbers describe."""
    aliases: dict[str, int]
    """Alias → version number. A bare name follows `default`."""
    abilities: list[str]
    """What can be asked of it: `embed`, `reconstruct`, `predict` …"""
    dimensions: int | None
    """Width of its embeddings."""
    shortest_dimensions: int | None
    """Width to which `dimensions` of a request may cut them; null where they cannot be cut."""
    modality: str
    metrics: dict[str, Any]
    """Held-out metrics with the baselines on the same split."""
    parameters: int
    size_bytes: int
    description: str
    """What somebody wrote of it."""
    metadata: dict[str, str]


class ModelList(Wire):
    """Models; all of them when no limit is given."""

    object: Literal["list"] = "list"
    data: list[ModelObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VersionObject(Wire):
    """One version of a model."""

    id: str
    """`name:number`, usable wherever a model is named."""
    object: Literal["model.version"] = "model.version"
    model: str
    """The model's name."""
    version: int
    aliases: list[str]
    """The aliases that mean this version."""
    abilities: list[str]
    dimensions: int | None
    modality: str
    metrics: dict[str, Any]
    spec: dict[str, Any]
    """Everything that decided it."""
    job: str | None
    """The job that made it."""
    parent: str | None
    """The version it was grafted on."""
    parameters: int
    size_bytes: int
    engine: dict[str, Any]
    """How its embeddings are computed, as `name`: by torch in `fp32`, by torch with matrix products in `bf16`, or by
    ONNX Runtime (`onnx`, without padding). Where `rows` stands beside it, larger batches have the engines in `beyond`,
    one after the other, or else `fp32`. Chosen at publication by the `milliseconds` of a batch, by engine and rows;
    with the worst `cosine` of `bf16` to fp32 where the processor has it. `no_graph` says why its artifact cannot be had
    as ONNX, where it cannot."""
    created_at: int


class Lineage(Wire):
    """Where a version comes from, and what came from it."""

    model_config = ConfigDict(extra="allow")

    object: Literal["model.lineage"] = "model.lineage"
    version: str
    """`name:number` of the version that this is about."""
    datasets: list[dict[str, Any]]
    """Id, fingerprint and weight."""
    spec: dict[str, Any]
    """Everything that decided it."""
    seed: int | None
    job: str | None
    checkpoints: list[dict[str, Any]]
    """Those that its job kept."""
    parents: list[str]
    """Nearest first."""
    children: list[str]
    """Versions that were grafted on it."""


class AliasRequest(Wire):
    """Where an alias is to point."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    version: int = Field(ge=1, le=2**31 - 1, strict=True)
    """Number of a version of this model."""


class AliasObject(Wire):
    """A name for a version, which moves only when told to."""

    id: str
    """`name@alias`, usable wherever a model is named."""
    object: Literal["model.alias"] = "model.alias"
    model: str
    """The model's name."""
    alias: str
    """The alias alone."""
    version: int


class ModelPatch(Wire):
    """What is given is replaced."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    description: str | None = Field(None, max_length=10_000)
    """What is to be known of it."""
    metadata: dict[str, str] | None = Field(None, max_length=16)
    """Up to 16 pairs of strings."""
