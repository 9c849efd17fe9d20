"""Reads recordings: archives of them, and a lone one as a dataset's row.

Headers are looked at first, so that length, rates and channels are known; samples are unpacked later, averaged to one
channel and brought to one rate, into a temporary file.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.ml.audio import sounds
from worker.ingest.archives.containers import BROKEN, Archive, Member
from worker.ingest.archives.items import Items, contents, list_items, told_apart
from worker.ingest.archives.naming import SAID, TRANSCRIPT
from worker.ingest.mapping import Mapped
from worker.ingest.readers.unpack import CHUNK
from worker.ingest.source import Context, Head, Input, Loaded, Wanted
from worker.ingest.stages import RaggedStage

AUDIO = "audio"
SAMPLE = np.dtype(np.int16)
UNREAD = re.compile(r"\.(m4a|aac|wma|aiff?|amr)$", re.IGNORECASE)
"""Names of recordings that are not read: what is wrong with such a file is said of it as of a recording."""
LOOKED_AT = 16
"""Members of an archive that say what it holds."""


@dataclass(frozen=True)
class Recordings:
    """Recordings, with what is said of them."""

    items: Items
    heads: Sequence[Head]
    rate: int = 0

    @property
    def file(self) -> Input:
        return self.items.file

    def load(self, wanted: Wanted, context: Context) -> Loaded:
        said = self.items.load(wanted, context)
        own = self.items.column
        ragged = {**said.ragged, own: self._samples(context)} if own in wanted.ragged else said.ragged
        return replace(said, ragged=ragged, bad=sorted({*self.items.bad, *said.bad}))

    def _samples(self, context: Context) -> Mapped:
        stage, nothing = RaggedStage(context, SAMPLE), np.zeros(0, SAMPLE)
        for samples in self.items.unpack(lambda content, name: sounds.decode(content, name, self.rate), context):
            given = nothing if samples is None else samples
            stage.add(given, np.array([len(given)]))
        return stage.mapped()


def holds_recordings(archive: Archive) -> bool:
    """Whether most of an archive's first members begin like sounds; one that cannot be read does not."""
    first = [member for member in contents(archive) if not SAID.search(member.path)][:LOOKED_AT]
    return 2 * sum(_begins_like_one(member) for member in first) > len(first)


def open_recordings(archive: Archive, rate: int, context: Context) -> Recordings:
    """Looks at every recording's header; `rate` is that of the dataset."""
    return open_items(list_items(archive, told_apart(archive, TRANSCRIPT), "recording", AUDIO, context), rate, context)


def open_recording(file: Input, rate: int, context: Context) -> Recordings:
    """A file that is one recording."""

    def chunks() -> Iterator[bytes]:
        file.stream.seek(0)
        while chunk := file.stream.read(CHUNK):
            yield chunk

    return open_items(Items(file, "recording", AUDIO, [Member(file.name, file.size, chunks)]), rate, context)


def open_items(items: Items, rate: int, context: Context) -> Recordings:
    """Looks at every recording's header."""
    if not items.members:
        return Recordings(items, [])
    rates: Counter[int] = Counter()
    channels: Counter[int] = Counter()
    size = 0
    for header in items.look(sounds.measure, context):
        rates[header.rate] += 1
        channels[header.channels] += 1
        size += -(-header.frames * rate // header.rate) * SAMPLE.itemsize
    items.fits(size, "recordings", "give a lower sample_rate, or send them in parts", context)
    about = {"rate": rate, "rates": _named(rates), "channels": _named(channels)}
    note = f"recordings of one channel with {rate:,} samples a second; give sample_rate to decide otherwise"
    head = Head(items.column, "array", SAMPLE, ragged="audio", note=note + items.note, about=about)
    return Recordings(items, [head, *items.heads], rate)


def _named(counts: Counter[int]) -> dict[str, int]:
    return {str(value): number for value, number in sorted(counts.items())}


def _begins_like_one(member: Member) -> bool:
    try:
        return bool(UNREAD.search(member.path)) or sounds.is_sound(next(member.chunks(), b""))
    except (*BROKEN, ValueError):
        return False
