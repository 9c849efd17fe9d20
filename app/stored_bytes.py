"""What is known of bytes that are kept, to those who keep them and to those who remember them."""

from typing import Protocol


class Bytes(Protocol):
    """What storage tells about bytes that it keeps."""

    @property
    def key(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def sha256(self) -> str: ...
