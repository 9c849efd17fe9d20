"""OpenAI's shapes of fine-tuning, with all fields that its SDK requires. Knows no registry verb."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from app.api.schemas import ErrorBody, Wire
from app.errors import Malformed
from app.registry.tables import Dataset, Job
from app.validation import NAME

Auto = Literal["auto"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class Hyperparameters(_Body):
    """What decides the training; `auto` is decided from the data."""

    n_epochs: Annotated[int, Field(ge=1, le=100_000)] | Auto = "auto"
    """Passes over the training rows."""
    batch_size: Annotated[int, Field(ge=1, le=1_048_576)] | Auto = "auto"
    """Rows per step."""
    learning_rate_multiplier: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | Auto = "auto"
    """Factor on the rate that is chosen from the data."""


class Supervised(_Body):
    """Learning from labels."""

    hyperparameters: Hyperparameters = Hyperparameters()
    """What decides the training."""


class Method(_Body):
    """How it is learned: from labels, the only way there is."""

    type: str = "supervised"
    """`supervised` alone."""
    supervised: Supervised = Supervised()
    """Its settings."""

    @field_validator("type")
    @classmethod
    def _known(cls, given: str) -> str:
        if given != "supervised":
            raise Malformed(f"method.type: {given!r} is not offered; 'supervised' is", param="method.type")
        return given


class FineTuningRequest(_Body):
    """Fine-tune a model on labelled rows."""

    model: str = Field(min_length=1, max_length=200)
    """The model to start from: `name`, `name:version` or `name@alias`."""
    training_file: str
    """Id of a file with inputs and labels."""
    validation_file: str | None = None
    """Id of a file to choose the best weights by; without one, a tenth of the rows is."""
    hyperparameters: Hyperparameters | None = None
    """The older place of `method.supervised.hyperparameters`."""
    method: Method | None = None
    """How it is learned, and with what hyperparameters."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    suffix: str | None = Field(None, pattern=NAME)
    """Name of the new model; without one, the old name and `-ft`."""
    metadata: dict[str, str] | None = Field(None, max_length=16)
    integrations: None = None
    """There are none."""

    @field_validator("validation_file")
    @classmethod
    def _another(cls, given: str | None, info: ValidationInfo) -> str | None:
        if given is not None and given == info.data.get("training_file"):
            raise ValueError("is the training_file; leave it out, and a tenth of the rows is held out for validation")
        return given

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if None not in (self.hyperparameters, self._of_method()) and self.hyperparameters != self._of_method():
            raise ValueError("hyperparameters: method.supervised.hyperparameters says otherwise; give one of the two")
        return self

    def _of_method(self) -> Hyperparameters | None:
        said = self.method is not None and "hyperparameters" in self.method.supervised.model_fields_set
        return self.method.supervised.hyperparameters if self.method is not None and said else None

    def training(self) -> dict[str, Any]:
        """As the `training` of a job."""
        asked = self._of_method() or self.hyperparameters or Hyperparameters()
        scale = asked.learning_rate_multiplier
        return {
            "epochs": asked.n_epochs,
            "batch_size": asked.batch_size,
            **({} if scale == "auto" else {"learning_rate_multiplier": scale}),
            **({} if self.seed is None else {"seed": self.seed}),
        }


class FineTuningJob(Wire):
    """A job with a base model, in OpenAI's shape."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    model: str
    """The version that it starts from, `name:number`."""
    fine_tuned_model: str | None
    """The version that it published."""
    organization_id: str
    """The project."""
    status: str
    """`validating_files`, then as of any job."""
    training_file: str
    """The first file of rows to learn from."""
    validation_file: str | None
    """The first file of rows to choose the best weights by; null where they are drawn."""
    hyperparameters: dict[str, Any]
    """As `method` has them."""
    method: dict[str, Any]
    """How it is learned, with what was decided in place of `auto`."""
    seed: int
    trained_tokens: int | None = None
    """Always null: rows are counted, not tokens."""
    result_files: list[str] = Field(default_factory=list)
    """Always empty: metrics stand in the job."""
    estimated_finish: int | None = None
    """Unix time in seconds at which it should end; null unless it runs."""
    integrations: list[Any] | None = None
    """There are none."""
    error: ErrorBody | None
    metadata: dict[str, str]

    @classmethod
    def of(cls, row: Job, dataset: Dataset | None, names: dict[str, str]) -> "FineTuningJob":
        """`dataset` is the job's first, `names` those of versions by their ids."""
        training = (row.spec or row.request).get("training", {})
        split = ((dataset.request.get("split") or {}).get("files") or {}) if dataset is not None else {}
        given = dataset.request["files"] if dataset is not None else [""]
        chosen = {
            "n_epochs": training.get("epochs", "auto"),
            "batch_size": training.get("batch_size", "auto"),
            "learning_rate_multiplier": row.request.get("training", {}).get("learning_rate_multiplier", "auto"),
        }
        validating = row.status == "queued" and dataset is not None and dataset.status == "validating"
        left = row.progress.get("estimated_remaining_seconds") if row.status == "running" else None
        return cls(
            id="ftjob-" + row.id.removeprefix("job-"),
            created_at=int(row.created_at),
            finished_at=None if row.finished_at is None else int(row.finished_at),
            model=names.get(row.base_version_id or "", str(row.request["base_model"])),
            fine_tuned_model=names.get(row.version_id or ""),
            organization_id=row.project_id,
            status="validating_files" if validating else row.status,
            training_file=(split.get("train") or given)[0],
            validation_file=next(iter(split.get("validation") or []), None),
            hyperparameters=chosen,
            method={"type": "supervised", "supervised": {"hyperparameters": chosen}},
            seed=training.get("seed", 0),
            estimated_finish=None if left is None or row.started_at is None else int(row.started_at + left),
            error=None if row.error is None else ErrorBody.model_validate(row.error),
            metadata=row.metadata_,
        )


class FineTuningEvent(Wire):
    """Something that happened to a job."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: str
    message: str
    type: Literal["message"] = "message"
    """Always `message`."""
    data: dict[str, Any]
    """What belongs to it, for programs."""


class FineTuningCheckpoint(Wire):
    """A state to which training could go back."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuned_model_checkpoint: str
    """`name:version` where it was published by `POST /v1/jobs/{job}/checkpoints/{id}/publish`; else its job and step, a
    name that no model has."""
    fine_tuning_job_id: str
    """The job that wrote it."""
    metrics: dict[str, Any]
    """Those of the job at that step; `full_valid_loss` is the SDK's name of `validation_loss`."""
    step_number: int
    """Optimizer steps until then."""
