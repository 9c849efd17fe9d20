"""Models in OpenAI's shape and beyond it: versions, aliases, lineage, artifact."""

import re
from typing import Annotated, Any

from fastapi import Query, Response
from sqlalchemy.orm import Session

from app.api import shown
from app.api.deps import CallerHere, ServicesHere, guarded_router
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
from app.api.streaming import download, tar, tar_size
from app.errors import OutOfRange
from app.ml import artifact
from app.ml.defaults import OBJECTIVE
from app.ml.objectives.base import ObjectiveSettings
from app.registry import models, objects, overview
from app.registry.tables import Model, Version

router = guarded_router("models")


def show_model(session: Session, model: Model, version: Version, identity: str) -> dict[str, Any]:
    return shown.wire(
        ModelObject(
            id=identity,
            created=int(version.created_at),
            owned_by=model.project_id,
            version=version.number,
            aliases=models.aliases(session, model.id),
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
    """The width to which the version's embeddings may be cut."""
    if "embed" not in version.abilities:
        return None
    objective: ObjectiveSettings = OBJECTIVE.validate_python(version.spec["objective"])
    return objective.shortest


def show_version(session: Session, version: Version, aliases: dict[str, int]) -> dict[str, Any]:
    parents = overview.version_names(session, [version.parent_id] if version.parent_id else [])
    return shown.wire(
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
    after: Annotated[str | None, Query(description="Name behind which the page begins.")] = None,
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
        listed = []
        for model in rows:
            version = models.resolve(session, who.project_id, model.name)
            listed.append(show_model(session, model, version, model.name))
    return shown.page(listed, has_more)


@router.get("/v1/models/{model}", response_model=ModelObject)
def get_model(model: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """What `name`, `name:3` or `name@alias` means now."""
    with here.database.reading() as session:
        version = models.resolve(session, who.project_id, model)
        return show_model(session, version.model, version, model)


@router.get("/v1/models/{model}/versions", response_model=ListOf[VersionObject])
def list_versions(model: str, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """All versions of a model, newest first."""
    with here.database.reading() as session:
        found = models.get(session, who.project_id, model)
        aliases = models.aliases(session, found.id)
        rows = [show_version(session, version, aliases) for version in models.versions(session, found.id)]
    return shown.page(rows, False)


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
    responses={200: {"content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}}}},
)
def get_artifact(model: str, here: ServicesHere, who: CallerHere) -> Response:
    """The files of a version as a tar archive: safetensors and JSON."""
    with here.database.reading() as session:
        version = models.resolve(session, who.project_id, model)
        stored = objects.held(session, version.id)
        held = {name: parts for name, parts in stored.items() if name in artifact.FILES}
        folder = f"{version.model.name}-{version.number}"
    chunks = tar(here.storage, held, folder, int(version.created_at))
    return download(chunks, filename=f"{folder}.tar", media_type="application/x-tar", size_bytes=tar_size(held))


@router.patch("/v1/models/{model}", response_model=ModelObject)
def patch_model(model: str, body: ModelPatch, here: ServicesHere, who: CallerHere) -> dict[str, Any]:
    """Replaces a model's description or metadata."""
    with here.database.session() as session:
        changed = models.patch(session, who.project_id, model, description=body.description, metadata=body.metadata)
        return show_model(session, changed, models.resolve(session, who.project_id, model), model)


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
