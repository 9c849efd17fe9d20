"""A trained model on disk: save, load, verify. Never pickle. Knows no storage and no registry.

Three files: `model.json` (what it is: spec, what the modalities learned, abilities, sha256 of the others),
`weights.safetensors`, and `golden.safetensors` (encoded inputs and the answers that every later load must give).
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from app.errors import ArtifactDamaged, RootstockError
from app.ml.build import build_network
from app.ml.encoders.base import Encoder
from app.ml.jobs.network import OBJECTIVE, RoleSpec, unreadable
from app.ml.modalities.base import Fitted
from app.ml.networks.work import multiplications
from app.ml.objectives.base import Objective, ObjectiveSettings
from app.ml.tensors.files import save_tensors
from app.ml.tensors.padding import joined_answers
from app.ml.tensors.parts import MOST_NUMBERS
from app.ml.tensors.shapes import Tensors

FORMAT = 1
FILES = MODEL, WEIGHTS, GOLDEN = "model.json", "weights.safetensors", "golden.safetensors"
TOLERANCE = 1e-4
"""Largest difference from a golden answer, relative to the largest number in it where that is above 1."""
BATCH_SIZES = (1, 3, 8, 64, 257)
"""Kernels differ between batch sizes: one row, odd, whole, and more than one block."""
FEW_ROWS, MOST_WORK = 3, 50_000_000_000
"""A batch of more rows is proved if it costs no more multiplications, about half a second: no batch is asked for that
takes longer. A transformer that reconstructs 512 tokens would have been proved for a minute at every load."""

T = TypeVar("T")


@dataclass(frozen=True)
class Artifact:
    """A loaded model."""

    network: Objective
    roles: dict[str, Fitted]
    spec: dict[str, Any]
    abilities: list[str]
    dimensions: int | None
    request_role: str
    """Role whose items requests bring."""
    golden_inputs: Tensors
    golden_outputs: Tensors
    """Ability to answers."""
    size_bytes: int
    """Of the weights in memory."""
    extra: dict[str, Any]
    """What else was written beside it: name, whole spec and metrics, where a training made it."""
    response_role: str = ObjectiveSettings.response_role
    """Role in whose modality answers are shown, where the model has such a role."""

    @property
    def looks_up(self) -> bool:
        """True where an encoder looks up what it answers, with little to multiply."""
        return any(part.looks_up for part in self.network.modules() if isinstance(part, Encoder))

    @cached_property
    def work_per_row(self) -> int:
        """Multiplications that the first golden row costs in the layers that weigh, by the abilities' mean. To be asked
        for while the network is where it was loaded."""
        first = {name: tensor[:1] for name, tensor in self.golden_inputs.items()}
        whole = multiplications(self.network, lambda: [show(self.network, each, first) for each in self.abilities])
        return whole // len(self.abilities)

    @property
    def batch_sizes(self) -> list[int]:
        """Those of BATCH_SIZES that batches of this model have."""
        return [size for size in BATCH_SIZES if self.has_batches_of(size)]

    def has_batches_of(self, rows: int) -> bool:
        numbers = self.golden_inputs["values"][0].numel()
        return rows <= FEW_ROWS or (rows * self.work_per_row <= MOST_WORK and rows * numbers <= MOST_NUMBERS)


def save(
    folder: Path,
    network: Objective,
    roles: Mapping[str, Fitted],
    spec: Mapping[str, Any],
    *,
    golden_inputs: Tensors,
    extra: Mapping[str, Any],
) -> dict[str, Path]:
    """Writes the files into `folder` and returns them by name.

    Raises ArtifactDamaged when the network's answers to `golden_inputs` are not finite: it must not be published.
    """
    abilities = sorted(OBJECTIVE.validate_python(spec["objective"]).abilities)
    network.eval()
    golden = {f"input.{name}": tensor for name, tensor in golden_inputs.items()}
    answers = {ability: show(network, ability, golden_inputs) for ability in abilities}
    for ability, answer in answers.items():
        if not torch.isfinite(answer).all():
            raise ArtifactDamaged(f"the network's answers to {ability!r} are not finite; it cannot be published")
    save_tensors(golden | {f"output.{ability}": answer for ability, answer in answers.items()}, folder / GOLDEN)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}  # they may not share memory
    save_tensors(weights, folder / WEIGHTS)
    about = {
        "format": FORMAT,
        "spec": dict(spec),
        "fitted": {role: fitted.state() for role, fitted in roles.items()},
        "abilities": abilities,
        "dimensions": answers["embed"].shape[1] if "embed" in answers else None,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "sha256": {name: _sha256(folder / name) for name in (WEIGHTS, GOLDEN)},
        "versions": {"torch": torch.__version__},
        "extra": dict(extra),
    }
    (folder / MODEL).write_text(json.dumps(about, allow_nan=False), encoding="utf-8")
    return {name: folder / name for name in FILES}


def own(held: Mapping[str, T]) -> dict[str, T]:
    """What is an artifact's, of all that is held by the names of files."""
    return {name: item for name, item in held.items() if name in FILES}


def load(files: Mapping[str, Path]) -> Artifact:
    """The model whose files these are, on the CPU, in evaluation mode.

    Raises ArtifactDamaged when a file is missing, altered, or does not fit the others. Does not run it: see `verify`.
    """
    for name in FILES:
        if name not in files:
            raise ArtifactDamaged(f"the artifact has no {name}; it holds {sorted(files)}")
    try:
        about = json.loads(files[MODEL].read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise ArtifactDamaged(f"{MODEL} has format {about['format']!r}; this version reads {FORMAT}")
        for name, expected in about["sha256"].items():
            if (found := _sha256(files[name])) != expected:
                raise ArtifactDamaged(f"{name} has sha256 {found}, and {MODEL} says {expected}")
        spec = about["spec"]
        roles = {
            role: RoleSpec.model_validate(part).modality.restore(about["fitted"][role])
            for role, part in spec["roles"].items()
        }
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn and thrown away
            network = build_network(spec, roles)
        weights = load_file(files[WEIGHTS])
        network.load_state_dict(weights)
        golden = load_file(files[GOLDEN])
        objective = OBJECTIVE.validate_python(spec["objective"])
        return Artifact(
            network=network.eval().requires_grad_(False),
            roles=roles,
            spec=spec,
            abilities=about["abilities"],
            dimensions=about["dimensions"],
            request_role=objective.request_role,
            response_role=objective.response_role,
            golden_inputs=_below("input", golden),
            golden_outputs=_below("output", golden),
            size_bytes=sum(tensor.nbytes for tensor in weights.values()),
            extra=about["extra"],
        )
    except ValidationError as error:
        raise ArtifactDamaged(unreadable(error)) from error
    except RootstockError as error:
        raise error if isinstance(error, ArtifactDamaged) else ArtifactDamaged(error.message) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise ArtifactDamaged(f"the artifact cannot be read: {type(error).__name__}: {error}") from error


def verify(artifact: Artifact, device: torch.device | None = None) -> None:
    """Raises ArtifactDamaged unless the network gives the golden answers at every batch size, on its device."""
    rows = len(artifact.golden_inputs["values"])
    sizes = artifact.batch_sizes if device is None or device.type == "cpu" else BATCH_SIZES
    for ability in artifact.abilities:
        expected = artifact.golden_outputs[ability]
        for size in sizes:
            which = torch.arange(size) % rows
            inputs = {name: tensor[which].to(device) for name, tensor in artifact.golden_inputs.items()}
            answer, wanted = show(artifact.network, ability, inputs).cpu(), expected[which]
            if answer.ndim > 1 and answer.shape[1] < wanted.shape[1]:  # the longest answer is not among these
                answer = joined_answers([answer, wanted])[:size]
            if not agrees(answer, wanted):
                found = difference(answer, wanted)
                raise ArtifactDamaged(
                    f"{ability!r} of {size} rows differs from the golden answer by {found:.3g}, more than "
                    f"{bound(wanted):.3g}: the weights or the code that runs them have changed"
                )


def agrees(answer: Tensor, wanted: Tensor) -> bool:
    """True when an answer is the golden one, within the tolerance."""
    return difference(answer, wanted) <= bound(wanted)


def difference(answer: Tensor, wanted: Tensor) -> float:
    """The largest one; infinite where the answer is no number, or has another shape."""
    largest = float((answer - wanted).abs().max()) if answer.shape == wanted.shape else math.inf
    return math.inf if math.isnan(largest) else largest


def bound(wanted: Tensor) -> float:
    """The largest difference from golden answers that is tolerated."""
    return TOLERANCE * max(1.0, float(wanted.abs().max()))


def ask(network: Objective, ability: str, inputs: Tensors) -> Tensor:
    """The network's answer [B, …] in float32."""
    with torch.inference_mode():
        answer: Tensor = getattr(network, ability)(inputs)
        return answer.float()


def show(network: Objective, ability: str, items: Tensors) -> Tensor:
    """What an ability does, by the example of encoded items: its answer [B, …] in float32."""
    with torch.inference_mode():
        return ask(network, ability, network.example_inputs(ability, items))


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
