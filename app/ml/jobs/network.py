"""What a network is made of, as JSON: the part of a training's spec that the model's artifact keeps."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from app.ml.encoders.base import EncoderSettings
from app.ml.modalities.base import Modality
from app.ml.objectives.base import ObjectiveSettings
from app.ml.plugins import AnyOf, Settings

AnyModality = Annotated[Modality, AnyOf("modalities", Modality)]
AnyEncoder = Annotated[EncoderSettings, AnyOf("encoders", EncoderSettings)]
AnyObjective = Annotated[ObjectiveSettings, AnyOf("objectives", ObjectiveSettings)]
MODALITY: TypeAdapter[Modality] = TypeAdapter(AnyModality)
ENCODER: TypeAdapter[EncoderSettings] = TypeAdapter(AnyEncoder)
OBJECTIVE: TypeAdapter[ObjectiveSettings] = TypeAdapter(AnyObjective)


class RoleSpec(Settings):
    """A resolved role."""

    modality: AnyModality
    encoder: AnyEncoder | None = None
    dimensions: int | None = None
    """Width of the embedding; null takes the encoder's own."""
    like: str | None = None
    """Role whose preprocessing and encoder this one shares."""
    shape: list[int] = Field(default_factory=list)
    """Shape of a raw item of the dataset."""


class NetworkSpec(Settings):
    """What a network is made of, with nothing left open: the part of a spec that a model's artifact keeps."""

    roles: dict[str, RoleSpec]
    objective: AnyObjective

    def network(self) -> dict[str, Any]:
        """As JSON."""
        return self.model_dump(mode="json", include={"roles", "objective"})
