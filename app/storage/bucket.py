"""Objects of an S3 bucket, shown only when their upload is complete; credentials come from `AWS_*`."""

import contextlib
import logging
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from app.disk import INCOMING, writing
from app.errors import NotReady
from app.object_cache import ObjectCache, Verifier
from app.storage.base import CHUNK, Counted, Storage, Stored, gone
from app.stored_bytes import Bytes

log = logging.getLogger(__name__)

UPLOADS_AT_ONCE = 4
NOT_ANSWERING = "the store does not answer"
REFUSALS = {
    "<Code>NoSuchBucket": "does not have the bucket that ROOTSTOCK_STORAGE_URL names",
    "<Code>InvalidAccessKeyId": "does not know the key that AWS_ACCESS_KEY_ID names",
    "<Code>SignatureDoesNotMatch": "does not accept AWS_SECRET_ACCESS_KEY: it belongs to another key",
    "<Code>ExpiredToken": "does not accept AWS_SESSION_TOKEN any more: it has expired",
    "<Code>AuthorizationHeaderMalformed": "does not have that bucket in the region that AWS_REGION names",
    "<Code>PermanentRedirect": "does not have that bucket in the region that AWS_REGION names",
    "<Code>AccessDenied": "does not let these AWS_* credentials list, read and write in that bucket",
    "403 Forbidden: <?xml": "does not let these AWS_* credentials list, read and write in that bucket",
    "http://169.254.": "does not get any credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
}
"""What a store says, or the service of a cloud's machine that is asked for credentials where there are none, and what
it means for whoever wrote the settings."""


class BucketStorage(Storage):
    """`s3://bucket/prefix`; what needs a path gets a copy in a folder of at most `cache_bytes`."""

    def __init__(self, url: str, cache: Path, cache_bytes: int) -> None:
        self._cache, self._verifier = ObjectCache(cache, cache_bytes), Verifier()
        self._bucket = S3Store.from_url(url, retry_config=_retries(5, 60))
        options: Any = {"timeout": "2s", "allow_http": _plain()}
        self._probe = S3Store.from_url(url, retry_config=_retries(0, 2), client_options=options)

    def put_stream(self, key: str, chunks: Iterable[bytes]) -> Stored:
        counted = Counted()
        with _answering():
            source = (counted.add(chunk) for chunk in chunks if chunk)
            obstore.put(self._bucket, key, source, max_concurrency=UPLOADS_AT_ONCE)
        return counted.stored(key)

    async def aput_stream(self, key: str, chunks: AsyncIterator[bytes], limit: int) -> Stored:
        counted = Counted(limit)
        with _answering():
            source = (counted.add(chunk) async for chunk in chunks if chunk)
            await obstore.put_async(self._bucket, key, source, max_concurrency=UPLOADS_AT_ONCE)
        return counted.stored(key)

    def stream(self, key: str, part: tuple[int, int] | None = None) -> Iterator[bytes]:
        try:
            with _answering():
                answer = obstore.get(self._bucket, key, options=None if part is None else {"range": part})
                for chunk in answer.stream(min_chunk_size=CHUNK):
                    yield bytes(chunk)
        except FileNotFoundError:
            raise gone(key) from None

    def has(self, item: Bytes) -> bool:
        try:
            with _answering():
                return int(obstore.head(self._bucket, item.key)["size"]) == item.size_bytes
        except FileNotFoundError:
            return False

    def local(self, item: Bytes) -> Path:
        path = self._cache.path(item.sha256)
        if not self._verifier.is_whole(path, item.size_bytes, item.sha256):
            self._cache.make_room(item.size_bytes)
            with writing(path.parent, path.name) as file:
                file.writelines(self.open([item]))
        self._cache.used(item.sha256)
        return path

    def delete(self, keys: Iterable[str]) -> None:
        if doomed := list(keys):
            with _answering(), contextlib.suppress(FileNotFoundError):
                obstore.delete(self._bucket, doomed)

    def listing(self, prefix: str = "") -> Iterator[tuple[str, float]]:
        with _answering():
            for page in obstore.list(self._bucket, prefix or None):
                yield from ((meta["path"], meta["last_modified"].timestamp()) for meta in page)

    def check(self) -> None:
        with _answering():
            next(iter(obstore.list(self._probe, INCOMING)), None)  # unlike a HEAD, tells a bucket that is not there


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except BaseError as error:
        said = str(error)
        told = next((f"the store {words}" for sign, words in REFUSALS.items() if sign in said), NOT_ANSWERING)
        if "HTTP error: builder error" in said and not _plain():
            told = f"{NOT_ANSWERING} over http:// unless AWS_ALLOW_HTTP is true"
        log.error("%s: %s", told, said.partition("<?xml")[0].splitlines()[0])  # with its address, for the operator
        raise NotReady(told) from error


def _plain() -> bool:
    return os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")


def _retries(count: int, seconds: int) -> Any:
    return {"max_retries": count, "retry_timeout": timedelta(seconds=seconds)}
