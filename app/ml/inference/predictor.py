"""The inference story, top to bottom: read, encode, batch, check, render. Knows no HTTP and no SQL."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.errors import AbilityMissing, InferenceFailed
from app.ml.artifact import Artifact, verify
from app.ml.inference.abilities import lacking
from app.ml.inference.aside import aside
from app.ml.inference.batch_size import FEW
from app.ml.inference.batcher import Batcher
from app.ml.inference.counters import Counters, Timings
from app.ml.inference.reading import Reading
from app.ml.inference.sides import compared_sides
from app.ml.inference.work import Answers
from app.ml.modalities.classes import Classes, FittedClasses
from app.ml.operations.base import Operation
from app.ml.runtime import engines
from app.ml.runtime.threads import threads_for
from app.ml.tensors.finite import all_finite
from app.ml.tensors.padding import elements
from app.ml.tensors.shapes import Arrays, Tensors, as_arrays, as_tensors
from app.ml.tensors.threads import computing_with

log = logging.getLogger(__name__)

T = TypeVar("T")

MANY = 16 * 1024
"""Numbers in an answer beyond which it is rendered off the event loop."""


class Predictor:
    """A loaded model that answers.

    `reading` is how it reads its inputs, `abilities` what it can be asked for, `size_bytes` what its weights take,
    `answer_numbers` how many numbers answer an item, by ability; who looks it up sets `used_at` (of the monotonic
    clock), who loads it `load_seconds`.
    """

    def __init__(
        self,
        artifact: Artifact,
        *,
        reference: str,
        max_inputs: int,
        counters: Counters,
        device: torch.device = torch.device("cpu"),
        engine: Mapping[str, Any] = MappingProxyType({}),
        graph: Callable[[], Path] | None = None,
    ) -> None:
        """Proves the artifact on its device first. Raises ArtifactDamaged when it does not give its golden answers.

        `engine` is what its version was published with, `graph` says where the graph is that came with it.
        """
        self.reference = reference
        self.reading = Reading(artifact, max_inputs)
        self.abilities = artifact.abilities
        self.answer_numbers = {name: golden[0].numel() for name, golden in artifact.golden_outputs.items()}
        self.used_at = time.monotonic()
        self.load_seconds = 0.0
        self._artifact, self._counters = artifact, counters
        self._device = device
        if self._device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False  # it would not give the golden answers
        work = artifact.work_per_row
        threads = threads_for(work)
        artifact.network.to(self._device)
        with computing_with(threads):
            verify(artifact, self._device)
            self.engine = engines.ready(engine, artifact, device=self._device, threads=threads, graph=graph)
        self.size_bytes = int(self.engine.weights * artifact.size_bytes)
        first = {name: tensor[:1] for name, tensor in artifact.golden_inputs.items()}
        self.batcher = Batcher(
            self._run,
            name=reference,
            threads=threads,
            counters=counters,
            element_work=work / max(1, elements(first)),
            few=1 if artifact.looks_up else FEW,
        )

    def sample(self, operation: Operation, pack: Callable[[dict[str, Any]], T]) -> T:
        """What `pack` makes of the answer to the first golden input."""
        inputs = {name: tensor[:1].numpy() for name, tensor in self._artifact.golden_inputs.items()}
        outputs = self._artifact.golden_outputs[operation.ability][:1].numpy()
        request = operation.Request.model_construct(model=self.reference, input=None)
        return self.render(operation, request, inputs, outputs, pack)

    async def answer(
        self,
        operation: Operation,
        request: Any,
        *,
        large: bool,
        pack: Callable[[dict[str, Any]], T],
        waited: float = 0.0,
    ) -> tuple[T, Timings]:
        """What `pack` makes of the answer's body, and its timings; the seconds `waited` for a permit count as queued.

        `large` input is read and encoded, and a large answer rendered and packed, off the event loop.
        Raises AbilityMissing, InferenceFailed, and whatever is wrong with the input.
        """
        began = time.perf_counter()
        labels = operation.compared(request)
        if labels is not None:
            return await self._match(operation, request, labels, pack, waited)
        self._require(operation)
        side, method = self.reading.side(operation, request)
        inputs = await aside(large, self.reading.inputs, operation, request, side)
        preprocess = time.perf_counter() - began
        work = await self.batcher.submit(method, inputs)
        outputs = work.outputs
        if not work.finite:
            self.check_finite(outputs)
        given = as_arrays(inputs)
        dear = operation.slow or outputs.size > MANY
        answer = await aside(dear, self.render, operation, request, given, outputs, pack, side)
        timings = Timings(preprocess, waited + work.started_at - work.queued_at, work.seconds)
        self.count(work.rows, timings)
        return answer, timings

    def count(self, rows: int, *timings: Timings) -> None:
        """Notes answers of `rows` items together."""
        self._counters.answered(rows, timings)

    async def _match(
        self, operation: Operation, request: Any, labels: list[str], pack: Callable[[dict[str, Any]], T], waited: float
    ) -> tuple[T, Timings]:
        """Items of one side against `labels` of the other, for models of pairs."""
        began = time.perf_counter()
        network, roles = self._artifact.network, self._artifact.roles
        if not network.sides:
            raise AbilityMissing(
                f"model {self.reference} cannot compare with candidate_labels; models of pairs (objective 'alignment') "
                "can",
                param="candidate_labels",
            )
        side, other = compared_sides(request.input, {name: roles[name] for name in network.sides})
        inputs = await aside(True, self.reading.read, operation, request, request.input, side)
        texts = await aside(True, self.reading.read, operation, request, labels, other)
        preprocess = time.perf_counter() - began
        works = await asyncio.gather(
            self.batcher.submit(network.sides[side], inputs), self.batcher.submit(network.sides[other], texts)
        )
        items, others = (torch.from_numpy(work.outputs) for work in works)
        scores = network.match(items, others).numpy()  # type: ignore[operator]
        self.check_finite(scores)
        target = FittedClasses(Classes(), labels)
        answer = operation.answer(request, roles[side], target, as_arrays(inputs), scores)
        answer["model"] = self.reference
        queued = waited + works[0].started_at - works[0].queued_at
        timings = Timings(preprocess, queued, sum(work.seconds for work in works))
        self.count(len(items), timings)
        return pack(answer), timings

    def close(self) -> None:
        """Ends the owner thread once nothing waits."""
        self.batcher.close()

    def _require(self, operation: Operation) -> None:
        if operation.ability not in self._artifact.abilities:
            chooses = self._artifact.network.sides and "candidate_labels" in operation.Request.model_fields
            more = ", and choose among candidate_labels" if chooses else ""
            raise lacking(self.reference, operation.ability, self._artifact.abilities, more)

    def answer_here(self, ability: str, inputs: Arrays) -> Answers | None:
        """The answers to rows [B, …], computed at once.

        None where others wait, or where it would hold up the event loop. Raises whatever the network does.
        """
        values = inputs["values"]
        session = None if "mask" in inputs else self.engine.session_for(ability, len(values))
        run = partial(self._run_arrays, ability) if session is None else session.run
        answers = self.batcher.compute_here(values.size, partial(run, inputs))
        assert answers is None or len(answers.outputs) == len(values), "there are not as many answers as rows: a bug"
        return answers

    def _run(self, ability: str, inputs: Tensors) -> Tensor:
        """By torch, in whatever thread computes."""
        if self._device.type == "cpu":
            return self.engine.ask(ability, inputs)
        on_device = {name: tensor.to(self._device) for name, tensor in inputs.items()}
        return self.engine.ask(ability, on_device).cpu()

    def _run_arrays(self, ability: str, inputs: Arrays) -> NDArray[np.float32]:
        with computing_with(1):
            return self._run(ability, as_tensors(inputs)).numpy()

    def check_finite(self, outputs: NDArray[np.float32]) -> None:
        """Raises InferenceFailed for a number that is not."""
        if not all_finite(outputs):
            row = int(np.argwhere(~np.isfinite(outputs))[0][0])
            log.error("model %s answered with a number that is not finite", self.reference)
            raise InferenceFailed(
                f"model {self.reference} answered input[{row}] with a number that is not finite; nothing is returned"
            )

    def plain(self, operation: Operation, request: Any, outputs: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """The numbers [B, …] that are the whole answer in its binary form; None where they take more work."""
        if not operation.plain(request):
            return None
        return operation.adapt(request, self._artifact.network, outputs)

    def render(
        self,
        operation: Operation,
        request: Any,
        inputs: Arrays,
        outputs: NDArray[np.float32],
        pack: Callable[[dict[str, Any]], T],
        side: str | None = None,
    ) -> T:
        """What `pack` makes of the answer's body."""
        roles = self._artifact.roles
        outputs = operation.adapt(request, self._artifact.network, outputs)
        told = roles.get(self._artifact.response_role)
        answer = operation.answer(request, roles[side or self._artifact.request_role], told, inputs, outputs)
        answer["model"] = self.reference
        return pack(answer)
