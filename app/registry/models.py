"""Published models: their versions, aliases and descent. Knows no weights.

A bare name follows the alias `default`, which the first version takes and which moves only when told to.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import InUse, OutOfRange
from app.registry import objects as stored
from app.registry.ids import new_id
from app.registry.keys import bump
from app.registry.metrics import finite
from app.registry.moves import TERMINAL
from app.registry.names import DEFAULT, aliased, check_name, numbered, point
from app.registry.names import NAME as NAME
from app.registry.names import aliases as aliases
from app.registry.names import aliases_of as aliases_of
from app.registry.names import all as all
from app.registry.names import get as get
from app.registry.names import reference as reference
from app.registry.names import resolve as resolve
from app.registry.names import versions as versions
from app.registry.page import Page, paginate
from app.registry.tables import Alias, Checkpoint, Job, Model, Version
from app.registry.upsert import insert


def publish(
    session: Session,
    *,
    project_id: str,
    name: str,
    job_id: str | None,
    parent_id: str | None,
    spec: dict[str, Any],
    modality: str,
    dimensions: int | None,
    abilities: Sequence[str],
    metrics: Mapping[str, Any],
    datasets: Sequence[Mapping[str, Any]],
    parameters: int,
    objects: Mapping[str, stored.Bytes],
    aliases: Sequence[str] = (),
    engine: Mapping[str, Any] | None = None,
) -> Version:
    """The next version of the model `name`, which is made if it is new; `aliases` move to it.

    Raises OutOfRange for a name that cannot be one.
    """
    for wanted in (name, *aliases):
        check_name(wanted)
    new = insert(session, Model).values(id=new_id("model-"), project_id=project_id, name=name)
    session.execute(new.on_conflict_do_nothing(index_elements=["project_id", "name"]))
    model = session.scalars(
        sa.update(Model)
        .where(Model.project_id == project_id, Model.name == name)
        .values(last_version=Model.last_version + 1)
        .returning(Model)
        .execution_options(synchronize_session=False, populate_existing=True)
    ).one()
    version = Version(
        id=new_id("ver-"),
        model_id=model.id,
        model=model,
        number=model.last_version,
        job_id=job_id,
        parent_id=parent_id,
        spec=spec,
        modality=modality,
        dimensions=dimensions,
        abilities=list(abilities),
        metrics=finite(metrics),
        datasets=[dict(dataset) for dataset in datasets],
        parameters=parameters,
        size_bytes=stored.total_bytes(objects),
        engine=dict(engine or {}),
    )
    session.add(version)
    session.flush()
    stored.hold(session, version.id, objects)
    for alias in aliases:
        point(session, model.id, alias, version.id)
    if session.get(Alias, (model.id, DEFAULT)) is None:
        point(session, model.id, DEFAULT, version.id)
    bump(session)
    return version


def list_page(session: Session, project_id: str, *, limit: int, after: str | None, descending: bool) -> Page[Model]:
    """A page of models in the order of their creation; `after` is a name, since that is a model's id for clients."""
    follows = None if after is None else get(session, project_id, after).id
    statement = sa.select(Model).where(Model.project_id == project_id)
    return paginate(session, statement, Model.id, limit=limit, after=follows, descending=descending)


def versions_page(session: Session, model_id: str, *, limit: int, after: int | None, descending: bool) -> Page[Version]:
    """A page of a model's versions by their numbers; `after` is such a number."""
    statement = sa.select(Version).where(Version.model_id == model_id)
    return paginate(session, statement, Version.number, limit=limit, after=after, descending=descending)


def set_alias(session: Session, project_id: str, name: str, alias: str, number: int) -> Version:
    """Points `alias` to a version of the model; raises ModelNotFound without that version.

    Raises OutOfRange for an alias that is a number: `name@2` would be taken for `name:2`.
    """
    check_name(alias)
    if alias.isdecimal():
        said = f"alias {alias!r} would be taken for version {alias}, which is {name}:{alias}; it needs a letter"
        raise OutOfRange(said, param="name")
    version = numbered(session, get(session, project_id, name), str(number))
    point(session, version.model_id, alias, version.id)
    bump(session)
    return version


def delete_alias(session: Session, project_id: str, name: str, alias: str) -> None:
    """Raises InUse for `default`, without which the bare name would mean nothing."""
    model = get(session, project_id, name)
    aliased(session, model, alias)
    if alias == DEFAULT:
        raise InUse(f"alias 'default' is what the bare name {name!r} means; point it to another version instead")
    session.delete(session.get_one(Alias, (model.id, alias)))
    session.flush()
    bump(session)


def patch(
    session: Session,
    project_id: str,
    name: str,
    *,
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Model:
    """Replaces what is given."""
    model = get(session, project_id, name)
    if description is not None:
        model.description = description
    if metadata is not None:
        model.metadata_ = dict(metadata)
    session.flush()
    bump(session)
    return model


def lineage(session: Session, version: Version) -> dict[str, Any]:
    """Dataset fingerprints → spec → seed → job and checkpoints → parents, nearest first, and children."""
    parents: list[str] = []
    above = version.parent_id
    while above is not None:
        parent = session.get_one(Version, above)
        parents.append(reference(parent))
        above = parent.parent_id
    children = session.scalars(sa.select(Version).where(Version.parent_id == version.id).order_by(Version.id))
    steps = sa.select(Checkpoint).where(Checkpoint.job_id == version.job_id).order_by(Checkpoint.step)
    return {
        "version": reference(version),
        "datasets": version.datasets,
        "spec": version.spec,
        "seed": version.spec.get("training", {}).get("seed"),
        "job": version.job_id,
        "checkpoints": [{"id": row.id, "step": row.step, "metrics": row.metrics} for row in session.scalars(steps)],
        "parents": parents,
        "children": [reference(child) for child in children],
    }


def delete_version(session: Session, project_id: str, name: str, number: int) -> None:
    """Removes one version; the last one goes with its model. Raises InUse while something needs it."""
    version = resolve(session, project_id, f"{name}:{number}")
    if len(versions(session, version.model_id)) == 1:
        delete_model(session, project_id, name)
        return
    pointing = [alias for alias, target in aliases(session, version.model_id).items() if target == number]
    if pointing:
        raise InUse(f"{name}:{number} is what alias {pointing[0]!r} means; point that to another version first")
    _remove(session, [version])


def delete_model(session: Session, project_id: str, name: str) -> None:
    """Removes a model and all its versions. Raises InUse while an alias that somebody set, or a child, needs one."""
    model = get(session, project_id, name)
    given = [alias for alias in aliases(session, model.id) if alias != DEFAULT]
    if given:
        raise InUse(f"model {name!r} has the alias {given[0]!r}; delete that first")
    _remove(session, versions(session, model.id), with_default=model.id)
    session.delete(model)
    session.flush()


def _remove(session: Session, going: Sequence[Version], *, with_default: str | None = None) -> None:
    """Removes versions that no alias protects, newest first, so that a child goes before its parent."""
    ids = [version.id for version in going]
    # waits for children and jobs that are being made on them, which the next statements then see
    session.scalars(sa.select(Version.id).where(Version.id.in_(ids)).with_for_update()).all()
    child = session.scalar(sa.select(Version).where(Version.parent_id.in_(ids), Version.id.not_in(ids)).limit(1))
    if child is not None:
        heir = reference(child)
        raise InUse(f"{heir} descends from {reference(_of(going, child.parent_id))}; delete {heir} first")
    based = sa.select(Job).where(Job.base_version_id.in_(ids), Job.status.not_in(TERMINAL))
    job = session.scalar(based.limit(1))
    if job is not None:
        raise InUse(f"{job.id} starts from {reference(_of(going, job.base_version_id))}; cancel that first")
    if with_default is not None:
        session.execute(sa.delete(Alias).where(Alias.model_id == with_default))
    session.execute(sa.update(Job).where(Job.base_version_id.in_(ids)).values(base_version_id=None))
    session.execute(sa.update(Job).where(Job.version_id.in_(ids)).values(version_id=None))
    for version in going:
        stored.release(session, version.id)
        session.execute(sa.delete(Version).where(Version.id == version.id))
    bump(session)


def _of(versions: Sequence[Version], version_id: str | None) -> Version:
    return next(version for version in versions if version.id == version_id)
