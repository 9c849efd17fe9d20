"""What the demo makes of the answers of a service; the service itself is in the tests of whole processes."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from app.demo import digits, story
from app.demo.service import Client


class Service:
    """Answers at random, and notes which datasets it was given and which models it was asked for."""

    def __init__(self) -> None:
        self.given: list[bytes] = []
        self.trained: list[dict[str, Any]] = []
        self.draw = np.random.default_rng(0)

    def dataset(self, filename: str, content: bytes, request: dict[str, Any]) -> str:
        self.given.append(content)
        return f"ds-{len(self.given)}"

    def train(self, what: str, request: dict[str, Any]) -> dict[str, Any]:
        self.trained.append(request)
        return {"model": f"{request['name']}:1", "spec": {"roles": {"input": {"encoder": {"name": "cnn"}}}}}

    def embeddings(self, model: str, rows: list[Any]) -> list[list[float]]:
        found: list[list[float]] = self.draw.random((len(rows), story.DIMENSIONS)).tolist()
        return found

    def reconstructions(self, model: str, rows: list[Any]) -> list[dict[str, Any]]:
        return [{"reconstruction": row, "error": 0.25} for row in rows]

    def predictions(self, model: str, rows: list[Any]) -> list[dict[str, Any]]:
        return [{"label": label} for label in self.draw.integers(10, size=len(rows)).astype(str)]


def test_each_draw_of_labels_is_another_one_and_is_told_beside_their_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "draw", lambda *given: None)
    service, watch = Service(), story.Watch()

    report = story.tell(cast(Client, service), digits.load(60), watch, tmp_path, 3, {"epochs": 2})

    few = report["few_labels"]
    assert (few["labels"], few["draws"]) == (100, 3)
    for name in ("fine_tuned", "from_scratch"):
        assert len(set(few[f"{name}_accuracies"])) == 3
        assert few[f"{name}_accuracy"] == pytest.approx(np.mean(few[f"{name}_accuracies"]))
    assert len(set(service.given)) == len(service.given) == 1 + 3
    assert all(request["training"]["epochs"] == 2 for request in service.trained)
    assert [request.get("base_model") for request in service.trained] == [None, None, *(["digits-default:1", None] * 3)]
    assert watch.seconds.keys() > {"fine_tuned", "from_scratch", "upload_few"}
