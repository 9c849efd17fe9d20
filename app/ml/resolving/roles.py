"""What each role of a training is made of: its modality, its encoder and the width of the encoder's answer.

Taken from the request, else from the base model, else decided from the dataset's profile.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.dataset_roles import SIDES
from app.errors import DoesNotFit, WrongShape
from app.ml.encoders.base import EncoderSettings
from app.ml.jobs.network import ENCODER, MODALITY, RoleSpec
from app.ml.jobs.train import RoleRequest, TrainRequest
from app.ml.modalities.base import Modality
from app.ml.objectives.base import ObjectiveSettings, RoleNeeds
from app.ml.plugins import Auto, complete, find
from app.ml.resolving.choices import Choices
from app.ml.resolving.domains import usable_rows
from app.ml.resolving.fit import readers, where_from
from app.ml.tensors.shapes import Shape

NOUNS = {"target": "labels"}
FILED = ("image", "audio")
FOLDERS = (
    "in an archive they are the innermost folders, or stand in a table beside the files with the name of each; beside "
    "an array, in another one"
)
"""Where labels of pictures and recordings come from."""
NAMED = 5


def decide_roles(
    request: TrainRequest,
    profile: Mapping[str, Any],
    objective: ObjectiveSettings,
    base: Mapping[str, RoleSpec],
    choices: Choices,
) -> dict[str, RoleSpec]:
    """By role; `base` are the roles of the base model. Raises DoesNotFit and WrongShape that name what does not go."""
    asked = dict(request.roles or {})
    if request.modality is not None or request.encoder is not None:
        asked["input"] = RoleRequest(modality=request.modality or Auto(), encoder=request.encoder)
    for role in asked:
        if role not in objective.roles:
            raise DoesNotFit(
                f"objective {objective.name!r} has no role {role!r}, only {sorted(objective.roles)}",
                param=f"roles.{role}",
            )
    for role in objective.roles:
        if profile.get(role) is None:
            raise lacks(role, f"objective {objective.name!r}", profile, readers(objective.roles[role].layouts))
    rows = usable_rows(objective, profile)
    roles: dict[str, RoleSpec] = {}
    for role, needs in objective.roles.items():
        facts = profile[role]
        part = asked.get(role, RoleRequest())
        if role in base and (needs.encoded or facts["modality"] == base[role].modality.name == "text"):
            _check_lent(role, base, needs)
            _check_base(facts, base[role])
            modality, encoder = base[role].modality, base[role].encoder
            if needs.encoded:
                choices.note(f"roles.{role}.encoder", encoder.name if encoder else None, "from the base model")
            else:
                choices.note(f"roles.{role}.modality", modality.name, "with the vocabulary of the base model")
        else:
            named = part.encoder.name if isinstance(part.encoder, EncoderSettings) else None
            reads = objective.modality_defaults_for(facts, named) if needs.encoded else objective.modality_defaults
            modality = _modality(part.modality, facts, role, needs, reads, choices).completed(facts).named(facts)
            encoder = None
            if needs.encoded:
                shape = modality.expected(facts)
                encoder = _encoder(part.encoder, shape, objective, rows, role, choices)
                encoder = _settled(encoder, shape, needs.place, role, choices)
                encoder.check(shape)
        dimensions = encoder.dimensions if encoder is not None else None
        if role in base:  # a graft reads the encoder's features, not the narrow code of its base
            dimensions = base[role].dimensions if objective.keeps_dimensions else None
        roles[role] = RoleSpec(
            modality=modality, encoder=encoder, dimensions=dimensions, shape=list(facts.get("shape", ()))
        )
    return roles


def lacks(
    role: str, who: str, profile: Mapping[str, Any], kinds: Collection[str] = ("classes",), beside: str = ""
) -> DoesNotFit:
    """`who` needs the role, and the dataset has none: also why, or how it would; it takes targets of `kinds`.

    `beside` is what else would do.
    """
    why = profile.get("inferred", {}).get(role)
    if role == "input" and profile.get("source") and profile.get("target"):
        why = "'translation' and 'alignment' take its pairs as they are"
    if role in ("source", *SIDES) and why is None:
        why = _pairs(role, _texts(profile))
    if role == "caption" and (labels := profile.get("target")) and labels["modality"] == "classes":
        why = (
            f"where its labels are what belongs to the inputs, name them: columns {json.dumps({role: labels['name']})}"
        )
    elif role == "caption":
        why = f"{role}s are a column of texts, or in an archive a text beside each file, called like it"
    if role == "target":
        filed = "classes" in kinds and profile.get("modality") in FILED
        why = why or _unlabelled(profile) or (FOLDERS if filed else where_from(kinds))
    noun = "boxes" if set(kinds) == {"boxes"} else NOUNS.get(role, role)
    told = f" ({why})" if why else ""
    return DoesNotFit(f"{who} needs {noun}, and the dataset has none{told}{beside}", param="dataset")


def _pairs(role: str, texts: Sequence[str]) -> str:
    """How texts become pairs."""
    pair = {"source": "…", "target": "…"} if role == "source" else {"left": "…", "right": "…"}
    columns = json.dumps(pair, ensure_ascii=False)
    if len(texts) > 1:
        return f"name two of its texts {_listed(texts)} when you make it: columns {columns}"
    return f"pairs are two columns of a table, or two files of which line belongs to line: columns {columns}"


def _unlabelled(profile: Mapping[str, Any]) -> str | None:
    """Why a dataset has no labels, where its columns tell."""
    columns = profile.get("columns", ())
    empty = [each["name"] for each in columns if each["plays"] == "label"]
    if empty:
        return f"all cells of its column {empty[0]!r} are empty"
    unused = [each["name"] for each in columns if each["plays"] == "ignored"]
    named = 'columns {"label": "…"}, or of texts and what becomes of them {"source": "…", "target": "…"}'
    return (
        f"it leaves aside {_listed(unused)}; call what is to be told 'label' in the file, or name it: {named}"
        if unused
        else None
    )


def _texts(profile: Mapping[str, Any]) -> list[str]:
    """Columns of texts that play nothing but what goes in."""
    free = (each for each in profile.get("columns", ()) if each["plays"] in ("features", "ignored", "caption"))
    return [each["name"] for each in free if each["type"] == "text"]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:NAMED])) + (" …" if names[NAMED:] else "")


def _check_lent(role: str, base: Mapping[str, RoleSpec], needs: RoleNeeds) -> None:
    if needs.encoded and base[role].encoder is None:  # a voice reads captions alone
        reads = {name: each.modality.name for name, each in base.items() if each.encoder is not None}
        raise DoesNotFit(
            f"the base model reads {' and '.join(f'{kind!r} as {name}' for name, kind in reads.items())}, and lends no "
            f"encoder of {role!r}; what goes on from it needs data with a {' and a '.join(reads)}",
            param="base_model",
        )


def _check_base(facts: Mapping[str, Any], base: RoleSpec) -> None:
    if facts["modality"] != base.modality.name:
        raise DoesNotFit(
            f"the base model reads {base.modality.name!r}, and the dataset holds {facts['modality']!r}",
            param="base_model",
        )
    shape = list(facts.get("shape", ()))
    if base.modality.layout == "vector" and shape != base.shape:
        difference = base.modality.difference(facts)
        raise WrongShape(
            f"the base model reads rows of {base.shape[0]} numbers, and the dataset's have {shape[0]}"
            + (f": {difference}" if difference else ""),
            param="base_model",
        )
    if base.modality.layout == "vector" and base.modality.completed(facts) != base.modality:
        raise DoesNotFit(
            "the base model reads numbers without gaps, and the dataset has categories or gaps", param="base_model"
        )


def _modality(
    asked: Modality | Auto,
    facts: Mapping[str, Any],
    role: str,
    needs: RoleNeeds,
    reads: Mapping[str, Any],
    choices: Choices,
) -> Modality:
    name = _reader(facts["modality"], needs)
    if isinstance(asked, Auto):
        choices.note(f"roles.{role}.modality", name, f"the dataset's column {facts['name']!r}")
        asked = complete(MODALITY, name, asked.given(), "modality")
    if facts["modality"] not in (asked.name, asked.reads):
        raise DoesNotFit(
            f"modality {asked.name!r} does not fit: the dataset's column {facts['name']!r} is {facts['modality']!r}",
            param="modality",
        )
    left = {key: value for key, value in reads.items() if getattr(asked, key, value) in (None, "auto")}
    for key, value in left.items():
        choices.note(f"roles.{role}.modality.{key}", value, "what the objective reads")
    return complete(MODALITY, asked.name, asked.model_dump(exclude_unset=True) | left, "modality")


def _reader(kind: str, needs: RoleNeeds) -> str:
    """The modality that sees columns of this kind as the objective needs them; their own where none does."""
    found = find("modalities", Modality)
    if found[kind].layout in needs.layouts:
        return kind
    return next((name for name, each in found.items() if each.reads == kind and each.layout in needs.layouts), kind)


def _encoder(
    asked: EncoderSettings | Auto | None,
    shape: Shape,
    objective: ObjectiveSettings,
    rows: int,
    role: str,
    choices: Choices,
) -> EncoderSettings:
    if isinstance(asked, EncoderSettings):
        return asked
    name, reason = objective.default_encoder(shape, rows)
    choices.note(f"roles.{role}.encoder", name, reason)
    given = asked.given() if asked else {}
    size, reason = objective.encoder_size(name, shape, rows)
    for key, value in size.items() if "preset" not in given else ():
        if key not in given:
            choices.note(f"roles.{role}.encoder.{key}", value, reason)
            given[key] = value
    return complete(ENCODER, name, given, "encoder")


def _settled(encoder: EncoderSettings, shape: Shape, place: int | None, role: str, choices: Choices) -> EncoderSettings:
    """With the keys that depend on what it reads, where they are open."""
    settings, reason = encoder.default_settings(shape, place)
    left = {key: value for key, value in settings.items() if getattr(encoder, key) is None}
    for key, value in left.items():
        choices.note(f"roles.{role}.encoder.{key}", value, reason)
    return encoder.model_copy(update=left)
