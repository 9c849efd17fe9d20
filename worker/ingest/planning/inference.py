"""Guesses what a column plays from its type, its shape and its first values; a name decides between equals.

Knows no file and reads no row. Every guess is written into the plan, in words.
"""

from collections.abc import Mapping, Sequence
from math import prod

from app.dataset_options import DatasetOptions
from worker.ingest.faults import Faults, shown, some
from worker.ingest.planning import targets
from worker.ingest.planning.names import (
    CAPTION_NAMES,
    GROUP_NAME,
    LABEL_NAMES,
    SPLIT_NAME,
    TEXT_NAMES,
    WORDS,
    is_few,
    is_numbering,
    is_prose,
)
from worker.ingest.planning.plan import INPUTS, Part, Plan
from worker.ingest.source import Head

PAIRS = {
    ("source", "target"): ("source", "target"),
    ("left", "right"): ("left", "right"),
    ("anchor", "positive"): ("left", "right"),
    ("query", "answer"): ("left", "right"),
    ("question", "answer"): ("left", "right"),
    ("premise", "hypothesis"): ("left", "right"),
    ("prompt", "completion"): ("source", "target"),
    ("prompt", "response"): ("source", "target"),
    ("instruction", "response"): ("source", "target"),
    ("instruction", "output"): ("source", "target"),
    ("input", "output"): ("source", "target"),
    ("sentence1", "sentence2"): ("left", "right"),
    ("text1", "text2"): ("left", "right"),
}
"""Names of two text columns, and the roles that they play."""
NEGATIVE_NAME, WEIGHT_NAME = "negative", "weight"
WHOLE = {"text": "texts", "audio": "recordings"}
"""Modalities whose input cannot be made from numbers."""
LISTED = 20
NAME_CATEGORIES = "name several in columns.features to read names as categories"
NAME_ONE = "name one in columns.text to read texts, or several in columns.features to read names as categories"
NEITHER = "neither numbers nor text"
OBJECTS = 'write what matters of objects into keys of their own, such as {"source": …, "target": …}'
CHAT = "messages"
NO_CHAT = 'conversations are read as lists of {"role": …, "content": …} whose contents are texts'


def complete(plan: Plan, known: Mapping[str, Head], options: DatasetOptions, faults: Faults) -> None:
    """Adds what was not asked for: split, input, label."""
    left = {name: head for name, head in known.items() if name not in set(plan.used())}
    if plan.split is None and options.split is None and SPLIT_NAME in left and left[SPLIT_NAME].dtype.kind in "SU":
        plan.split = left.pop(SPLIT_NAME).name
        plan.inferred["split"] = "the text column named 'split'"
    if not any(role in plan.parts for role in INPUTS):
        _find_input(plan, left, options)
    has_input = any(role in plan.parts for role in INPUTS)
    if "target" not in plan.parts and "source" not in plan.parts:
        targets.find(plan, left, has_input=has_input, faults=faults)
    if not has_input and not faults.total:
        if options.modality in WHOLE:
            wanted = f"{WHOLE[options.modality]}, as modality {options.modality} needs"
            faults.add("no_input", f"no column holds {wanted}; {_there(plan, left)}")
            return
        _find_numbers(plan, left, options, faults)
    if not faults.total and "caption" not in plan.parts:
        _find_caption(plan, left)
    plan.parts = dict(sorted(plan.parts.items(), key=lambda item: item[0] not in INPUTS))  # what goes in comes first


def likely_group(plan: Plan, known: Mapping[str, Head]) -> str | None:
    """The column that may have been meant as group, where rows are drawn without one: not used, or a feature."""
    if plan.group is not None or plan.split is not None:
        return None
    features = plan.parts["input"].columns if "input" in plan.parts and plan.modality == "vectors" else []
    free = [known[name] for name in (*plan.ignored, *features) if GROUP_NAME.fullmatch(name)]
    return next((head.name for head in free if head.is_plain and (head.is_text or head.is_number)), None)


def modality(head: Head) -> str:
    """Of a column that is one side of a pair."""
    if head.ragged:
        return head.ragged
    if head.is_number:
        return "image" if _may_be_pictures(head) else "vectors"
    return "text"


def is_pictures(known: Mapping[str, Head], columns: Sequence[str]) -> bool:
    return len(columns) == 1 and _may_be_pictures(known[columns[0]])


def _may_be_pictures(head: Head) -> bool:
    return len(head.shape) in (2, 3) and not head.is_series


def categories(known: Mapping[str, Head], columns: Sequence[str]) -> list[str]:
    """Those of the columns that hold names."""
    return [name for name in columns if known[name].is_text and not known[name].shape]


def _find_input(plan: Plan, left: dict[str, Head], options: DatasetOptions) -> None:
    """Recordings, pairs of texts, or a text; numbers and pictures come after the label has been found."""
    asked = options.modality
    sounds = [head for head in left.values() if head.ragged == "audio"]
    if sounds and asked in ("auto", "audio"):
        plan.parts["input"] = Part("audio", [left.pop(sounds[0].name).name])
        plan.inferred["modality"] = "audio: the files are recordings"
        return
    if asked not in ("auto", "text"):
        return
    if asked == "auto" and any(is_pictures(left, [name]) for name in left):
        return  # texts beside pictures are their captions
    texts = {head.name: head for head in left.values() if head.is_text and head.name != SPLIT_NAME}
    by_name = {name.casefold(): name for name in texts}
    for pair, roles in PAIRS.items():
        if all(name in by_name and texts[by_name[name]].words >= 1 for name in pair):
            chosen = [by_name[name] for name in pair]
            few = [is_few(texts[name]) for name in chosen]
            if not any(few) or (asked == "text" and (pair == roles or few != [False, True])):  # else the second tells
                for role, name in zip(roles, chosen, strict=True):
                    plan.parts[role] = Part("text", [left.pop(name).name])
                plan.inferred["modality"] = f"text: {chosen[0]!r} and {chosen[1]!r} are {' and '.join(roles)}"
                if "left" in roles and NEGATIVE_NAME in by_name:
                    plan.parts["negative"] = Part("text", [left.pop(by_name[NEGATIVE_NAME]).name])
                    plan.inferred["negative"] = f"{by_name[NEGATIVE_NAME]!r}, by its name"
                _find_weight(plan, left)
                return
    there = {name.casefold() for name in left}
    label = next((name for name in LABEL_NAMES if name in there), None)
    others = [name for name in left if name.casefold() != label]
    alone = asked == "text" or len(others) == 1
    free = [texts[name] for name in others if name in texts]
    free = [head for head in free if alone or (is_prose(head) and not is_few(head))]
    named = [texts[by_name[name]] for name in TEXT_NAMES if name in by_name and texts[by_name[name]] in free]
    numbers = [head for head in left.values() if head.is_number and head.name.casefold() != label]
    if not free or (asked == "auto" and not named and (len(numbers) > 1 or any(not h.is_plain for h in numbers))):
        return  # a table with a column of remarks is a table
    chosen_one = named[0] if named else max(free, key=lambda head: (head.words, head.distinct))
    plan.parts["input"] = Part("text", [left.pop(chosen_one.name).name])
    if asked == "auto":
        plan.inferred["modality"] = (
            f"text: {chosen_one.name!r} has {chosen_one.words:.1f} words per row in the mean of the first"
            f" {chosen_one.sampled:,}"
        )


def _find_weight(plan: Plan, left: dict[str, Head]) -> None:
    """How much a pair counts; in a table of numbers a weight may as well be that of a body."""
    name = next((name for name, head in left.items() if name.casefold() == WEIGHT_NAME and head.is_number), None)
    if name is not None and "weight" not in plan.parts:
        plan.parts["weight"] = Part("numbers", [left.pop(name).name])
        plan.inferred["weight"] = f"{name!r}, by its name"


def _find_numbers(plan: Plan, left: dict[str, Head], options: DatasetOptions, faults: Faults) -> None:
    arrays = [head for head in left.values() if not head.is_plain and head.is_number]
    if len(arrays) > 1:
        names = ", ".join(repr(head.name) for head in arrays)
        faults.add(
            "ambiguous_columns", f"each of {names} could be the input; name one in columns.features or columns.image"
        )
        return
    if arrays:
        columns = [arrays[0].name]
        plan.inferred["features"] = f"{arrays[0].name!r}, the only array with more than one value per row"
    else:
        columns = [head.name for head in left.values() if (head.is_number or _is_category(head)) and head.name]
        numbering = [name for name in columns if is_numbering(left[name])]
        texts = [head for head in left.values() if head.is_text and head.name not in ("", SPLIT_NAME, *numbering)]
        enough = options.modality != "image" and len(texts) > 1  # to be features without a number beside them
        enough = enough and all(is_few(head) and head.words < WORDS for head in texts)
        if numbering and (enough or any(left[name].is_number for name in set(columns) - set(numbering))):
            columns = [name for name in columns if name not in numbering]
            plan.inferred["row numbers"] = f"{some(numbering)}: no features: they only number rows or tell them apart"
        named = [name for name in columns if left[name].is_text]
        if len(named) == len(columns) and not enough:
            asked = options.modality
            needed = f" as modality {asked} needs it" if asked != "auto" else ""
            name_one = {"image": "", "vectors": f"; {NAME_CATEGORIES}"}.get(asked, f"; {NAME_ONE}")
            faults.add("no_input", f"no column can be the input{needed}; {_there(plan, left)}{name_one}")
            return
        count, kind = (len(columns) - len(named) or len(named)), "names" if len(named) == len(columns) else "numbers"
        beside = f" and {len(named)} of names" if named and kind == "numbers" else ""
        plan.inferred["features"] = f"{count} column{'s' if count > 1 else ''} of {kind}{beside}"
    pictures = options.modality == "image" or (options.modality == "auto" and is_pictures(left, columns))
    plan.parts["input"] = Part("image", columns) if pictures else vectors(left, columns)
    if options.modality == "auto":
        first = next((left[name] for name in columns if left[name].is_number), left[columns[0]])
        each = f"{list(first.shape) or 'one value'} of {first.dtype}" if first.is_number else "one of few names"
        plan.inferred["modality"] = f"{plan.parts['input'].modality}: {first.name!r} has {each} per row"
        if first.is_series and len(columns) == 1:
            steps, channels = first.shape
            plan.inferred["modality"] += (
                f", and its first numbers are no pixels: a series of {steps:,} steps by {channels:,} channels"
            )


def vectors(known: dict[str, Head], columns: list[str]) -> Part:
    """What columns of numbers and of names are."""
    part, first = Part("vectors", columns, categories(known, columns)), known[columns[0]]
    if first.is_series and len(columns) == 1:
        part.about["channels"] = first.shape[1]
    return part


def _find_caption(plan: Plan, left: dict[str, Head]) -> None:
    """The text that goes with a picture or a recording."""
    if "input" not in plan.parts or plan.parts["input"].modality not in ("image", "audio"):
        return
    used = set(plan.used())
    texts = [head for head in left.values() if head.is_text and not head.medium and head.name not in used]
    by_name = {head.name.casefold(): head for head in texts}
    named = next((by_name[name] for name in CAPTION_NAMES if name in by_name), None)
    free = [head for head in texts if head.words >= WORDS and not is_few(head)]
    if named is not None or len(free) == 1:
        found = named or free[0]
        plan.parts["caption"] = Part("text", [found.name])
        plan.inferred["caption"] = f"{found.name!r}, {'by its name' if named else 'the only column of texts'}"


def _is_category(head: Head) -> bool:
    return head.is_text and is_few(head) and head.name != SPLIT_NAME


def _there(plan: Plan, left: Mapping[str, Head]) -> str:
    """Which columns a client may have meant, and which one was taken for what is asked for."""
    said = next((f"{kind} is {plan.inferred[kind]}" for kind in ("label", "value") if kind in plan.inferred), None)
    taken = "apart from label and split" if said is None else f"{said}; beside it"
    kinds = {name: _kind(head) for name, head in left.items()}
    kinds |= {name: f"text like {shown(head.example)}" for name, head in left.items() if head.is_text}
    listed = [f"{name!r} ({kinds[name]})" for name in left if name]
    there = f"{taken} there are {', '.join(listed[:LISTED]) or 'none'}"
    more = NO_CHAT if CHAT in left else OBJECTS if NEITHER in kinds.values() else ""
    return there + (" …" if listed[LISTED:] else "") + (f"; {more}" if more else "")


def _kind(head: Head) -> str:
    """Of a column that holds no text, in words."""
    if head.dtype.kind in "SU":
        return f"strings, {head.dtype}: text belongs in .txt, .csv or .jsonl"
    if head.is_number and head.is_plain:
        return "numbers" if head.sampled or head.origin == "array" else "no value in the first rows"
    return f"{prod(head.shape):,} numbers a row" if head.is_number else head.ragged or NEITHER
