"""Guesses which column is asked for: labels, values or tags; a name decides between equals.

Knows no file and reads no row. Every guess is written into the plan, in words, and so is what kept it from one.
"""

import re
from collections.abc import Sequence

from worker.ingest.faults import Faults, some
from worker.ingest.planning.names import (
    CAPTION_NAMES,
    GROUP_NAME,
    LABEL_NAMES,
    ROW_NUMBERS,
    SPLIT_NAME,
    WORDS,
    is_date,
    is_few,
    is_numbering,
)
from worker.ingest.planning.plan import Part, Plan
from worker.ingest.source import Head

QUANTITIES = ("target", "targets", "y")
"""Those of them that may be quantities."""
ROWS_OF_A_CLASS = 4
"""In the mean, at least, if whole numbers of such a name are classes."""
VALUE_NAME = re.compile(
    r"(.*[_ ]|sale|house)?(price|cost|value|score|rating|quality|sales|salary|revenue|amount|demand|yield|medv|mpg)",
    re.IGNORECASE,
)
"""Names of a last column by which it is what is asked for."""


def find(plan: Plan, left: dict[str, Head], *, has_input: bool, faults: Faults) -> None:
    """Adds the target to the plan and takes its column out of `left`; or says what could be one."""
    several = [head for head in left.values() if head.ragged == "boxes" or _is_tags(head)]
    if several:
        plan.parts["target"] = Part(several[0].ragged, [left.pop(several[0].name).name])
        if several[0].ragged == "tags":
            plan.inferred["tags"] = f"{several[0].name!r}, lists of labels"
        return
    has_input = has_input or any(not head.is_plain and head.is_number for head in left.values())
    plain = [head for head in left.values() if head.is_plain and head.name != SPLIT_NAME]
    read = plan.parts["input"].modality if "input" in plan.parts else None
    said = {head.name for head in plain if has_input and read != "text" and _is_caption(head)}
    plain = [head for head in plain if head.name not in said and not (said and GROUP_NAME.fullmatch(head.name))]
    head = _find_target(plan, plain, has_input=has_input, faults=faults)
    if head is not None:
        plan.parts["target"] = Part("numbers" if "value" in plan.inferred else "classes", [left.pop(head.name).name])
    elif able := _able(plain, has_input):
        plan.inferred["target"] = (
            f"few different values in {some(able)}: call the one to be told 'label' in the file, or make the "
            "dataset with columns.label naming it, or with columns.value naming numbers to tell"
        )


def _able(plain: Sequence[Head], has_input: bool) -> list[str]:
    """Columns that may have been meant as the label: stars beside a review, and among numbers those of few values where
    others have many."""
    apart = has_input or any(head.is_number and not is_few(head) and not is_numbering(head) for head in plain)
    few = [head for head in plain if head.distinct > 1 and is_few(head) and not (is_numbering(head) or is_date(head))]
    return [head.name for head in few if head.is_text or apart]


def _find_target(plan: Plan, plain: Sequence[Head], *, has_input: bool, faults: Faults) -> Head | None:
    """The column of labels or of values; which of the two is said in the plan."""
    by_name = {head.name.casefold(): head for head in plain}
    for name in LABEL_NAMES:
        if name in by_name:
            head = by_name[name]
            plan.inferred["value" if _is_value(head) else "label"] = f"{head.name!r}, by its name"
            return head
    ends = [head for head in plain if not is_numbering(head)]
    if ends and ends[-1].is_number and VALUE_NAME.fullmatch(ends[-1].name):
        plan.inferred["label" if is_few(ends[-1]) else "value"] = f"{ends[-1].name!r}, the last column, by its name"
        return ends[-1]
    no_label = [ROW_NUMBERS]
    if any(head.is_text and not is_few(head) for head in plain):  # a speaker beside what is said is no class
        no_label.append(GROUP_NAME)
    texts = [head for head in plain if head.is_text and is_few(head) and not _is_called(head, no_label)]
    if len(texts) == 1 and (has_input or texts[0] in (ends[0], ends[-1])):
        plan.inferred["label"] = (
            f"{texts[0].name!r}, the only text column with few distinct values; columns.label or columns.value names "
            "another, columns.features makes it a feature"
        )
        return texts[0]
    if not has_input:
        return None
    beside = [head for head in ends if head.origin == "array" or (len(plain) == 1 and is_few(head))]
    for kinds in ("biuSU", "f"):  # whole numbers and strings first; floats hold a NaN where a label is withheld
        fitting = [head for head in beside if head.dtype.kind in kinds]
        if len(fitting) > 1:
            names = ", ".join(repr(head.name) for head in fitting)
            faults.add("ambiguous_columns", f"each of {names} could be the label; name one in columns.label")
            return None
        if fitting:
            kind = "value" if _is_value(fitting[0]) else "label"
            plan.inferred[kind] = f"{fitting[0].name!r}, one value per row beside the input"
            return fitting[0]
    return None


def _is_caption(head: Head) -> bool:
    """Whether it is no label beside what it says something of, however few captions there are."""
    name = head.name.casefold()
    return name in ("caption", "captions") or (head.words >= WORDS and name in CAPTION_NAMES)


def _is_called(head: Head, names: Sequence[re.Pattern[str]]) -> bool:
    return any(name.fullmatch(head.name) for name in names)


def _is_value(head: Head) -> bool:
    """Whether a column that is named like a target is a quantity: by fractions, or by rows that hardly share one."""
    shared = head.name.casefold() not in QUANTITIES or head.distinct * ROWS_OF_A_CLASS <= head.sampled
    return head.is_number and not is_few(head) and (head.fractions or not shared)


def _is_tags(head: Head) -> bool:
    return head.ragged == "tags" and head.name.casefold() in ("tags", *LABEL_NAMES)
