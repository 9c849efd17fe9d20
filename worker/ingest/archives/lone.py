"""An archive of neither pictures nor recordings: one table or text in it is unpacked, as gzip would be."""

import re

from worker.ingest.archives.containers import BROKEN, Archive, Member, is_tar
from worker.ingest.archives.items import contents
from worker.ingest.faults import shown
from worker.ingest.readers import arrays
from worker.ingest.signatures import medium
from worker.ingest.source import Context, Input

ITEM = re.compile(
    r"\.(png|jpe?g|webp|gif|bmp|tiff?|heic|avif|svg|wav|flac|ogg|opus|mp3|m4a|aac|wma|aiff?)$", re.IGNORECASE
)
"""Names of pictures and recordings, those that are not read included: what is wrong with such a file is said of it."""
LOOKED_AT = 16


def holds_items(archive: Archive) -> bool:
    """Whether there may be pictures or recordings: by any name, or by how the first members begin."""
    members = contents(archive)
    named = any(ITEM.search(member.path) for member in members)
    return named or not members or any(medium(_first(member)) for member in members[:LOOKED_AT])


def unpack(archive: Archive, context: Context) -> Input | None:
    """The only member; None where there are more or it is an archive itself, and the fault says so."""
    first, *others = contents(archive)
    begins = _first(first)
    inner = begins.startswith(arrays.ZIP_MAGIC) or is_tar(begins)
    if others or inner:
        message = (
            f"{archive.file.name} holds no pictures and no recordings: {shown(first.path)} is "
            f"{'an archive itself' if inner else 'none'}; send tables and texts without one, or each in one of its own"
        )
        context.faults.add("no_items", message, file=archive.file.id)
        return None
    return archive.unpack(first, context)


def _first(member: Member) -> bytes:
    try:
        return next(iter(member.chunks()), b"")
    except (*BROKEN, ValueError):
        return b""
