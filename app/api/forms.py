"""Takes the files of a form into storage while they arrive; what is not kept in the end is removed again."""

import contextlib
import difflib
import hashlib
import uuid
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from app import bounded_json
from app.api.deps import NUL
from app.api.multipart import parts
from app.errors import EmptyInput, Malformed, MissingKey, UnknownKey
from app.settings import Settings
from app.storage import Storage, Stored


@dataclass(frozen=True)
class Arrived:
    """One file, stored and hashed."""

    filename: str
    stored: Stored


@dataclass
class Form:
    """A form: its fields, and its files in storage."""

    fields: dict[str, str] = field(default_factory=dict)
    files: list[Arrived] = field(default_factory=list)
    kept: bool = False
    """True when a committed row names the bytes, or may do so."""

    def sha256(self) -> str:
        """What makes two forms equal, whatever their boundaries: fields and files."""
        files = [[file.filename, file.stored.sha256] for file in self.files]
        whole = orjson.dumps([self.fields, files], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(whole).hexdigest()

    def body(self, texts: Collection[str], values: Collection[str] = ()) -> dict[str, Any]:
        """The fields as a JSON body would have them: those of `texts` as they are, the others read as JSON. What is no
        JSON in one of `values`, which take neither objects nor lists, is left to be refused for what it is.

        Raises Malformed.
        """
        body: dict[str, Any] = {}
        for name, text in self.fields.items():
            if NUL.search(text.encode()):
                message = f"form field {name!r} holds the character U+0000, which no text may contain"
                raise Malformed(message, param=name)
            try:
                body[name] = text if name in texts else bounded_json.loads(text)
            except orjson.JSONDecodeError as error:
                if name in values:
                    body[name] = text
                    continue
                raise Malformed(
                    f"form field {name!r} holds JSON, and {text[:100]!r} is none: "
                    f'{error.msg} {bounded_json.place(error)}; an object is written as {{"key": "value"}}',
                    param=name,
                ) from None
        return body


@contextlib.asynccontextmanager
async def receive_form(
    request: Request,
    settings: Settings,
    storage: Storage,
    *,
    fields: frozenset[str],
    max_files: int,
    name: str = "file",
    limit: int | None = None,
) -> AsyncIterator[Form]:
    """Reads the whole form; its files are the parts called `name`. Bytes that the block does not keep are removed.

    Raises TooLarge while a file streams past `limit` (else `max_file_bytes`), Malformed, EmptyInput, MissingKey,
    UnknownKey; InsufficientStorage where the disk is full.
    """
    form = Form()
    try:
        async for part in parts(request):
            if part.filename is not None and part.name == name:
                if len(form.files) == max_files:
                    raise Malformed(f"more than {max_files} file(s) in one form", param=name)
                key = f"files/{uuid.uuid4()}"
                stored = await storage.aput_stream(key, part.body, settings.max_file_bytes if limit is None else limit)
                form.files.append(Arrived(part.filename, stored))
                if stored.size_bytes == 0:
                    raise EmptyInput(f"the file {part.filename!r} is empty", param=name)
            elif part.filename is None and part.name in fields:
                if part.name in form.fields:
                    raise Malformed(f"the form has the field {part.name!r} twice", param=part.name)
                form.fields[part.name] = await part.text()
            elif part.name == name:
                sent = (await part.text())[:100]
                raise Malformed(
                    f"{name!r} is the text {sent!r}, without a filename; with curl, -F {name}=@{sent} sends a file",
                    param=name,
                )
            else:
                known = ", ".join([f"{name} (with a filename)", *sorted(fields)])
                meant = difflib.get_close_matches(part.name, fields, n=1)
                hint = f"did you mean {meant[0]}? It" if meant else "it"
                raise UnknownKey(f"{part.name!r} is no field of this form; {hint} has {known}", param=part.name)
        if not form.files:
            raise MissingKey(f"the form has no file: send it as the part {name!r}, with a filename", param=name)
        yield form
    finally:
        if not form.kept:
            await run_in_threadpool(storage.delete, [file.stored.key for file in form.files])
