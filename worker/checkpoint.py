"""Saves everything needed to go on training at one step, and finds it again. Written whole or not at all.

A checkpoint is two objects: `state.safetensors` (weights, best weights, optimizer) and `state.json` (spec, fitted
modalities, position, thread count). Bytes are written first; they exist once a committed row names them.
"""

import contextlib
import copy
import json
import logging
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from sqlalchemy.exc import DBAPIError
from torch import Tensor

from app.disk import needing_room
from app.errors import ArtifactDamaged, InsufficientStorage, NotReady
from app.ml.tensors.files import save_tensors
from app.registry import checkpoints, objects
from app.registry.db import is_full
from app.storage import Storage
from worker.progress import Reporter

log = logging.getLogger(__name__)

KEPT = 2
"""Checkpoints of a job that are kept: the newest and, should it turn out damaged, the one before."""


@dataclass
class Position:
    """Where a training stands, besides its tensors."""

    spec: dict[str, Any]
    fitted: dict[str, dict[str, Any]]
    total_steps: int
    threads: int
    """torch's thread count: another one may round differently."""
    environment: dict[str, str]
    """Processor and library versions, between which results may differ in the last bit."""
    step: int = 0
    best_step: int | None = None
    best_value: float | None = None
    stale: int = 0
    """Validations since the best one."""
    validations: int = 0
    elapsed_seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    accumulation: int = 0
    """Parts in which batches are computed; 0 before the first step."""
    bf16: bool = False
    devices: int = 1
    count: int = 0
    """What the training losses since the last validation were summed over."""
    rate_scale: float = 1.0
    """Factor on every learning rate: below 1 after the loss was no number once."""
    curves: dict[str, list[float]] = field(default_factory=lambda: {"train": [], "validation": []})
    """Losses at the validations, oldest first."""
    began: float | None = None
    """Validation loss before the first step."""
    first_value: float | None = None
    """What weights that are a solution before the first step are worth: less is not published."""
    told: list[str] = field(default_factory=list)
    """Names of the findings that its owner has been told."""
    validate_every: int = 0
    """Steps between two validations; 0 before the first step."""
    planned_at: int = 0
    """Step at which `total_steps` was planned last, for a time budget."""
    planned_share: float = 0.0
    """Share of the schedule that lay behind then."""

    @property
    def share(self) -> float:
        """How much of the schedule lies behind, from 0 to 1: even steps from the last plan to the end."""
        left = (self.step - self.planned_at) / max(1, self.total_steps - self.planned_at)
        return self.planned_share + (1 - self.planned_share) * left


@dataclass
class State:
    """A position and its tensors, by name.

    `network.…`, `best.…`, `optimizer.…`, `sums.…` of losses, `average.weights`.
    """

    position: Position
    tensors: dict[str, Tensor]


def save(reporter: Reporter, state: State) -> str:
    """Writes a checkpoint, registers it and drops those beyond `KEPT`; returns its id.

    Raises InsufficientStorage where the disk is full, leases.Fenced when the job was taken away meanwhile.
    """
    scratch, begun = reporter.scratch, time.monotonic()
    with needing_room(scratch), tempfile.TemporaryDirectory(dir=scratch, prefix="checkpoint-") as folder:
        tensors, position = Path(folder, "state.safetensors"), Path(folder, "state.json")
        save_tensors(state.tensors, tensors)
        position.write_text(json.dumps(asdict(state.position)))
        what = f"checkpoint-{state.position.step}"
        stored = {path.name: reporter.storage.put(reporter.key(what, path.name), path) for path in (tensors, position)}
    with reporter.database.session() as session:
        added = checkpoints.add(
            session,
            reporter.job_id,
            reporter.token,
            step=state.position.step,
            metrics=dict(state.position.metrics),
            objects=stored,
            write_seconds=time.monotonic() - begun,
        )
        superseded = checkpoints.supersede(session, reporter.job_id, KEPT)
    with contextlib.suppress(NotReady):  # of a store that is away; the sweep finds what is left
        reporter.storage.delete(superseded)
    return added.id


class Writer:
    """Writes checkpoints in a thread, one after the other, from copies: training goes on meanwhile.

    What the thread raises comes out of the next call. A full disk only costs a checkpoint: the one before stays.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._thread.submit(bool)  # begins it: a thread stays on the cores of who first needs it
        self._pending: Future[str] | None = None

    def save(self, state: State) -> None:
        """Copies the state and writes the copy; waits for the one before, so that two at most are held."""
        self.flush()
        tensors = {
            name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in state.tensors.items()
        }
        copied = State(copy.deepcopy(state.position), tensors)
        self._pending = self._thread.submit(save, self.reporter, copied)

    def flush(self) -> None:
        """Waits until everything is written."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        try:
            pending.result()
        except DBAPIError as error:
            if not is_full(error):
                raise
            log.warning("a checkpoint could not be registered: %s", error.orig)
        except (OSError, SafetensorError, NotReady, InsufficientStorage) as error:
            log.warning("a checkpoint could not be written: %s", error)
            self.reporter.event(
                "checkpoint",
                f"a checkpoint could not be written, training goes on from memory: {error}",
                level="warn",
            )

    def close(self) -> None:
        """Lets the thread end; waits for what it writes."""
        self._thread.shutdown()


def newest(reporter: Reporter) -> State | None:
    """The newest checkpoint of the job that can be read; a damaged one is reported and passed over."""
    with reporter.database.reading() as session:
        held = [(row.step, objects.held(session, row.id)) for row in checkpoints.newest(session, reporter.job_id)]
    for step, files in held:
        try:
            return read(reporter.storage, files)
        except ArtifactDamaged as error:
            log.warning("checkpoint of step %s cannot be read: %s", step, error)
            reporter.event(
                "checkpoint", f"the checkpoint of step {step} is damaged; going back to the one before", level="warn"
            )
    return None


def read(storage: Storage, files: Mapping[str, Sequence[objects.Bytes]]) -> State:
    """The checkpoint whose objects these are. Raises ArtifactDamaged."""
    try:
        paths = {name: storage.local(parts[0]) for name, parts in files.items()}
        position = Position(**json.loads(paths["state.json"].read_text()))
        return State(position, load_file(paths["state.safetensors"]))
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactDamaged(f"the checkpoint cannot be read: {type(error).__name__}: {error}") from error


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors below `prefix`, without it."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
