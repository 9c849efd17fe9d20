"""Decides whatever a training request left open, and says why.

Takes profiles and specs as JSON; knows no registry. The recipes themselves belong to the objectives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.dataset_roles import with_sides
from app.errors import DoesNotFit
from app.ml.build import continues, lender
from app.ml.encoders.base import EncoderSettings
from app.ml.jobs.network import RoleSpec
from app.ml.jobs.optimization import EarlyStopping, ResolvedTraining
from app.ml.jobs.train import DatasetRef, Mixture, TrainRequest, TrainSpec
from app.ml.objectives.base import ObjectiveSettings
from app.ml.objectives.parts.training_defaults import GRAFT_RATE, TrainingData
from app.ml.plugins import Auto
from app.ml.resolving.augmenting import choose, shown
from app.ml.resolving.choices import Choices
from app.ml.resolving.domains import check_classes, check_rows, shares, together, usable_rows
from app.ml.resolving.fit import check_fit, check_words
from app.ml.resolving.objectives import decide_objective, settled
from app.ml.resolving.roles import decide_roles

USUAL = "serves most networks and data"
AUTO_TRAINING: dict[str, Any] = {"optimizer": "adamw", "schedule": "one_cycle", "warmup": 0.25, "clip_norm": 1.0}


@dataclass
class Resolved:
    """A spec with nothing left open, and everything that was decided for it."""

    spec: TrainSpec
    choices: Choices = field(default_factory=Choices)


def resolve(
    request: TrainRequest, profiles: Sequence[Mapping[str, Any]], base: Mapping[str, Any] | None = None, *, name: str
) -> Resolved:
    """Decides every default and `auto` of `request` from the profiles of its datasets, in order.

    `base` is `{"reference": "name:3", "spec": …}` of the base model, its spec as stored; `name` is what the published
    model is called when the request does not say. Raises subclasses of Invalid.
    """
    choices = Choices()
    ids = [ref.id for ref in request.dataset_refs]
    base_roles = {k: RoleSpec.model_validate(v) for k, v in base["spec"]["roles"].items()} if base else {}
    objective = decide_objective(request, profiles[0], base, choices)
    profiles = [with_sides(each) for each in profiles]
    profile = together(profiles, ids, objective.roles)
    if (
        base
        and (lent := base_roles.get(lender(objective.request_role, {"objective": objective}, base["spec"]))) is not None
    ):
        base_roles[objective.request_role] = lent
    roles = decide_roles(request, profile, objective, base_roles, choices)
    check_fit(objective, roles)
    if request.evaluation is not None:
        check_words(objective, roles)
    for role, other in objective.shared_roles(roles, base_roles).items():
        roles[role] = roles[role].model_copy(update={"like": other, "modality": roles[other].modality})
        choices.note(f"roles.{role}.like", other, "both are read in the same way")
    for dataset, each in zip(ids, profiles, strict=True):
        check_rows(objective, each, dataset if len(ids) > 1 else None)
    check_classes(objective, profile)
    data = _data(request, profile, objective, roles, bool(base))
    objective = settled(request, objective, data, base, choices)
    for role, part in roles.items():
        if part.encoder is not None and part.dimensions is None:
            dimensions = objective.default_dimensions(data)
            if dimensions is not None:
                roles[role] = part.model_copy(update={"dimensions": dimensions})
                choices.note(f"roles.{role}.dimensions", dimensions, f"for {data.shape.count} numbers per row")
    inputs = [part.modality.name for role, part in roles.items() if role != "target"]
    augmentation, reason = choose(
        request.augmentation, inputs, data.shape, objective.views, objective.default_augmentations(data)
    )
    if not objective.allows_augmentation and augmentation.name != "none":
        raise DoesNotFit(
            f"augmentation {augmentation.name!r} does not fit: {objective.name!r} learns every row as it is; leave it "
            "out",
            param="augmentation",
        )
    augmentation.check({role: part.modality.layout for role, part in roles.items()})
    if isinstance(request.augmentation, Auto):
        choices.note("augmentation", shown(augmentation), reason)
    spec = TrainSpec(
        kind=request.kind,
        datasets=_shares(request, objective, profiles, choices),
        name=request.name or name,
        base_model=base["reference"] if base else None,
        roles=roles,
        objective=objective,
        augmentation=augmentation,
        training=_training(request, objective, data, choices, base),
        evaluation=request.evaluation,
        publish=request.publish,
    )
    return Resolved(spec, choices)


def _data(
    request: TrainRequest,
    profile: Mapping[str, Any],
    objective: ObjectiveSettings,
    roles: Mapping[str, RoleSpec],
    from_base: bool,
) -> TrainingData:
    asked = (request.roles or {}).get(objective.request_role)
    encoder = asked.encoder if asked is not None else request.encoder
    decided = roles[objective.request_role].encoder
    return TrainingData(
        shape=roles[objective.request_role].modality.expected(profile[objective.request_role]),
        rows=usable_rows(objective, profile),
        classes=len(profile["target"].get("classes", ())) or None if "target" in objective.roles else None,
        from_base=from_base,
        length=roles[objective.request_role].modality.length(profile[objective.request_role]),
        settled=not from_base and decided is not None and objective.settles(decided),
        named=from_base or isinstance(encoder, EncoderSettings),
    )


def _shares(
    request: TrainRequest,
    objective: ObjectiveSettings,
    profiles: Sequence[Mapping[str, Any]],
    choices: Choices,
) -> list[DatasetRef]:
    """The datasets with their shares of what is drawn."""
    refs = request.dataset_refs
    if objective.solved and (request.mixture is not None or (len(refs) > 1 and refs[0].weight is not None)):
        raise DoesNotFit(
            f"objective {objective.name!r} reads every row of all datasets once; leave weights and mixture out",
            param="mixture" if request.mixture is not None else "datasets[0].weight",
        )
    rows = [usable_rows(objective, profile) for profile in profiles]
    temperature = (request.mixture or Mixture()).temperature
    found = shares(rows, [ref.weight for ref in refs], temperature)
    if len(refs) > 1 and refs[0].weight is None:
        reason = f"in proportion to rows^(1/{temperature:g}) of {', '.join(f'{count:,}' for count in rows)} rows"
        choices.note("datasets", [round(share, 4) for share in found], reason)
    return [ref.model_copy(update={"weight": share}) for ref, share in zip(refs, found, strict=True)]


def _training(
    request: TrainRequest,
    objective: ObjectiveSettings,
    data: TrainingData,
    choices: Choices,
    base: Mapping[str, Any] | None,
) -> ResolvedTraining:
    asked = request.training.model_dump()
    recipe, reason = objective.default_training(data)
    if base is not None and continues(request.kind, {"objective": {"name": objective.name}}, base["spec"]):
        recipe = {**recipe, "learning_rate": GRAFT_RATE * recipe["learning_rate"], "encoder_rate": 1.0}
        reason = f"{reason}; the rate is {GRAFT_RATE:g} of a beginner's, so that little of what is known is undone"
    values: dict[str, Any] = {**AUTO_TRAINING, "weight_decay": 0.01, "encoder_rate": 1.0, **recipe}
    if asked["optimizer"] == "adam":
        values |= {"weight_decay": 0.0}  # plain Adam is asked for by those who want it as published
    if asked["schedule"] == "constant":
        values |= {"warmup": 0.0}
    if asked["max_seconds"] is None and asked["epochs"] == "auto" and "max_seconds" in recipe:
        asked["max_seconds"] = recipe["max_seconds"]
        choices.note("training.max_seconds", recipe["max_seconds"], "rows are dear; epochs or max_seconds lift it")
    for key, value in asked.items():
        if value != "auto" or key == "precision":
            values[key] = value
        elif key != "early_stopping":
            choices.note(f"training.{key}", values[key], reason if key in recipe else USUAL)
    values["learning_rate"] *= values.pop("learning_rate_multiplier")
    if asked["early_stopping"] == "auto":
        values["early_stopping"] = EarlyStopping(patience=max(5, min(100, values["epochs"]) // 3))
        choices.note(
            "training.early_stopping.patience", values["early_stopping"].patience, "a third of the validations"
        )
    return ResolvedTraining.model_validate(values)
