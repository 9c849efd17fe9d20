"""Finds files of an archive that say more of its items although none is called `metadata`, and writes them as such.

A table counts that has a column of the items' paths, names, or names without ending: `labels.csv`, a `train.csv` with
an `id`, `captions.jsonl`, `captions.txt` of Flickr's pictures, `validated.tsv` of Common Voice. So do texts that are
called like the items beside them.
Knows neither pixels nor samples.
"""

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from worker.ingest.archives.containers import BROKEN, Member
from worker.ingest.archives.folders import PARTS, is_split, split_name
from worker.ingest.archives.item_names import Names, stem, without_ending
from worker.ingest.archives.keyed import SPLIT, Keyed, is_nameless, read, written
from worker.ingest.faults import shown
from worker.ingest.readers.transcripts import FILE_NAME

SAID = re.compile(r"\.(csv|tsv|txt|jsonl)$", re.IGNORECASE)
TABLE = re.compile(r"\.(csv|tsv|jsonl)$", re.IGNORECASE)
BEST = re.compile(r"(^|/)validated\.tsv$", re.IGNORECASE)
"""Common Voice has other tables for parts of its recordings; this one is all that was found good."""
SPOKEN = re.compile(r"\.trans\.txt$", re.IGNORECASE)
"""LibriSpeech has one such list for the recordings of a chapter: `speaker-chapter-number WHAT IS SAID`."""
TO_FILL_IN = re.compile(r"submission", re.IGNORECASE)
"""Tables of competitions whose labels are no labels."""
NOT_MEANT = re.compile(rf"{TO_FILL_IN.pattern}|(^|[-_./])lemma(tized|s)?[-_.]", re.IGNORECASE)
"""Those, and captions of which only the stems of words are left."""
DOCUMENT = re.compile(r"(^|/)(classes|labels|names|about|notes?|citation|speakers|chapters|books)\.txt$", re.IGNORECASE)
NUMBERS = re.compile(r"[-+\d.eE\s]*")
OTHER_TABLE = re.compile(r"\.(xlsx?|ods|parquet|arrow|feather|mat|h5|hdf5|pkl|pickle)$", re.IGNORECASE)
TRANSCRIPT, SPEAKER = "transcript", "speaker"


@dataclass(frozen=True)
class Said:
    """What an archive holds, told apart."""

    items: list[Member]
    tables: list[Member]
    """As `metadata.csv`, whatever they are called."""
    named: str = ""
    """What these are, in words."""
    passed_over: int = 0
    lists: Sequence[tuple[Keyed, str]] = ()
    """Lists of items beside these, and the split of each."""


def tell_apart(found: Sequence[Member], text: str, saying: re.Pattern[str] = SAID) -> Said:
    """`found` are the members that may be items; `text` is the column of what stands in texts beside them; `saying`
    are the names of those that are none."""
    said = [member for member in found if saying.search(member.path)]
    items = [member for member in found if not saying.search(member.path)]
    if not said or not items:
        return Said(list(found), [])
    names = Names([member.path for member in items])
    may_be = [member for member in said if TABLE.search(member.path) or _stands_alone(member, names)]
    keyed = {member.path: table for member in may_be if (table := read(member, names))}
    lists = _lists(keyed)
    listed = {table.member.path for table, _ in lists}
    tables = _chosen({path: table for path, table in keyed.items() if path not in listed})
    named = " and ".join(f"{each.path}, by {keyed[each.path].column!r}," for each in tables)
    used = {member.path for member in tables} | listed
    chapters = [member for member in said if SPOKEN.search(member.path)]
    if not tables and chapters:
        tables, named = [Member("transcripts.csv", 0, _listed(chapters, names))], f"a list such as {chapters[0].path}"
        used = {member.path for member in chapters}
    elif not tables and (spoken := _beside(items, said)):
        tables, named = [Member("transcripts.csv", 0, _texts(spoken, text))], "the text beside each"
        used = {member.path for member in spoken.values()}
    known = used | set(keyed) | {member.path for member in said if DOCUMENT.search(member.path)}
    return Said([member for member in found if member.path not in known], tables, named, len(known - used), lists)


def why_unread(member: Member, noun: str) -> str:
    """Why a table or text says nothing of the items; nothing of a file that is neither, by its name."""
    if OTHER_TABLE.search(member.path):
        return f"is a table that is not read beside {noun}s; save it as CSV, TSV or JSON lines"
    if not SAID.search(member.path):
        return ""
    try:
        lines = [line.strip() for line in next(member.chunks(), b"").decode("utf-8-sig").splitlines()]
    except (*BROKEN, ValueError):
        return f"says nothing of the {noun}s: it is no text in UTF-8; save it as such"
    rows = list(filter(None, lines))
    if len(rows) < 2 and TABLE.search(member.path):
        return f"is a table without rows: {f'a header alone, {shown(rows[0])}' if rows else 'it is empty'}; fill it"
    column = "no column of it holds their paths, names, or names without ending"
    return f"says nothing of the {noun}s: it begins with {shown(rows[0] if rows else '')}, and {column}; add one"


def _stands_alone(text: Member, names: Names) -> bool:
    """Whether it is called like no item beside it."""
    return names.find(without_ending(text.path), "") is None and not SPOKEN.search(text.path)


def _beside(items: Sequence[Member], said: Sequence[Member]) -> dict[str, Member]:
    """The text that is called like an item, by the item's path; none where they are boxes, which are no captions."""
    texts = {posixpath.splitext(member.path)[0]: member for member in said if not TABLE.search(member.path)}
    spoken = {member.path: texts[stem] for member in items if (stem := posixpath.splitext(member.path)[0]) in texts}
    return {} if all(map(_is_numbers, spoken.values())) else spoken


def _lists(keyed: dict[str, Keyed]) -> list[tuple[Keyed, str]]:
    """Tables with nothing but items, called like several splits, where another table says more of these."""
    alone = [table for table in keyed.values() if len(table.header) == 1]
    named = _by_split(alone, whole=True) or _by_split(alone, whole=False)
    return named if len(alone) < len(keyed) and len({split for _, split in named}) > 1 else []


def _chosen(keyed: dict[str, Keyed]) -> list[Member]:
    """The tables to believe, as metadata: one that says it was checked, else those for splits, else one with splits,
    else the first with names of columns or with texts."""
    tables = [table for path, table in keyed.items() if not NOT_MEANT.search(path)]
    best = [table for table in tables if BEST.search(table.member.path)]
    if best or len(tables) <= 1:
        return [table.as_metadata(None) for table in best or tables]
    named = _by_split(tables, whole=True) or _by_split(tables, whole=False)
    first = min(named, key=lambda pair: pair[1] != "train")[0] if named else min(tables, key=_rank)
    alike = [(table, split) for table, split in named if table.header == first.header]
    if len(alike) < 2 or SPLIT in first.header:
        return [first.as_metadata(None)]
    return [table.as_metadata(split) for table, split in alike]


def _rank(table: Keyed) -> int:
    return 0 if SPLIT in table.header else 1 if any(not is_nameless(name) for name in table.header) else 2


def _by_split(tables: Sequence[Keyed], *, whole: bool) -> list[tuple[Keyed, str]]:
    """Those called like splits, with these; or else those of whose name a part is called so: `captions_val2017`."""
    found = []
    for table in tables:
        name = stem(table.member.path)
        splits = {split_name(part) for part in ([name] if whole else PARTS.split(name)) if is_split(part)}
        found += [(table, split) for split in splits if len(splits) == 1]
    return found


def _is_numbers(member: Member) -> bool:
    """As boxes are written down."""
    try:
        return bool(NUMBERS.fullmatch(next(member.chunks(), b"").decode("utf-8", "replace")))
    except (*BROKEN, ValueError):
        return False


def _texts(spoken: dict[str, Member], text: str) -> Callable[[], Iterator[bytes]]:
    def rows() -> Iterator[list[str]]:
        yield [FILE_NAME, text]
        for path, member in spoken.items():
            yield [path, " ".join(member.read().decode("utf-8-sig", "surrogateescape").split())]

    return lambda: written(rows())


def _listed(lists: Sequence[Member], names: Names) -> Callable[[], Iterator[bytes]]:
    """What the lists of LibriSpeech say; a line without its recording keeps its name, and is a fault."""

    def rows() -> Iterator[list[str]]:
        yield [FILE_NAME, TRANSCRIPT, SPEAKER]
        for member in lists:
            folder = posixpath.dirname(member.path)
            for line in member.read().decode("utf-8-sig", "surrogateescape").splitlines():
                name, _, text = line.partition(" ")
                if name:
                    yield [names.find(name, folder) or posixpath.join(folder, name), text, name.partition("-")[0]]

    return lambda: written(rows())
