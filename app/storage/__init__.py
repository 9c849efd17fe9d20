"""Keeps bytes by key, in a folder or a bucket, behind one small interface. Knows no row and no meaning of a key."""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from app.settings import Settings, SettingsError
from app.storage.base import CHUNK, Storage, Stored
from app.storage.bucket import BucketStorage
from app.storage.folder import FolderStorage

__all__ = ["CHUNK", "Storage", "Stored", "open_storage", "storage_at"]


def open_storage(settings: Settings) -> Storage:
    """The store that the settings name."""
    return storage_at(settings.resolved_storage_url, settings.folder / "cache", settings.cache_bytes)


def storage_at(url: str, cache: Path, cache_bytes: int) -> Storage:
    """The store at `file:///folder` or `s3://bucket/prefix`; `cache` keeps at most `cache_bytes` of a bucket's.

    Raises SettingsError for any other URL, and for a folder that cannot be written.
    """
    parts = urlsplit(url)
    if parts.scheme == "s3" and parts.netloc:
        return BucketStorage(url, cache, cache_bytes)
    if parts.scheme != "file" or parts.netloc or not parts.path.startswith("/"):
        raise SettingsError(f"ROOTSTOCK_STORAGE_URL={url!r}: give file:///folder or s3://bucket/prefix")
    try:
        return FolderStorage(Path(url2pathname(parts.path)))
    except OSError as error:
        raise SettingsError(
            f"ROOTSTOCK_STORAGE_URL={url!r}: {error.strerror}; name a folder that can be written"
        ) from None
