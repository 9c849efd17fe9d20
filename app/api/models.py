"""Models in OpenAI's shape and beyond it: versions, aliases, lineage, artifact."""

import re
from typing import Annotated, Any, Literal

from fastapi import Query, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.api import serializers
from app.api.conditional import WantedHere
from app.api.deps import After, CallerHere, PagingHere, ServicesHere, guarded_router
from app.api.model_schemas import (
    AliasObject,
    AliasRequest,
    Lineage,
    ModelList,
    ModelObject,
    ModelPatch,
    VersionObject,
)
from app.api.schemas import Deleted, ListOf
from app.api.streaming import Content, described, download, tar
from app.errors import NotFound, OutOfRange, WrongType
from app.ml import artifact
from app.ml.jobs.network import OBJECTIVE
from app.ml.objectives.base import ObjectiveSettings
from app.ml.runtime import portable
from app.registry import models, objects, overview
from app.registry.tables import Model, Version

router = guarded_router("models")
TAR, ONNX = "application/x-tar", "application/octet-stream"


def show_model(model: Model, version: Version, identity: str, aliases: dict[str, int]) -> dict[str, Any]:
    return serializers.wire(
        ModelObject(
            id=identity,
            created=int(version.created_at),
            owned_by=model.project_id,
            version=version.number,
            aliases=aliases,
            abilities=version.abilities,
            dimensions=version.dimensions,
            shortest_dimensions=shortest(version),
            modality=version.modality,
            metrics=version.metrics,
            parameters=version.parameters,
            size_bytes=version.size_bytes,
            description=model.description,
            metadata=model.metadata_,
        )
    )


def shortest(version: Version) -> int | None:
    """The width to which the version's embeddings may be cut; None also where this release cannot read its settings."""
    if "embed" not in version.abilities:
        return None
    try:
        objective: ObjectiveSettings = OBJECTIVE.validate_python(version.spec["objective"])
    except ValidationError:
        return None
    return objective.shortest


def show_version(version: Version, aliases: dict[str, int], parents: dict[str, str]) -> dict[str, Any]:
    return serializers.wire(
        VersionObject(
            id=models.reference(version),
            model=version.model.name,
            version=version.number,
            aliases=[name for name, number in aliases.items() if number == version.number],
            abilities=version.abilities,
            dimensions=version.dimensions,
            modality=version.modality,
            metrics=version.metrics,
            spec=version.spec,
            job=version.job_id,
            parent=parents.get(version.parent_id or ""),
            engine=version.engine,
            parameters=version.parameters,
            size_bytes=version.size_bytes,
            created_at=int(version.created_at),
        )
    )


@router.get("/v1/models", response_model=ModelList)
def list_models(
    here: ServicesHere,
    who: CallerHere,
    limit: Annotated[int | None, Query(ge=1, le=100, description="Without one, all models are listed.")] = None,
    after: Annotated[After, Query(description="Name behind which the page begins.")] = None,
    order: Annotated[str, Query(pattern="^(asc|desc)$")] = "desc",
) -> dict[str, Any]:
    """Lists the project's models, one entry per name."""
    with here.database.reading() as session:
        if limit is None and after is None:
            rows, has_more = models.all(session, who.project_id), False
        else:
            found = models.list_page(
                session, who.project_id, limit=limit or 100, after=after, descending=order == "desc"
            )
            rows, has_more = found.rows, found.has_more
        listed = [
            shown_one
            for begin in range(0, len(rows), 100)
            for shown_one in show_models(session, rows[begin : begin + 100])
        ]
    return serializers.page(listed, has_more)


def show_models(session: Session, rows: list[Model]) -> list[dict[str, Any]]:
    """Models as what their bare names mean."""
    ids = [model.id for model in rows]
    versions, aliases = overview.defaults_of(session, ids), models.aliases_of(session, ids)
    there = [model for model in rows if model.id in versions]  # the others are being deleted
    return [show_model(model, versions[model.id], model.name, aliases[model.id]) for model in there]


@router.get("/v1/models/{model}", response_model=ModelObject)
def get_model(model: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """What `name`, `name:3` or `name@alias` means now."""
    with here.database.reading() as session:
        version = models.resolve(session, who.project_id, model)
        return show_model(version.model, version, model, models.aliases(session, version.model_id))


@router.get("/v1/models/{model}/versions", response_model=ListOf[VersionObject])
def list_versions(model: str, here: ServicesHere, who: CallerHere, paging: PagingHere) -> dict[str, Any]:
    """The versions of a model, newest first."""
    after = None if paging.after is None else number(paging.after)
    with here.database.reading() as session:
        found = models.get(session, who.project_id, model)
        aliases = models.aliases(session, found.id)
        page = models.versions_page(session, found.id, limit=paging.limit, after=after, descending=paging.descending)
        parents = overview.version_names(session, {row.parent_id for row in page.rows if row.parent_id is not None})
    return serializers.page_of(page, lambda version: show_version(version, aliases, parents))


def number(given: str) -> int:
    """Of `name:3` or `3`."""
    match = re.fullmatch(r"(?:.*:)?(\d{1,9})", given, re.ASCII)
    if match is None:
        raise WrongType(f"after is {given!r}; the id or the number of a version is right", param="after")
    return int(match[1])


@router.put("/v1/models/{model}/aliases/{alias}", response_model=AliasObject)
def put_alias(model: str, alias: str, body: AliasRequest, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Points an alias to a version; `default` is what the bare name means."""
    with here.database.session() as session:
        models.set_alias(session, who.project_id, model, alias, body.version)
    return {"id": f"{model}@{alias}", "object": "model.alias", "model": model, "alias": alias, "version": body.version}


@router.delete("/v1/models/{model}/aliases/{alias}", response_model=Deleted)
def delete_alias(model: str, alias: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Deletes an alias; a 409 for `default`."""
    with here.database.session() as session:
        models.delete_alias(session, who.project_id, model, alias)
    return {"id": f"{model}@{alias}", "object": "model.alias", "deleted": True}


@router.get("/v1/models/{model}/lineage", response_model=Lineage)
def get_lineage(model: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Data, spec, seed and checkpoints that a version comes from, its parents and its children."""
    with here.database.reading() as session:
        version = models.resolve(session, who.project_id, model)
        return {"object": "model.lineage", **models.lineage(session, version)}


@router.get(
    "/v1/models/{model}/artifact",
    response_class=Response,
    responses=described(TAR, ONNX),
)
def get_artifact(
    model: str,
    here: ServicesHere,
    who: CallerHere,
    wanted: WantedHere,
    format: Annotated[
        Literal["tar", "onnx"],
        Query(description="`onnx` gives one graph, from raw items to answers, that ONNX Runtime and others compute."),
    ] = "tar",
) -> Response:
    """The files of a version as a tar archive: safetensors and JSON. Or its graph, a 404 where it has none.

    With `Range` a part of either: both have their size and their ETag from the beginning."""
    with here.database.reading() as session:
        version = models.resolve(session, who.project_id, model)
        files = objects.held(session, version.id)
        folder = f"{version.model.name}-{version.number}"
        if format == "onnx":
            graph = files.get(portable.FILE)
            if graph is None:
                raise no_graph(version)
            return download(here.storage, Content(graph), wanted, filename=f"{folder}.onnx", media_type=ONNX)
        archive = tar(artifact.own(files), folder, int(version.created_at))
    return download(here.storage, archive, wanted, filename=f"{folder}.tar", media_type=TAR)


def no_graph(version: Version) -> NotFound:
    """Why a version cannot be had as ONNX, and what to do."""
    unknown = (
        "it was published by an earlier release, which kept none; POST /v1/models/import makes of its artifact a "
        "version that has one, or says why not"
    )
    why = version.engine.get("no_graph", unknown)
    return NotFound(
        f"model {models.reference(version)} has no ONNX graph: {why}. Without format its artifact has the weights as "
        "safetensors",
        param="format",
    )


@router.patch("/v1/models/{model}", response_model=ModelObject)
def patch_model(model: str, body: ModelPatch, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Replaces a model's description or metadata."""
    with here.database.session() as session:
        changed = models.patch(session, who.project_id, model, description=body.description, metadata=body.metadata)
        return show_models(session, [changed])[0]


@router.delete("/v1/models/{model}", response_model=Deleted)
def delete_model(model: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Deletes `name` with all versions, or `name:3`; a 409 while an alias or a child needs it."""
    name, colon, version = model.partition(":")
    if "@" in model or (colon and re.fullmatch("[0-9]{1,9}", version) is None):
        raise OutOfRange(f"{model!r} cannot be deleted; give a name, or a version as 'name:3'", param="model")
    with here.database.session() as session:
        if colon:
            models.delete_version(session, who.project_id, name, int(version))
        else:
            models.delete_model(session, who.project_id, name)
    return {"id": model, "object": "model", "deleted": True}
