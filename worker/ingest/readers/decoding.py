"""Brings a text to UTF-8 with line feeds, in a temporary file, a block at a time. Knows no rows and no columns."""

import codecs
import io
from dataclasses import replace

from worker.ingest.readers import encoding
from worker.ingest.readers.unpack import is_bomb, refuse
from worker.ingest.source import Context, Input

CHUNK = 1 << 20
LINE_ENDS = 1 << 16
"""Bytes among which a text whose lines end in CR alone has a CR and no LF."""


def decode(file: Input, codec: str, context: Context) -> Input | None:
    """The same text as the readers take it: the file itself where it is so; None when it cannot be decoded, and the
    fault says where."""
    file.stream.seek(0)
    head = codecs.getincrementaldecoder(codec)("replace").decode(file.stream.read(LINE_ENDS))
    returns = "\r" in head[:-1] and "\n" not in head  # a CR at the very end may belong to a LF behind it
    if returns:
        context.inferred["encoding"].append(f"{file.name} has lines that end in CR")
    elif codec == encoding.OURS:
        return file
    return _decoded(file, codec, io.IncrementalNewlineDecoder(None, translate=returns), context)


def _decoded(file: Input, codec: str, ends: io.IncrementalNewlineDecoder, context: Context) -> Input | None:
    # what is no UTF-8 passes as it is: the reader names its row
    errors = "surrogateescape" if codec == encoding.OURS else "strict"
    decoder = codecs.getincrementaldecoder(codec)(errors)
    decoded, taken, done, lines = context.temporary(), 0, 0, 0
    file.stream.seek(0)
    last = False
    while not last:
        chunk = file.stream.read(CHUNK)
        last = not chunk
        held = len(decoder.getstate()[0])
        try:
            text = ends.decode(decoder.decode(chunk, final=last), final=last)
        except UnicodeDecodeError as error:
            lines += ends.decode(error.object[: error.start].decode(codec), final=True).count("\n")
            place = taken - held + error.start
            context.faults.add(
                "wrong_encoding",
                f"{file.name}, line {lines + 1:,}, is not {encoding.shown_as(codec)}: byte {place:,} "
                f"is 0x{error.object[error.start]:02x}: {error.reason}. Save it as UTF-8, or give another encoding",
                file=file.id,
            )
            return None
        taken += len(chunk)
        lines += text.count("\n")
        done += decoded.write(text.encode(encoding.OURS, errors))
        if is_bomb(done, file.size, context.limit):
            refuse(file, file.name, done, context)
            return None
        context.tick(0)
    decoded.flush()
    return replace(file, stream=decoded, size=done)
