"""Decides whatever a training request left open, and says why.

Takes profiles and specs as JSON; knows no registry. The recipes themselves belong to the objectives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from app.errors import DoesNotFit
from app.ml.build import continues, lender
from app.ml.encoders.base import EncoderSettings
from app.ml.jobs.network import AnyObjective, RoleSpec
from app.ml.jobs.optimization import EarlyStopping, ResolvedTraining
from app.ml.jobs.train import DatasetRef, Mixture, TrainRequest, TrainSpec
from app.ml.modalities.base import Modality
from app.ml.objectives.base import ObjectiveSettings
from app.ml.objectives.parts.training_defaults import GRAFT_RATE, TrainingData
from app.ml.plugins import Auto, complete, find
from app.ml.resolving.augmenting import choose, shown
from app.ml.resolving.choices import Choices
from app.ml.resolving.domains import check_classes, check_rows, shares, together, usable_rows
from app.ml.resolving.fit import check_fit, check_words
from app.ml.resolving.roles import decide_roles, lacks

OBJECTIVE: TypeAdapter[ObjectiveSettings] = TypeAdapter(AnyObjective)
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
    profile = profiles[0]
    ids = [ref.id for ref in request.dataset_refs]
    base_roles = {k: RoleSpec.model_validate(v) for k, v in base["spec"]["roles"].items()} if base else {}
    objective = _objective(request, profile, base, choices)
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
    objective = _settled(request, objective, data, base, choices)
    for role, part in roles.items():
        if part.encoder is not None and part.dimensions is None:
            dimensions = objective.default_dimensions(data)
            if dimensions is not None:
                roles[role] = part.model_copy(update={"dimensions": dimensions})
                choices.note(f"roles.{role}.dimensions", dimensions, f"for {data.shape.count} numbers per row")
    inputs = [part.modality.name for role, part in roles.items() if role != "target"]
    augmentation, reason = choose(
        request.augmentation, inputs, data.shape, objective.views, objective.default_augmentations
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


def _objective(
    request: TrainRequest, profile: Mapping[str, Any], base: Mapping[str, Any] | None, choices: Choices
) -> ObjectiveSettings:
    if not isinstance(request.objective, Auto):
        return request.objective
    given = request.objective.given()
    if base is not None and _goes_on(request.kind, base["spec"], profile):
        name, reason = base["spec"]["objective"]["name"], "the objective of the base model, with its settings"
        given = base["spec"]["objective"] | given
    elif request.kind == "finetune":
        if profile["target"] is None:
            raise lacks("target", "a finetune job without objective", profile)
        name, reason = _for_target(profile["target"]["modality"])
    elif profile.get("input") is None and profile.get("right") is not None:
        name, reason = "alignment", "the dataset holds pairs"
    elif profile.get("input") is None and profile.get("source") is not None:
        name, reason = "translation", "the dataset holds texts and what becomes of them"
    elif profile.get("input") is None:
        raise lacks("input", "a pretraining without objective", profile)
    else:
        facts = profile["input"]
        modality = find("modalities", Modality)[facts["modality"]]
        name, reason = modality.pretext_for(facts | _asked_settings(request), _asked_width(request))
    choices.note("objective", name, reason)
    return complete(OBJECTIVE, name, given, "objective")


def _goes_on(kind: str, base: Mapping[str, Any], profile: Mapping[str, Any]) -> bool:
    """Whether a job without objective takes that of its base: a fine-tuning does where the dataset has its roles."""
    roles = OBJECTIVE.validate_python(base["objective"]).roles
    return continues(kind, base, base) and (kind == "pretrain" or all(profile.get(role) for role in roles))


def _settled(
    request: TrainRequest,
    objective: ObjectiveSettings,
    data: TrainingData,
    base: Mapping[str, Any] | None,
    choices: Choices,
) -> ObjectiveSettings:
    """With the keys that depend on the data; where a job goes on with a base model, as they are there."""
    settings, reason = objective.default_settings(data)
    goes_on = base is not None and continues(request.kind, {"objective": {"name": objective.name}}, base["spec"])
    for key in [key for key in settings if getattr(objective, key) is None]:
        if base is not None and goes_on:
            settings[key] = base["spec"]["objective"].get(key)  # None where it was trained before there was the key
        choices.note(f"objective.{key}", settings[key], "from the base model" if goes_on else reason)
    return objective.model_copy(update=settings)


def _asked_width(request: TrainRequest) -> int | None:
    """Of the embedding, where the client says it."""
    part = (request.roles or {}).get("input")
    encoder = part.encoder if part is not None else request.encoder
    width = encoder.given().get("dimensions") if isinstance(encoder, Auto) else encoder and encoder.dimensions
    return width if isinstance(width, int) else None


def _asked_settings(request: TrainRequest) -> dict[str, Any]:
    """What the client says of how the input is to be read."""
    part = (request.roles or {}).get("input")
    asked = part.modality if part is not None else request.modality
    given = asked.given() if isinstance(asked, Auto) else asked.model_dump() if asked is not None else {}
    return {name: value for name, value in given.items() if value is not None}


def _for_target(modality: str) -> tuple[str, str]:
    """The objective that predicts such a target, and why."""
    modalities = find("modalities", Modality)
    layouts = set[str]()
    for name, objective in find("objectives", ObjectiveSettings).items():
        if "target" in objective.roles:
            if modalities[modality].layout in objective.roles["target"].layouts:
                return name, f"the dataset's target is {modality!r}"
            layouts |= objective.roles["target"].layouts
    known = ", ".join(repr(name) for name, each in modalities.items() if each.layout in layouts)
    raise DoesNotFit(f"no objective predicts a target of modality {modality!r}, only {known}", param="dataset")


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
        settled=not from_base and decided is not None and "kernels" in decided.capabilities,
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
