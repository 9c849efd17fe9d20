"""What a network is made of, as JSON: the part of a training's spec that the model's artifact keeps."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, TypeAdapter, ValidationError

from app.errors import DoesNotFit
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

    @classmethod
    def of(cls, reference: str, spec: Mapping[str, Any], param: str) -> Self:
        """That of a version, from its spec. Raises DoesNotFit where this release cannot read it."""
        try:
            return cls.model_validate({key: spec[key] for key in NetworkSpec.model_fields})
        except ValidationError as error:
            raise DoesNotFit(f"{param}: {reference} is of no use here: {unreadable(error)}", param=param) from error

    def network(self) -> dict[str, Any]:
        """As JSON."""
        return self.model_dump(mode="json", include={"roles", "objective"})


def unreadable(error: ValidationError) -> str:
    """Why settings that were stored cannot be read any more, or not yet."""
    first = error.errors(include_url=False)[0]
    said = ": ".join(filter(None, (".".join(map(str, first["loc"])), f"{first['msg']}; got {first['input']!r:.100}")))
    return f"this release cannot read its settings, it may be of a newer one, or of a plug-in that is gone: {said}"
