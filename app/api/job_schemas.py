"""The wire shapes of jobs and of what they tell. Knows no row."""

from typing import Any, Literal

from pydantic import ConfigDict

from app.api.schemas import ErrorBody, Wire

JobStatus = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]


class Weighted(Wire):
    """A dataset of a job."""

    id: str
    weight: float | None
    """Its share of what is drawn, of 1 in all; what was asked until the job is resolved, or null."""


class Progress(Wire):
    """How far a job is."""

    model_config = ConfigDict(extra="allow")

    percentage_done: float = 0.0
    """Of the work that is planned, 0 to 100."""
    epoch: float = 0
    max_epoch: int | None = None
    """Passes that are planned; null before that is known."""
    step: int = 0
    max_steps: int | None = None
    """Steps that are planned; null before that is known."""
    elapsed_time: float = 0.0
    """Seconds of work so far."""
    estimated_remaining_seconds: float | None = None
    """Until the last step; null before the speed is known."""
    samples_per_second: float | None = None
    """Training rows per second since the first step of the job's process. Validations, checkpoints, reports and reading
    the data are part of that time, preparation and the final evaluation are not."""
    best_step: int | None = None
    """Step whose weights are the best so far."""
    stage: str | None = None
    """What is done behind the last step: `evaluating`, `publishing`; null before, and when that is over."""


class JobObject(Wire):
    """One queued piece of work."""

    id: str
    object: Literal["job"] = "job"
    kind: str
    """What is done: `ingest`, `pretrain`, `finetune`, `evaluate`, `embed`, `publish` …"""
    status: JobStatus
    terminal: bool
    """True once the status can no longer change."""
    requested: Literal["cancel", "pause"] | None
    """What was asked of a running job that it has not done yet."""
    retry_of: str | None
    """The job that it repeats; null where there was none."""
    created_at: int
    started_at: int | None
    finished_at: int | None
    queue_position: int | None
    """1 for the job that is next; null when it is not queued."""
    attempt: int
    """Grows when a worker dies and another one takes the job up."""
    dataset: str | None
    """The first of `datasets`."""
    datasets: list[Weighted]
    """What it works on."""
    base_model: str | None
    """The version that it starts from, `name:number`."""
    request: dict[str, Any]
    """The body as it came."""
    spec: dict[str, Any] | None
    """The request with every default and `auto` resolved; null until the dataset is ready."""
    choices: list[dict[str, Any]] | None
    """`key`, `value` and `reason` of everything that was resolved."""
    model: str | None
    """The version that it published, `name:number`."""
    output_file: str | None
    """Id of the file that it wrote, of a job of kind `embed`."""
    progress: Progress
    """How far it is."""
    metrics: dict[str, Any]
    """The latest ones while it runs, the final ones afterwards."""
    error: ErrorBody | None
    metadata: dict[str, str]


class JobEvent(Wire):
    """Something that happened to a job."""

    id: str
    object: Literal["job.event"] = "job.event"
    number: int
    """Counts from 1 without gaps; `Last-Event-ID` and `after` take it or the id."""
    type: str
    """What happened, for programs: `job.running`, `dataset.ready`, `message` …"""
    level: str
    message: str
    data: dict[str, Any]
    """What belongs to it, for programs."""
    created_at: int


class MetricPoint(Wire):
    """One value of a job's curves."""

    step: int
    epoch: float
    split: str
    name: str
    """Of the curve."""
    value: float | None
    """Null when it was not finite."""
    finite: bool
    """False where the value was NaN or infinite."""


class CheckpointObject(Wire):
    """Everything needed to go on training, at one step."""

    id: str
    object: Literal["job.checkpoint"] = "job.checkpoint"
    job: str
    step: int
    model: str | None
    """`name:version` that was made of it: what can be asked; null where it was not published."""
    metrics: dict[str, Any]
    size_bytes: int
    write_seconds: float | None
    """How long it took to write it; training went on meanwhile."""
    created_at: int
