"""What the service decided for a client, told to the client."""

from typing import Any


class Choices(list[dict[str, Any]]):
    """`{"key", "value", "reason"}` for everything that a request left open, in the order it was decided."""

    def note(self, key: str, value: Any, reason: str) -> None:
        self.append({"key": key, "value": value, "reason": reason})
