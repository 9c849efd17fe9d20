"""How a model reads what it is asked about: which of its roles, and as what. Knows no queue and no answer."""

from typing import Any

from app.errors import OutOfRange
from app.ml.artifact import Artifact
from app.ml.inference.sides import side_of
from app.ml.operations.base import Operation
from app.ml.runtime import engines
from app.ml.tensors.shapes import Arrays, Tensors


class Reading:
    """What a loaded model makes of requests.

    `modality` is how its inputs are read; `row_numbers` how many make an item, where items may come as arrays of such
    rows; `reads_texts` is true where they are texts.
    """

    def __init__(self, artifact: Artifact, max_inputs: int) -> None:
        self.modality = artifact.roles[artifact.request_role]
        self.row_numbers = self.modality.shape.count if self.modality.takes_arrays else None
        self.reads_texts = self.modality.shape.layout == "tokens"
        self._artifact, self._max_inputs = artifact, max_inputs

    def asks_sides(self, request: Any) -> bool:
        """True where it matters which side of pairs the items are of, or what they are compared with."""
        given = vars(request)  # to ask pydantic for a field that is not there costs ten times as much
        return bool(given.get("side") or given.get("candidate_labels") or self._artifact.network.sides)

    def side(self, operation: Operation, request: Any) -> tuple[str, str]:
        """The role that reads the request's items, and the network's method that answers them."""
        sides, asked = self._artifact.network.sides, getattr(request, "side", None)
        if operation.ability != engines.ABILITY or (not sides and asked is None):
            return self._artifact.request_role, operation.ability
        side = side_of(request.input, {name: self._artifact.roles[name] for name in sides}, asked)
        return side, sides[side]

    def inputs(self, operation: Operation, request: Any, role: str) -> Tensors:
        """What the network is asked with: the request's items as that role reads them, or what else it wants."""
        if operation.of_items:
            return self.read(operation, request, request.input, role)
        return operation.wanted(request, self.modality, self._artifact.network, self._artifact.dimensions)

    def encode(self, items: Any) -> Arrays:
        """Items as the network reads them. Raises what is wrong with one."""
        return self.modality.arrays(self.modality.read(items))

    def read(self, operation: Operation, request: Any, items: Any, role: str) -> Tensors:
        """Items as that role reads them. Raises OutOfRange for too many, and whatever is wrong with one."""
        modality = self._artifact.roles[role]
        column = modality.read(items)
        if len(column) > self._max_inputs:
            raise OutOfRange(f"input: holds {len(column)} items; at most {self._max_inputs} are allowed", param="input")
        return operation.encoded(request, modality, column)
