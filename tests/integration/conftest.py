"""What tests of several files watch."""

import pytest

from app.api import inference
from app.api.fast_path import wire


@pytest.fixture
def careful(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every request that takes the slow path; none does for being late, however slow the machine."""
    monkeypatch.setattr(wire, "PATIENCE_SECONDS", 60.0)
    seen: list[int] = []
    answer = inference.Endpoint._answer

    async def noted(self: inference.Endpoint, *given: object) -> object:
        seen.append(1)
        return await answer(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(inference.Endpoint, "_answer", noted)
    return seen
