"""A column of conversations in a table, as lists of turns or as JSON in texts: read as the prompt and the completion
that a line of JSON gives. Knows no table's format.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.ragged import Ragged
from worker.ingest.faults import Faults, shown
from worker.ingest.labels import Coder
from worker.ingest.mapping import Mapped
from worker.ingest.readers import json_lines
from worker.ingest.readers.conversations import COMPLETION, KEYS, PROMPT, as_pair, is_conversation
from worker.ingest.readers.heads import text_head
from worker.ingest.source import Context, Head, Input, Loaded, Source, Wanted
from worker.ingest.stages import BYTE, RaggedStage

BLOCK = 1 << 12
"""Conversations that are held at once."""
SAMPLE_ROWS = 1000
PAIR = (PROMPT, COMPLETION)
AS_PYTHON = "[{'"
"""How a list of turns begins that Python wrote by str()."""


@dataclass(frozen=True)
class Chats:
    """A table whose column `key` holds conversations, with a prompt and a completion in place of it."""

    source: Source
    key: str
    heads: Sequence[Head]

    @property
    def file(self) -> Input:
        return self.source.file

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        asked = [name for name in PAIR if name in wanted.columns]
        if not asked:
            return self.source.load(wanted, context)
        for name in {name for part in wanted.numbers for name in part if name in PAIR}:
            message = f"{self.file.name}: column {name!r} holds texts, no numbers; {name!r} can be a label, or a text"
            context.faults.add("not_a_number", message, file=self.file.id, column=name)
        names, ragged = ([name for name in part if name not in PAIR] for part in (wanted.names, wanted.ragged))
        numbers = [tuple(name for name in part if name not in PAIR) for part in wanted.numbers]
        loaded = self.source.load(replace(wanted, numbers=numbers, names=names, ragged=[*ragged, self.key]), context)
        bad: list[int] = []
        coders = {name: Coder() for name in wanted.names if name in PAIR}
        stages = {name: RaggedStage(context) for name in wanted.ragged if name in PAIR}
        held = loaded.ragged.pop(self.key)
        for start in range(0, len(held), BLOCK):
            rows = held.read(start, min(len(held), start + BLOCK))
            pairs = [self._pair(rows.row(number), start + number, loaded, bad, context) for number in range(len(rows))]
            for name, coder in coders.items():
                coder.add([pair.get(name) for pair in pairs], np.arange(len(pairs)))
            for name, stage in stages.items():
                said = Ragged.of([_bytes(pair.get(name, "")) for pair in pairs])
                stage.add(said.values, said.lengths)
            held.release()
            context.tick(0)
        loaded.names.update({name: coder.coded() for name, coder in coders.items()})
        loaded.ragged.update({name: stage.mapped() for name, stage in stages.items()})
        return replace(loaded, bad=[*loaded.bad, *bad])

    def _pair(self, cell: Any, row: int, loaded: Loaded, bad: list[int], context: Context) -> dict[str, str]:
        """Nothing of an empty cell, and of one with a fault."""
        try:
            return _read(self.key, cell.tobytes())
        except ValueError as error:
            number = loaded.file_row(row)
            message = f"{self.file.name}, row {number:,}: {error}"
            context.faults.row("no_answer", message, file=self.file.id, row=number, column=self.key)
            bad.append(row)
            return {}


def open_chats(source: Source, context: Context) -> Source:
    """The table as it is, where no column holds conversations, or a prompt or a completion stands beside them."""
    heads = {head.name: head for head in source.heads}
    key = next((name for name in KEYS if name in heads), None)
    if key is None or any(name in heads for name in PAIR) or context.faults.total:
        return source
    head = heads[key]
    if head.is_text and head.example.startswith(AS_PYTHON):
        context.faults.add(
            "not_json",
            f"{source.file.name}: column {key!r} holds conversations as Python shows them, {shown(head.example)}; "
            "write them with json.dumps, or save the table as JSON lines or Parquet",
            file=source.file.id,
            column=key,
        )
    if head.encoded != "json" and not (head.is_text and _holds_turns(head.example)):
        return source
    first = source.load(Wanted(ragged=[key], first=True), replace(context, faults=Faults(drops=True))).ragged[key]
    pairs = list(filter(None, map(_pair_if_any, [key] * SAMPLE_ROWS, _cells(first))))
    new = [text_head(name, [pair[name] for pair in pairs]) for name in PAIR]
    return Chats(source, key, [*(each for each in source.heads if each.name != key), *new])


def _cells(column: Mapped) -> list[bytes]:
    rows = column.read(0, min(len(column), SAMPLE_ROWS))
    return [rows.row(number).tobytes() for number in range(len(rows))]


def _pair_if_any(key: str, cell: bytes) -> dict[str, str]:
    try:
        return _read(key, cell)
    except ValueError:
        return {}


def _read(key: str, cell: bytes) -> dict[str, str]:
    """Raises ValueError where a cell that is not empty holds no conversation with an answer."""
    if not cell.strip():
        return {}
    try:
        turns: Any = json_lines.decode(cell)
    except ValueError:
        turns = cell.decode("utf-8", "replace")
    if turns in (None, []):
        return {}
    if not is_conversation(turns):
        raise ValueError(f'{key!r} holds {shown(turns)}, no list of {{"role": …, "content": …}}')
    return as_pair({key: turns})


def _holds_turns(text: str) -> bool:
    try:
        return is_conversation(json_lines.decode(text.encode()))
    except ValueError:
        return False


def _bytes(text: str) -> Any:
    return np.frombuffer(text.encode("utf-8", "surrogatepass"), BYTE)
