"""What the names of models mean: `name`, `name:3`, `name@alias`. Knows no reason for a change."""

import difflib
import re
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import ModelNotFound, OutOfRange
from app.registry.db import now
from app.registry.moves import TERMINAL
from app.registry.tables import Alias, Job, Model, Version
from app.registry.upsert import insert

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
DEFAULT = "default"
"""The alias that a bare name follows."""
LISTED = 5
CHECKPOINT = re.compile(r"(job-\w+):ckpt-step-\d+")
"""How fine-tuning jobs call a checkpoint that is no model yet."""


def reference(version: Version) -> str:
    """`name:number`, which always means this version."""
    return f"{version.model.name}:{version.number}"


def resolve(session: Session, project_id: str, reference: str) -> Version:
    """The version that `name`, `name:3` or `name@alias` means now.

    Raises ModelNotFound that says what there is instead.
    """
    if checkpoint := CHECKPOINT.fullmatch(reference):
        raise ModelNotFound(
            f"{reference} is a checkpoint and no model yet; publish it by POST /v1/jobs/{checkpoint[1]}/checkpoints/"
            "{id}/publish, with its id",
            param="model",
        )
    name, *rest = re.split("[:@]", reference, maxsplit=1)
    model = get(session, project_id, name)
    if not rest:
        return aliased(session, model, DEFAULT)
    return (numbered if reference[len(name)] == ":" else aliased)(session, model, rest[0])


def get(session: Session, project_id: str, name: str) -> Model:
    """Raises ModelNotFound that names the job which is to make it, or lists near names."""
    model = session.scalar(sa.select(Model).where(Model.project_id == project_id, Model.name == name))
    if model is not None:
        return model
    making = sa.select(Job.id, Job.status).where(Job.project_id == project_id, Job.status.not_in(TERMINAL))
    job = session.execute(making.where(Job.request["name"].as_string() == name).order_by(Job.id.desc())).first()
    if job is not None:
        raise ModelNotFound(f"no model {name!r} yet; {job.id}, which is to make it, is {job.status}", param="model")
    names = [known.name for known in all(session, project_id)]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    listed = ", ".join(map(repr, names[:LISTED])) + (f" and {len(names) - LISTED} more" if names[LISTED:] else "")
    there = f"the models are {listed}" if names else "there is none yet"
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else there
    raise ModelNotFound(f"no model {name!r}; {hint}", param="model")


def all(session: Session, project_id: str) -> list[Model]:
    """Every model of the project, by name."""
    return list(session.scalars(sa.select(Model).where(Model.project_id == project_id).order_by(Model.name)))


def versions(session: Session, model_id: str) -> list[Version]:
    """All versions of the model, newest first."""
    return list(session.scalars(sa.select(Version).where(Version.model_id == model_id).order_by(Version.number.desc())))


def aliases(session: Session, model_id: str) -> dict[str, int]:
    """Alias → number of the version that it points to."""
    return aliases_of(session, [model_id])[model_id]


def aliases_of(session: Session, model_ids: Collection[str]) -> dict[str, dict[str, int]]:
    """Those of several models, by the models' ids."""
    found: dict[str, dict[str, int]] = {model_id: {} for model_id in model_ids}
    statement = (
        sa.select(Alias.model_id, Alias.name, Version.number)
        .join(Version, Version.id == Alias.version_id)
        .where(Alias.model_id.in_(model_ids))
        .order_by(Alias.name)
    )
    for model_id, name, number in session.execute(statement):
        found[model_id][name] = number
    return found


def check_name(name: str) -> None:
    if NAME.fullmatch(name) is None:
        rule = "1 to 63 of A-Z a-z 0-9 . _ -, the first a letter or digit"
        raise OutOfRange(f"{name!r} cannot be a name; it takes {rule}", param="name")


def point(session: Session, model_id: str, alias: str, version_id: str) -> None:
    statement = insert(session, Alias).values(model_id=model_id, name=alias, version_id=version_id)
    moved = {"version_id": version_id, "updated_at": now()}
    session.execute(statement.on_conflict_do_update(index_elements=["model_id", "name"], set_=moved))


def numbered(session: Session, model: Model, number: str) -> Version:
    if number.isdecimal() and len(number) < 10:
        wanted = sa.select(Version).where(Version.model_id == model.id, Version.number == int(number))
        version = session.scalar(wanted)
        if version is not None:
            return version
    known = ", ".join(str(version.number) for version in reversed(versions(session, model.id)))
    raise ModelNotFound(f"model {model.name!r} has no version {number!r}; it has {known}", param="model")


def aliased(session: Session, model: Model, alias: str) -> Version:
    wanted = sa.select(Version).join(Alias, Alias.version_id == Version.id)
    version = session.scalar(wanted.where(Alias.model_id == model.id, Alias.name == alias))
    if version is not None:
        return version
    known = ", ".join(aliases(session, model.id))
    raise ModelNotFound(f"model {model.name!r} has no alias {alias!r}; it has {known}", param="model")
