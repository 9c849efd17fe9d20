"""Lists of items beside a table that says more of them, such as `Flickr_8k.trainImages.txt`: the splits of these.

Knows neither pixels nor samples.
"""

import posixpath
from collections.abc import Sequence

from worker.ingest.archives.containers import Archive
from worker.ingest.archives.folders import code
from worker.ingest.archives.item_names import Names
from worker.ingest.archives.keyed import SPLIT, Keyed
from worker.ingest.faults import shown
from worker.ingest.source import Coded, Context, Input


def read_splits(archive: Archive, lists: Sequence[tuple[Keyed, str]], items: Sequence[str], context: Context) -> Coded:
    """The split of every item, -1 where no list has it; a name of no item, and an item in two splits, are faults."""
    names, found = Names(items), dict.fromkeys(items, "")
    for table, split in lists:
        folder, file = posixpath.dirname(table.member.path), f"{archive.file.name}/{table.member.path}"
        for row, name in enumerate(filter(None, table.called()), 1):
            item = names.find(name, folder)
            if item is not None and found[item] in ("", split):
                found[item] = split
                continue
            wrong = "missing_file" if item is None else "two_splits"
            problem = "is not in the archive" if item is None else f"is in {found[item]}, too"
            message = f"{file}, row {row:,}: {shown(name)} {problem}"
            context.faults.row(wrong, message, file=archive.file.id, row=row, column=SPLIT)
    return code([split or None for split in found.values()])


def unlisted(file: Input, items: Sequence[str], splits: Coded, context: Context) -> list[int]:
    """Rows of the items that are in no list, which are left out: their splits are those that others know them by."""
    rows = [row for row, place in enumerate(splits.codes.tolist()) if place < 0]
    for row in rows:
        message = f"{file.name}: {shown(items[row])} is in none of the lists that name splits"
        context.faults.drop("unlisted", message, file=file.id, row=row + 1, column=SPLIT)
    return rows
