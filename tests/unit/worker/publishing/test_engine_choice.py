"""The engine of a network is chosen by measurement and parity."""

import time
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from app.errors import InsufficientStorage
from app.ml import artifact
from app.ml.runtime import engines, onnx
from app.ml.tensors.shapes import Tensors
from tests import networks
from tests.little_room import little_room
from worker.publishing.engine_choice import choose, decided, measured


@pytest.fixture
def loaded(tmp_path: Path) -> artifact.Artifact:
    return artifact.load(networks.write(tmp_path))


def test_what_is_chosen_is_what_was_measured(tmp_path: Path, loaded: artifact.Artifact) -> None:
    chosen = choose(loaded, tmp_path)
    times = chosen["milliseconds"]
    assert set(times) == {"fp32", "onnx"} | ({"bf16"} if engines.can("bf16") else set())
    assert all(set(found) == {"1", "8", "64"} for found in times.values())
    assert chosen.get("cosine", 1) > 0.99
    cosine = chosen.get("cosine")
    assert chosen == decided(times, cosine)
    if engines.uses(chosen, "onnx"):
        assert (tmp_path / onnx.FILE).exists()


@pytest.mark.parametrize(("affordable", "sizes"), [(0, {"1"}), (8, {"1", "8"})])
def test_batches_that_nobody_asks_for_are_not_measured(
    tmp_path: Path, loaded: artifact.Artifact, affordable: int, sizes: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifact, "MOST_WORK", affordable * loaded.work_per_row)
    chosen = choose(loaded, tmp_path)
    assert all(set(found) == sizes for found in chosen["milliseconds"].values())
    assert chosen == decided(chosen["milliseconds"], chosen.get("cosine"))


def test_no_engine_is_chosen_where_its_graph_found_no_room(tmp_path: Path, loaded: artifact.Artifact) -> None:
    """Or a model would be served slower for ever, since a disk was full for a moment."""
    with little_room(1000), pytest.raises(InsufficientStorage):
        choose(loaded, tmp_path)
    assert choose(loaded, tmp_path)


def test_waits_of_a_busy_machine_are_not_an_engines() -> None:
    def taking(*seconds: float) -> Any:
        waits = cycle(seconds)

        def answer(rows: Tensors) -> Tensor:
            time.sleep(next(waits))
            return rows["values"]

        return answer

    disturbed = taking(0.2, 0.16, 0.16, 0.1, 0.1, 0.06, 0.06, 0.0)
    found = measured({"fp32": taking(0.02), "onnx": disturbed}, {"values": torch.zeros(1, 4)})
    assert found["onnx"] < found["fp32"]


@pytest.mark.parametrize(
    ("onnx_takes", "bf16_takes", "cosine", "expected"),
    [
        ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), 1.0, {"name": "fp32"}),
        ((0.5, 0.5, 0.5), (1.0, 1.0, 1.0), 1.0, {"name": "onnx"}),
        ((0.5, 1.1, 0.9), (1.0, 1.0, 1.0), 1.0, {"name": "onnx", "rows": 1}),
        ((0.5, 0.9, 0.5), (1.0, 1.0, 1.0), 1.0, {"name": "onnx"}),
        ((0.9, 0.5, 0.9), (1.0, 1.0, 1.0), 1.0, {"name": "onnx", "rows": 8}),
        ((0.5, 0.5, 0.9), (1.0, 1.0, 0.5), 0.9998, {"name": "onnx", "rows": 8}),
        ((0.5, 0.5, 0.9), (1.0, 1.0, 0.5), 0.99995, {"name": "onnx", "rows": 8, "beyond": [{"name": "bf16"}]}),
        ((0.5, 0.5, 0.4), (1.0, 1.0, 0.5), 0.99995, {"name": "onnx"}),
        ((1.0, 1.0, 1.0), (1.0, 0.9, 0.5), 0.99995, {"name": "bf16"}),
        ((1.0, 1.0, 1.0), (1.1, 1.0, 0.5), 0.99995, {"name": "fp32", "rows": 1, "beyond": [{"name": "bf16"}]}),
        (
            (0.5, 1.0, 1.0),
            (1.1, 1.1, 0.5),
            0.99995,
            {"name": "onnx", "rows": 1, "beyond": [{"name": "fp32", "rows": 8}, {"name": "bf16"}]},
        ),
    ],
)
def test_speed_and_closeness_decide(
    onnx_takes: tuple[float, ...], bf16_takes: tuple[float, ...], cosine: float, expected: dict[str, Any]
) -> None:
    takes = {"fp32": (1.0, 1.0, 1.0), "onnx": onnx_takes, "bf16": bf16_takes}
    times = {name: dict(zip(("1", "8", "64"), found, strict=True)) for name, found in takes.items()}
    assert decided(times, cosine) == {**expected, "cosine": cosine, "milliseconds": times}


def test_a_network_that_has_no_graph_is_served_by_torch(
    tmp_path: Path, loaded: artifact.Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embed(inputs: dict[str, torch.Tensor]) -> torch.Tensor:  # the number of rows becomes part of the trace
        return torch.zeros(len(inputs["values"]), 4) + float(inputs["values"][0, 0])

    monkeypatch.setattr(loaded.network, "embed", embed)
    loaded.golden_outputs["embed"][:] = artifact.ask(loaded.network, "embed", loaded.golden_inputs)
    chosen = choose(loaded, tmp_path)
    assert "onnx" not in {chosen["name"], *chosen.get("milliseconds", {})}
