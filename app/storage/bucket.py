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


class BucketStorage(Storage):
    """`s3://bucket/prefix`; what needs a path gets a copy in a folder of at most `cache_bytes`."""

    def __init__(self, url: str, cache: Path, cache_bytes: int) -> None:
        self._cache, self._verifier = ObjectCache(cache, cache_bytes), Verifier()
        self._bucket = S3Store.from_url(url, retry_config=_retries(5, 60))
        plain = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")
        options: Any = {"timeout": "2s", "allow_http": plain}
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
        log.error("the store does not answer: %s", str(error).splitlines()[0])  # with its address, for the operator
        raise NotReady("the store does not answer") from error


def _retries(count: int, seconds: int) -> Any:
    return {"max_retries": count, "retry_timeout": timedelta(seconds=seconds)}
