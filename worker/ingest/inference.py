"""Guesses what a column plays from its type, its shape and its first values; a name decides between equals.

Knows no file and reads no row. Every guess is written into the plan, in words.
"""

import re
from collections.abc import Mapping, Sequence

from app.dataset_options import DatasetOptions
from worker.ingest.faults import Faults, some
from worker.ingest.plan import INPUTS, Part, Plan
from worker.ingest.source import Head

LABEL_NAMES = ("label", "labels", "target", "targets", "class", "classes", "y")
"""The first of these that is there is the label; `y` comes last, since it may as well stand beside an `x`."""
QUANTITIES = ("target", "targets", "y")
"""Those of them that may be quantities."""
ROWS_OF_A_CLASS = 4
"""In the mean, at least, if whole numbers of such a name are classes."""
VALUE_NAME = re.compile(
    r"(.*[_ ]|sale|house)?(price|cost|value|score|rating|quality|sales|salary|revenue|amount|demand|yield|medv|mpg)",
    re.IGNORECASE,
)
"""Names of a last column by which it is what is asked for."""
TEXT_NAMES = ("text", "sentence", "content", "document", "body", "message", "review", "comment")
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
CAPTION_NAMES = ("normalised", "normalized", "transcription", "transcript", "caption", "sentence", *TEXT_NAMES)
"""The first of these that is there says what a picture shows or a recording says."""
ROW_NUMBERS = re.compile(r"|#|no|nr|num|row|row ?num(ber)?|idx|index|level_0|unnamed: ?\d+|(.*[_ ])?id", re.IGNORECASE)
"""Names of columns that are no features where they count the rows, too; also those that end in `Id`."""
INDEX = re.compile(r"__index_level_\d+__")
"""What pandas calls an index without a name in Parquet."""
GROUP_NAME = re.compile(
    r"(speaker|patient|subject|participant|person|user|client|customer|author|writer|document|doc|query|qid|session|group)"
    r"[_ -]?(id|no|nr|num|number|uuid|name)?",
    re.IGNORECASE,
)
"""Names of columns whose equal values are rows of one person or thing."""
SPLIT_NAME = "split"
FEW = 1000
"""A text column with more different values among its first rows is no label by itself."""
FEW_NUMBERS = 20
"""The same for a column of numbers."""
WHOLE = {"text": "texts", "audio": "recordings"}
"""Modalities whose input cannot be made from numbers."""
LISTED = 20
NAME_ONE = "name one in columns.text to read texts, or several in columns.features to read names as categories"
WORDS = 3.0
"""From so many words on, in the mean, a column is text rather than names."""


def complete(plan: Plan, known: Mapping[str, Head], options: DatasetOptions, faults: Faults) -> None:
    """Adds what was not asked for: split, input, label."""
    left = {name: head for name, head in known.items() if name not in set(plan.used())}
    if plan.split is None and options.split is None and SPLIT_NAME in left and left[SPLIT_NAME].is_text:
        plan.split = left.pop(SPLIT_NAME).name
        plan.inferred["split"] = "the text column named 'split'"
    if not any(role in plan.parts for role in INPUTS):
        _find_input(plan, left, options)
    has_input = any(role in plan.parts for role in INPUTS)
    several = [head for head in left.values() if head.ragged == "boxes" or _is_tags(head)]
    if several and "target" not in plan.parts and "source" not in plan.parts:
        plan.parts["target"] = Part(several[0].ragged, [left.pop(several[0].name).name])
        if several[0].ragged == "tags":
            plan.inferred["tags"] = f"{several[0].name!r}, lists of labels"
    if "target" not in plan.parts and "source" not in plan.parts:
        arrays = [head for head in left.values() if not head.is_plain and head.is_number]
        head = _find_target(plan, left, has_input=has_input or bool(arrays), faults=faults)
        if head is not None:
            plan.parts["target"] = Part(
                "numbers" if "value" in plan.inferred else "classes", [left.pop(head.name).name]
            )
    if not has_input and not faults.total:
        if options.modality in WHOLE:
            wanted = f"{WHOLE[options.modality]}, as modality {options.modality} needs"
            faults.add("no_input", f"no column holds {wanted}; {_there(left)}")
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
        return "image" if len(head.shape) in (2, 3) else "vectors"
    return "text"


def is_pictures(known: Mapping[str, Head], columns: Sequence[str]) -> bool:
    return len(columns) == 1 and len(known[columns[0]].shape) in (2, 3)


def categories(known: Mapping[str, Head], columns: Sequence[str]) -> list[str]:
    """Those of the columns that hold names."""
    return [name for name in columns if known[name].is_text and not known[name].shape]


def is_few(head: Head) -> bool:
    most = FEW if head.is_text else FEW_NUMBERS
    return head.distinct <= min(most, max(1, head.sampled // 2))


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
            if all(not is_few(texts[name]) for name in chosen) or asked == "text":
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
    free = [head for head in free if alone or (head.words >= WORDS and not is_few(head))]
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


def _find_target(plan: Plan, left: dict[str, Head], *, has_input: bool, faults: Faults) -> Head | None:
    """The column of labels or of values; which of the two is said in the plan."""
    plain = [head for head in left.values() if head.is_plain and head.name != SPLIT_NAME]
    by_name = {head.name.casefold(): head for head in plain}
    for name in LABEL_NAMES:
        if name in by_name:
            head = by_name[name]
            plan.inferred["value" if _is_value(head) else "label"] = f"{head.name!r}, by its name"
            return head
    ends = [head for head in plain if not _is_numbering(head)]
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
    beside = [head for head in plain if head.origin == "array" or (len(plain) == 1 and is_few(head))]
    for kinds in ("biuSU", "f"):  # whole numbers and strings first; floats hold a NaN where a label is withheld
        fitting = [head for head in beside if head.dtype.kind in kinds]
        if len(fitting) > 1:
            names = ", ".join(repr(head.name) for head in fitting)
            faults.add("ambiguous_columns", f"each of {names} could be the label; name one in columns.label")
            return None
        if fitting:
            plan.inferred["label"] = f"{fitting[0].name!r}, one value per row beside the input"
            return fitting[0]
    return None


def _is_called(head: Head, names: Sequence[re.Pattern[str]]) -> bool:
    return any(name.fullmatch(head.name) for name in names)


def _is_value(head: Head) -> bool:
    """Whether a column that is named like a target is a quantity: by fractions, or by rows that hardly share one."""
    shared = head.name.casefold() not in QUANTITIES or head.distinct * ROWS_OF_A_CLASS <= head.sampled
    return head.is_number and not is_few(head) and (head.fractions or not shared)


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
        numbering = [name for name in columns if _is_numbering(left[name])]
        if numbering and any(left[name].is_number for name in set(columns) - set(numbering)):
            columns = [name for name in columns if name not in numbering]
            plan.inferred["row numbers"] = f"{some(numbering)}: no features, since they only number the rows"
        named = [name for name in columns if left[name].is_text]
        if len(named) == len(columns):
            faults.add("no_input", f"no column can be the input; {_there(left)}; {NAME_ONE}")
            return
        count = len(columns) - len(named)
        beside = f" and {len(named)} of names" if named else ""
        plan.inferred["features"] = f"{count} column{'s' if count > 1 else ''} of numbers{beside}"
    pictures = options.modality == "image" or (options.modality == "auto" and is_pictures(left, columns))
    plan.parts["input"] = Part("image", columns) if pictures else Part("vectors", columns, categories(left, columns))
    if options.modality == "auto":
        first = next(left[name] for name in columns if left[name].is_number)
        kind = plan.parts["input"].modality
        plan.inferred["modality"] = (
            f"{kind}: {first.name!r} has {list(first.shape) or 'one value'} of {first.dtype} per row"
        )


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


def _is_tags(head: Head) -> bool:
    return head.ragged == "tags" and head.name.casefold() in ("tags", *LABEL_NAMES)


def _is_numbering(head: Head) -> bool:
    named = ROW_NUMBERS.fullmatch(head.name) or head.name.endswith("Id")
    return bool((head.counts and named) or INDEX.fullmatch(head.name))


def _is_category(head: Head) -> bool:
    return head.is_text and is_few(head) and head.name != SPLIT_NAME


def _there(left: Mapping[str, Head]) -> str:
    """Which columns a client may have meant."""
    kinds = {name: "text" if head.is_text else "numbers" if head.is_number else "bytes" for name, head in left.items()}
    listed = [f"{name!r} ({kinds[name]})" for name in left if name]
    return f"apart from label and split there are {', '.join(listed[:LISTED]) or 'none'}" + (
        " …" if listed[LISTED:] else ""
    )
