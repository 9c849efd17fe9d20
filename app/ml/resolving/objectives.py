"""What a training request is to learn: its objective, where it names none, and what of that depends on the data.

Takes profiles and specs as JSON; knows no registry.
"""

from collections.abc import Mapping
from typing import Any

from app.errors import DoesNotFit
from app.ml.build import continues
from app.ml.jobs.network import OBJECTIVE
from app.ml.jobs.train import TrainRequest
from app.ml.modalities.base import Modality
from app.ml.objectives.base import ObjectiveSettings
from app.ml.objectives.parts.training_defaults import TrainingData
from app.ml.plugins import Auto, complete, find
from app.ml.resolving.choices import Choices
from app.ml.resolving.roles import lacks


def decide_objective(
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
            raise lacks("target", "a finetune job without objective", profile, beside=_beside(base))
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


def settled(
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


def _goes_on(kind: str, base: Mapping[str, Any], profile: Mapping[str, Any]) -> bool:
    """Whether a job without objective takes that of its base: a fine-tuning does where the dataset has its roles, and
    nothing that it would leave aside to be told."""
    roles = OBJECTIVE.validate_python(base["objective"]).roles
    fits = all(profile.get(role) for role in roles) and ("target" in roles or profile["target"] is None)
    return continues(kind, base, base) and (kind == "pretrain" or fits)


def _beside(base: Mapping[str, Any] | None) -> str:
    """With which other data a fine-tuning would go on with what its base learned."""
    if base is None or not continues("finetune", base["spec"], base["spec"]):
        return ""
    objective = OBJECTIVE.validate_python(base["spec"]["objective"])
    return f"; with {' and '.join(map(repr, objective.roles))} it would go on with {objective.name!r}, as its base does"


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
