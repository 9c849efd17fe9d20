"""Everything that decides a training job, as JSON: what a client may ask, and what it becomes once all is resolved.

`TrainRequest` is the body of `POST /v1/jobs`; `TrainSpec` is the same with every default and `auto` decided.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, field_validator, model_validator

from app.ml.augmentations.base import Augmentation
from app.ml.encoders.base import EncoderSettings
from app.ml.jobs.network import NetworkSpec
from app.ml.jobs.optimization import Real, ResolvedTraining, Training
from app.ml.modalities.base import Modality
from app.ml.objectives.base import ObjectiveSettings
from app.ml.plugins import AnyOf, Auto, Settings
from app.validation import NAME, REFERENCE

AnyAugmentation = Annotated[Augmentation, AnyOf("augmentations", Augmentation)]
ModalityChoice = Annotated[Modality | Auto, AnyOf("modalities", Modality, auto=True)]
EncoderChoice = Annotated[EncoderSettings | Auto, AnyOf("encoders", EncoderSettings, auto=True)]
ObjectiveChoice = Annotated[ObjectiveSettings | Auto, AnyOf("objectives", ObjectiveSettings, auto=True)]
AugmentationChoice = Annotated[Augmentation | Auto, AnyOf("augmentations", Augmentation, auto=True)]
MOST_DATASETS = 64


class DatasetRef(Settings):
    """A dataset to train on."""

    id: str
    """Id of the dataset, `ds-…`."""
    weight: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """How much of what is drawn comes from it, relative to the weights of the job's other datasets, whatever their
    numbers of rows: all of them have a weight, or none. In a resolved spec it is a share, of 1 in all."""


class Mixture(Settings):
    """How several datasets without weights share what is drawn."""

    temperature: Annotated[Real, Field(ge=1, le=1e6)] = 1.0
    """Shares are in proportion to rows^(1/temperature) (Conneau 2019). At 1 every row is drawn as often as any other;
    2 and more raise small datasets, up to equal shares."""


class RoleRequest(Settings):
    """A part of the data, how it becomes tensors and what encodes it."""

    modality: ModalityChoice = Field(default_factory=Auto)
    """How it becomes tensors."""
    encoder: EncoderChoice | None = None
    """The network that encodes it; null where none does."""


class Publish(Settings):
    """What happens when the job succeeds."""

    alias: str = Field(pattern=NAME)
    """Alias of the model that moves to the new version."""

    @field_validator("alias")
    @classmethod
    def _no_number(cls, alias: str) -> str:
        if alias.isdecimal():
            raise ValueError(f"an alias {alias!r} would be taken for version {alias}; it needs a letter")
        return alias


class Evaluation(Settings):
    """What a model of texts is asked about single words when it is registered, beside its untrained network."""

    word_pairs: str | None = None
    """Id of a file of word pairs with people's judgements of their likeness, such as WordSim-353: two words and a
    number a line, apart by tabs, commas or blanks. `metrics.word_similarity` is Spearman's rank correlation."""
    analogies: str | None = None
    """Id of a file of analogies, four words a line, such as `Athens Greece Baghdad Iraq`; lines that begin with `:`
    name sections. `metrics.analogy_accuracy` is the share whose last word is found among all known words."""


class TrainRequest(Settings):
    """A job that makes a model. `kind` picks defaults and no more: `base_model` is legal in both."""

    kind: Literal["pretrain", "finetune"]
    """Picks defaults and no more."""
    dataset: str | None = None
    """Id of the only dataset: short for `datasets` with one entry."""
    datasets: list[DatasetRef] = Field(default_factory=list, max_length=MOST_DATASETS)
    """The datasets to train on together. They must be of one kind: modality, shape, columns or sample rate; classes
    are united by their names."""
    mixture: Mixture | None = None
    """How often each of several datasets is drawn from, where they have no weights."""
    name: str | None = Field(None, pattern=NAME)
    """Name of the model that the job publishes; by default the name of the first dataset."""
    base_model: str | None = Field(None, pattern=REFERENCE)
    """Model whose encoder and preprocessing are taken over; excludes `encoder` and `modality`. A `pretrain` job with
    the objective of its base goes on with all of its weights."""
    modality: ModalityChoice | None = None
    """How raw items become tensors: short for `roles.input.modality`."""
    encoder: EncoderChoice | None = None
    """The backbone network: short for `roles.input.encoder`."""
    roles: dict[str, RoleRequest] | None = None
    """For objectives with several encoded roles: what each is made of."""
    objective: ObjectiveChoice = Field(default_factory=Auto)
    """What is learned."""
    augmentation: AugmentationChoice = Field(default_factory=Auto)
    """Random changes of training rows, named like the modality whose inputs they change; `none` leaves rows as they
    are, `auto` takes what suits modality and objective."""
    training: Training = Field(default_factory=Training)
    """How the weights move."""
    evaluation: Evaluation | None = None
    """Judgements of words that the model is compared with."""
    publish: Publish | None = None
    """What happens when it succeeds."""
    metadata: dict[str, str] = Field(default_factory=dict, max_length=16)
    """Up to 16 pairs of strings, kept and returned."""

    @model_validator(mode="after")
    def _whole(self) -> "TrainRequest":
        if (self.dataset is None) == (not self.datasets):
            raise ValueError("give either dataset (one id) or datasets (a list of at least one)")
        if len({ref.id for ref in self.dataset_refs}) < len(self.dataset_refs):
            raise ValueError("datasets names one dataset twice; add up its weights instead")
        weighted = sum(ref.weight is not None for ref in self.datasets)
        if 0 < weighted < len(self.datasets):
            raise ValueError("give every one of the datasets a weight, or none of them")
        if self.mixture is not None and (weighted or len(self.datasets) < 2):
            raise ValueError("mixture says how several datasets without weights share what is drawn; leave it out")
        if self.base_model is not None and (self.encoder is not None or self.modality is not None or self.roles):
            raise ValueError("base_model brings its own encoder and modality; leave encoder, modality and roles out")
        if self.kind == "finetune" and self.base_model is None:
            raise ValueError(
                "a finetune job needs base_model; without one, use kind 'pretrain' and name what is learned, such as "
                'objective {"name": "classification"}: without an objective it leaves labels aside'
            )
        if self.roles is not None and (self.encoder is not None or self.modality is not None):
            raise ValueError("modality and encoder are short for roles.input; give one or the other")
        return self

    @property
    def dataset_refs(self) -> list[DatasetRef]:
        return [DatasetRef.model_validate({"id": self.dataset})] if self.dataset is not None else self.datasets


class TrainSpec(NetworkSpec):
    """A training job with nothing left open: what the worker runs and the model's lineage keeps."""

    kind: Literal["pretrain", "finetune"]
    datasets: list[DatasetRef]
    name: str
    base_model: str | None
    """The version taken over, as `name:number`."""
    augmentation: AnyAugmentation
    training: ResolvedTraining
    evaluation: Evaluation | None = None
    publish: Publish | None = None


JobRequest: TypeAdapter[TrainRequest] = TypeAdapter(TrainRequest)
"""The body of `POST /v1/jobs`."""
