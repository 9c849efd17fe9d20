"""Several datasets of a job, read as one: whether they go together, what is known of them, how often each is drawn.

Takes profiles as JSON; knows no registry and no file.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.dataset_options import PLAYS
from app.errors import DatasetsDiffer, DoesNotFit, OutOfRange, UnknownChoice
from app.ml.modalities.base import Modality, added
from app.ml.modalities.parts.columns import listed
from app.ml.objectives.base import ObjectiveSettings
from app.ml.plugins import find

Profile = Mapping[str, Any]


def together(profiles: Sequence[Profile], ids: Sequence[str], needed: Collection[str]) -> dict[str, Any]:
    """The profile of the rows of all datasets: of one alone, its own.

    The roles `needed` must be of one kind in all datasets; others are known as far as they are. Raises DatasetsDiffer
    that names the dataset, the role and how it differs.
    """
    joint = dict(profiles[0])
    for place, (profile, name) in enumerate(zip(profiles, ids, strict=True)):
        if place == 0:
            continue
        for role in dict.fromkeys([*_roles(joint), *_roles(profile), *needed]):
            try:
                joint[role] = _role(joint, profile, role, needed=role in needed)
            except DoesNotFit as error:
                if role in needed:
                    raise DatasetsDiffer(
                        f"datasets[{place}].id: dataset {name} does not go with {ids[0]} as {role!r}: {error.message}",
                        param=f"datasets[{place}].id",
                    ) from None
                joint[role] = None
        joint |= {key: added(joint[key], profile[key]) for key in ("rows", "splits")}
    return joint


def shares(rows: Sequence[int], weights: Sequence[float | None], temperature: float) -> list[float]:
    """How much of what is drawn comes from each dataset; they add up to 1.

    In proportion to the weights, or where there are none to rows^(1/temperature) (Conneau 2019): at 1 every row is
    drawn as often as any other, and at infinity every dataset.
    """
    given = [
        weight if weight is not None else float(count) ** (1 / temperature)
        for count, weight in zip(rows, weights, strict=True)
    ]
    return [each / sum(given) for each in given]


def usable_rows(objective: ObjectiveSettings, profile: Mapping[str, Any], split: str = "train") -> int:
    """Rows of a split that have everything the objective needs."""
    counts = [int(profile["splits"].get(split, 0))]
    for role in objective.roles:
        held = profile[role].get("splits", {}).get(split)  # absent where every row has the role
        if held is not None:
            counts.append(sum(held.values()) if isinstance(held, Mapping) else int(held))
    return min(counts)


def check_rows(objective: ObjectiveSettings, profile: Mapping[str, Any], dataset: str | None) -> None:
    rows = usable_rows(objective, profile)
    what = f"{'labelled ' if 'target' in objective.roles else ''}row{'' if rows == 1 else 's'}"
    if rows < 2:
        whose = f" of dataset {dataset}" if dataset is not None else ""
        raise OutOfRange(f"the training split{whose} has {rows} {what}; it needs 2 at least", param="dataset")


def check_classes(objective: ObjectiveSettings, profile: Mapping[str, Any]) -> None:
    target = profile["target"] if "target" in objective.roles else {}
    if target.get("modality") != "classes":
        return
    if len(target["classes"]) < 2:
        raise OutOfRange(
            f"objective {objective.name!r} needs at least 2 classes; the dataset has {sorted(target['classes'])}",
            param="dataset",
        )
    learned = sorted(label for label, rows in target["splits"]["train"].items() if rows)
    for split in ("validation", "test"):
        strange = {label: rows for label, rows in target["splits"][split].items() if rows and label not in learned}
        if strange:
            rows = sum(strange.values())
            raise UnknownChoice(
                f"{rows:,} row{'' if rows == 1 else 's'} of the split {split}: labelled {listed(sorted(strange))}, as "
                f"no training row is; those are {listed(learned)}. Correct the labels, leave them empty, or split "
                "otherwise",
                param="dataset",
            )


def _roles(profile: Profile) -> list[str]:
    known = find("modalities", Modality)
    return [name for name, facts in profile.items() if isinstance(facts, Mapping) and facts.get("modality") in known]


def _role(joint: Profile, profile: Profile, role: str, *, needed: bool) -> Any:
    one, other = joint.get(role), profile.get(role)
    if one is None or other is None:
        if needed:
            raise DoesNotFit(f"{'it' if other is None else 'the other'} has none")
        return one or other
    if one["modality"] != other["modality"]:
        raise DoesNotFit(f"it is {other['modality']!r}, not {one['modality']!r}")
    modality: type[Modality] = find("modalities", Modality)[one["modality"]]
    return modality.together(_facts(joint, role), _facts(profile, role))


def _facts(profile: Profile, role: str) -> dict[str, Any]:
    """What the profile says of a role, with the names of its columns and whether some were left out."""
    columns = profile.get("columns", ())
    names = [column["name"] for column in columns if column["plays"] in (role, PLAYS.get(role))]
    changed = profile.get("cleaning", {}).get("changed", {})
    return {"names": names, "constant": changed.get("constant_columns", 0), **profile[role]}
