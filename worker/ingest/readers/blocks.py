"""Reads whole lines, a block at a time."""

from collections.abc import Iterator

from worker.ingest.source import Context, Input


def whole_lines(file: Input, size: int, longest: int, context: Context) -> Iterator[bytes]:
    """Blocks of whole lines of about `size` bytes, from where the file stands; the last may lack its line feed.

    Where a line is longer than `longest` bytes, the fault says so and nothing more comes.
    """
    left = b""
    while chunk := file.stream.read(size):
        block, newline, left = (left + chunk).rpartition(b"\n")
        if len(left) > longest:
            problem = f"{file.name} has a line longer than {longest:,} bytes; does every row end in a line feed?"
            context.faults.add("line_too_long", problem, file=file.id)
            return
        yield block + newline
        context.tick(0)
    yield left
