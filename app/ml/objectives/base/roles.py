"""The parts that an objective gives to data: what it asks of them, and what it is given for them."""

from dataclasses import dataclass

from app.ml.encoders.base import Capability, Encoder
from app.ml.modalities.base import Fitted
from app.ml.tensors.shapes import Layout


@dataclass(frozen=True)
class Role:
    """What an objective is given for one of its roles."""

    modality: Fitted
    encoder: Encoder | None = None
    dimensions: int | None = None
    """Asked width of the embedding; None takes the encoder's own."""


@dataclass(frozen=True)
class RoleNeeds:
    """What an objective asks of a role."""

    layouts: frozenset[Layout]
    encoded: bool = False
    """True when the role has an encoder."""
    capabilities: frozenset[Capability] = frozenset()
    place: int | None = None
    """Pixels of a side that a place of the encoder's finest map may have; None where maps are not looked at."""
