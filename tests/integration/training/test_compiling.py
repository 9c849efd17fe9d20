"""Jobs that ask for a compiled network, with torch's real compiler."""

import warnings
from typing import Any

import pytest
import torch

from app.registry import events
from tests.workshop import Workshop, blobs

SHORT: dict[str, Any] = {"epochs": 12, "batch_size": 32, "precision": "fp32"}


def test_a_compiled_network_trains_and_is_served_as_it_is(sqlite: Workshop) -> None:
    """`torch.compile` warns of things inside torch."""
    dataset = sqlite.dataset(blobs(labels=False))
    training = SHORT | {"epochs": 3, "compile": True}
    job = sqlite.job(dataset, encoder={"name": "mlp", "widths": [8]}, training=training)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        version = sqlite.train(job)
    assert version.metrics["mse"] < version.metrics["baselines"]["mean"]["mse"]
    with sqlite.database.reading() as session:
        told = [event.message for event in events.after(session, job.id, 0, 100)]
    assert any(message.startswith("compiled in") for message in told), told


@pytest.mark.skipif(torch.cuda.is_available(), reason="what compiles for a GPU is there, and its steps are recorded")
def test_a_job_that_cannot_be_compiled_is_trained_without(sqlite: Workshop) -> None:
    import torch._inductor.config as inductor  # here, since it takes seconds

    dataset = sqlite.dataset(blobs(labels=False))
    plain = sqlite.train(sqlite.job(dataset, training=SHORT))
    job = sqlite.job(dataset, training=SHORT | {"compile": True})
    with warnings.catch_warnings(), inductor.patch({"cpp.cxx": ("/there/is/no/compiler",)}):
        warnings.simplefilter("ignore")
        version = sqlite.train(job)
    assert sqlite.weights(version) == sqlite.weights(plain)
    with sqlite.database.reading() as session:
        (told,) = [event for event in events.after(session, job.id, 0, 100) if "training.compile" in event.message]
    assert told.level == "warn"
    assert "trained without" in told.message
