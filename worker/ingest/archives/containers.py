"""Lists and reads the members of ZIP and TAR, one at a time. Writes none of them to a path, whatever they are called.

A member whose name leads out of the archive, a link, a device and whatever would unpack too large is a fault. Knows
nothing of what the members hold.
"""

import posixpath
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import IO, cast

from worker.ingest.faults import shown
from worker.ingest.readers.unpack import CHUNK, is_bomb, refuse
from worker.ingest.source import Context, Input

MOST_LISTED = 64 << 20
"""Bytes of a ZIP's table of contents: it is held in memory."""
MOST_HEADER = 1 << 20
"""Bytes of a name in a TAR."""
MOST_MEMBERS = 1_000_000
TAR_BLOCK = 512
UTF8_FLAG = 1 << 11
OUTSIDE = re.compile(r"[/\\]|[A-Za-z]:")
OUT = ("unsafe_path", "whose path leads out of the archive; name every file by where it lies within")
JUNK = re.compile(
    r"(^|/)(\.[^/]+|__MACOSX|Thumbs\.db|desktop\.ini)(/|$)|(^|/)(?i:readme|licen[cs]e)(\.\w+)?(\.(md|rst|txt|html|pdf))?$"
)
"""What operating systems and authors leave in archives."""
BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError)
"""What the libraries raise for damaged, locked or unknown archives; ValueError comes beside them."""


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    path: str
    size: int
    chunks: Callable[[], Iterator[bytes]]
    """Its content; raises BROKEN and ValueError."""

    def read(self) -> bytes:
        return b"".join(self.chunks())


@dataclass
class Archive:
    """The members that may be read, in the archive's order."""

    file: Input
    members: list[Member] = field(default_factory=list)
    junk: int = 0
    """Members that systems and authors left there, and which are no data."""
    _paths: set[str] = field(default_factory=set)
    _size: int = 0

    def unpack(self, member: Member, context: Context) -> Input | None:
        """A member as a file of its own; None when it cannot be read, and the fault says so."""
        held = context.temporary()
        try:
            for chunk in member.chunks():
                held.write(chunk)
                context.tick(0)
        except (*BROKEN, ValueError) as error:
            context.faults.add("damaged", f"{self.file.name}: {member.path} cannot be read: {error}", file=self.file.id)
            return None
        held.flush()
        return Input(self.file.id, f"{self.file.name}/{member.path}", held, held.tell())

    def add(self, member: Member, special: str, context: Context) -> bool:
        """Takes a member in; `special` says what it is if it is no plain file. False once no more may come."""
        path = posixpath.normpath(member.path.replace("\\", "/"))
        outside = OUTSIDE.match(member.path) or ".." in re.split(r"[/\\]", member.path)
        if JUNK.search(path) and not outside:
            self.junk += 1
            return True
        problem = OUT if outside else _problem(path, special, self._paths)
        if problem:
            message = f"{self.file.name} holds {shown(member.path)}, {problem[1]}"
            context.faults.add(problem[0], message, file=self.file.id)
            return True
        self._size += member.size
        if is_bomb(self._size, self.file.size, context.limit):
            refuse(self.file, f"{self.file.name}, up to {shown(member.path)},", self._size, context)
            return False
        self._paths.add(path)
        self.members.append(replace(member, path=path))
        if len(self.members) > MOST_MEMBERS:
            message = f"{self.file.name} holds more than {MOST_MEMBERS:,} files; send it in parts"
            context.faults.add("too_many_files", message, file=self.file.id)
            return False
        return True


def open_zip(file: Input, context: Context) -> Archive:
    archive = Archive(file)
    try:
        opened = context.opened.enter_context(zipfile.ZipFile(_bounded(file.stream, MOST_LISTED)))
        for info in opened.infolist():
            context.tick(0)
            if info.is_dir():
                continue
            special = "a link" if stat.S_ISLNK(info.external_attr >> 16) else "locked" if info.flag_bits & 1 else ""
            member = Member(_in_zip(info), info.file_size, _unzip(opened, info))
            if not archive.add(member, special, context):
                break
    except (*BROKEN, ValueError) as error:
        context.faults.add("damaged", f"{file.name} is no readable ZIP: {error}", file=file.id)
    return archive


def open_tar(file: Input, context: Context) -> Archive:
    archive = Archive(file)
    file.stream.seek(0)
    try:
        opened = context.opened.enter_context(tarfile.TarFile(fileobj=_bounded(file.stream, MOST_HEADER)))
        while (info := opened.next()) is not None:
            context.tick(0)
            opened.members = []  # type: ignore[attr-defined]  # else it keeps them all
            if info.isdir():
                continue
            special = (
                "" if info.isreg() and not info.issparse() else "a link" if info.issym() or info.islnk() else "special"
            )
            member = Member(_in_tar(info.name), info.size, _cut(file, info.offset_data, info.size))
            if info.offset_data + info.size > file.size:
                message = f"{file.name} is cut short: it ends within {shown(info.name)}"
                context.faults.add("truncated", message, file=file.id)
                break
            if not archive.add(member, special, context):
                break
        else:
            _expect_end(file, opened.offset, context)
    except (*BROKEN, ValueError) as error:
        context.faults.add("damaged", f"{file.name} is no readable TAR: {error}", file=file.id)
    return archive


def is_tar(first: bytes) -> bool:
    """By the checksum of the first header, which every kind of TAR has."""
    try:
        tarfile.TarInfo.frombuf(first[:TAR_BLOCK], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _in_zip(info: zipfile.ZipInfo) -> str:
    """A member's name: in UTF-8 also where no flag says it, as some systems write it."""
    if info.flag_bits & UTF8_FLAG:
        return info.filename
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeError:
        return info.filename


def _in_tar(name: str) -> str:
    """A member's name: in Latin-1 where it is no UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogateescape").decode("latin-1")
    return name


def names(stream: IO[bytes]) -> list[str]:
    """Of all members of a ZIP; none where it cannot be read."""
    try:
        with zipfile.ZipFile(_bounded(stream, MOST_LISTED)) as archive:
            return archive.namelist()
    except (*BROKEN, ValueError):
        return []


def holds_arrays(stream: IO[bytes]) -> bool:
    """Whether a ZIP is an NPZ."""
    return any(name.endswith(".npy") for name in names(stream))


def _problem(path: str, special: str, known: set[str]) -> tuple[str, str] | None:
    if special == "a link":
        return "unsafe_link", "which is a link; put the file itself there"
    if special == "locked":
        return "locked", "which needs a password; send it without one"
    if special:
        return "unsafe_file", "which is no plain file"
    if path in known:
        return "duplicate_file", "more than once"
    return None


def _expect_end(file: Input, offset: int, context: Context) -> None:
    """A TAR ends with a block of zeros; without one, nobody knows what is gone."""
    file.stream.seek(offset)
    if file.stream.read(TAR_BLOCK) != bytes(TAR_BLOCK):
        message = f"{file.name} is cut short or damaged: neither a file nor the end mark is at byte {offset:,}"
        context.faults.add("truncated", message, file=file.id)


def _unzip(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        with opened.open(info) as stream:
            while chunk := stream.read(CHUNK):  # zipfile ends it at the size that was judged
                yield chunk

    return chunks


def _cut(file: Input, start: int, size: int) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        for done in range(0, size, CHUNK):
            file.stream.seek(start + done)
            yield file.stream.read(min(CHUNK, size - done))

    return chunks


@dataclass(frozen=True)
class _Bounded:
    """A file of which no single read may be larger than `most`: the libraries read what a header asks for."""

    stream: IO[bytes]
    most: int

    def read(self, size: int = -1) -> bytes:
        found = self.stream.read(self.most + 1 if size < 0 else min(size, self.most + 1))
        if len(found) > self.most:
            raise OSError(f"its list of files or a name in it is larger than {self.most:,} bytes; send it in parts")
        return found

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        return self.stream.tell()

    def seekable(self) -> bool:
        return True


def _bounded(stream: IO[bytes], most: int) -> IO[bytes]:
    return cast("IO[bytes]", _Bounded(stream, most))
