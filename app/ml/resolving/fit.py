"""Refuses parts that cannot work together, from what they declare, before anything is queued."""

from collections.abc import Collection, Iterable, Mapping

from app.errors import DoesNotFit
from app.ml.encoders.base import EncoderSettings
from app.ml.jobs.network import RoleSpec
from app.ml.modalities.base import Modality
from app.ml.objectives.base import ObjectiveSettings, RoleNeeds
from app.ml.plugins import find
from app.ml.tensors.shapes import Layout

TARGETS = {
    "classes": "a column 'label' holds classes, or columns.label of a dataset names one that does",
    "numbers": "columns.value of a dataset names a column of numbers to be told",
    "tags": "columns.tags of a dataset names a column of lists of labels",
    "boxes": "boxes are read from files of COCO, Pascal VOC, YOLO or CSV among the pictures",
}
"""Kinds of targets, and where they come from."""


def check_fit(objective: ObjectiveSettings, roles: Mapping[str, RoleSpec]) -> None:
    """Raises DoesNotFit naming the part, its value and what would fit."""
    for role, needs in objective.roles.items():
        if role not in roles:
            raise DoesNotFit(f"objective {objective.name!r} needs the role {role!r}", param="roles")
        _check_role(objective, role, needs, roles[role])
    objective.check({role: spec.modality.layout for role, spec in roles.items()})


def _check_role(objective: ObjectiveSettings, role: str, needs: RoleNeeds, spec: RoleSpec) -> None:
    layout = spec.modality.layout
    if layout not in needs.layouts:
        fitting = readers(needs.layouts)
        where = where_from(fitting) if role == "target" else None
        more = f"; {where}" if where else ""
        raise DoesNotFit(
            f"objective {objective.name!r} cannot use modality {spec.modality.name!r} as {role!r}; "
            f"it takes {_either(fitting)}{more}",
            param="objective",
        )
    if not needs.encoded or spec.encoder is None:
        return
    encoders = find("encoders", EncoderSettings)
    if layout not in spec.encoder.accepts:
        fitting = [name for name, plugin in encoders.items() if layout in plugin.accepts]
        raise DoesNotFit(
            f"encoder {spec.encoder.name!r} cannot read modality {spec.modality.name!r}; {_either(fitting)} can",
            param="encoder",
        )
    if not needs.capabilities <= spec.encoder.capabilities:
        fitting = [name for name, plugin in encoders.items() if needs.capabilities <= plugin.capabilities]
        raise DoesNotFit(
            f"objective {objective.name!r} needs an encoder with {sorted(needs.capabilities)}, "
            f"as {_either(fitting)} has, and {spec.encoder.name!r} has not",
            param="encoder",
        )
    if spec.dimensions is not None and "embed" not in objective.abilities:
        raise DoesNotFit(
            f"encoder.dimensions {spec.dimensions} does not fit: it is the width of embeddings, and objective "
            f"{objective.name!r} makes a model that can {', '.join(sorted(objective.abilities))} alone; leave it out",
            param="encoder.dimensions",
        )


def readers(layouts: Collection[Layout]) -> list[str]:
    """The modalities of such layouts."""
    return [name for name, plugin in find("modalities", Modality).items() if plugin.layout in layouts]


def where_from(kinds: Collection[str]) -> str | None:
    """How a dataset comes to the first of such targets that has a way of its own."""
    return next((said for kind, said in TARGETS.items() if kind in kinds), None)


def _either(names: Iterable[str]) -> str:
    return " or ".join(repr(name) for name in names) or "none of those at hand"


def check_words(objective: ObjectiveSettings, roles: Mapping[str, RoleSpec]) -> None:
    """Raises DoesNotFit where a model could not be asked about single words."""
    modality = roles[objective.request_role].modality
    if modality.name != "text" or "embed" not in objective.abilities:
        raise DoesNotFit(
            f"evaluation: its words are for models that embed texts, and objective {objective.name!r} makes one of "
            f"{modality.name!r} that can {', '.join(sorted(objective.abilities))}",
            param="evaluation",
        )
