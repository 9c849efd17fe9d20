"""Everything the environment may decide, read once from `ROOTSTOCK_*` variables."""

import difflib
import os
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "ROOTSTOCK_"
MIB = 1024 * 1024
GIB = 1024 * MIB

EmptyIsNone = BeforeValidator(lambda value: None if value == "" else value)


def spelled(pattern: str, right: str) -> AfterValidator:
    """For a text that must match as a whole; any other one is answered with what would be right."""

    def check(value: str | None) -> str | None:
        if value is not None and not re.fullmatch(pattern, value):
            raise PydanticCustomError("spelling", "expected {right}", {"right": right})
        return value

    return AfterValidator(check)


class SettingsError(ValueError):
    """A `ROOTSTOCK_*` variable is unknown or holds a value that cannot be used."""


class Settings(BaseSettings):
    """One instance per process. Field names, upper-cased behind `ROOTSTOCK_`, are the variables."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, use_attribute_docstrings=True, frozen=True, extra="forbid", allow_inf_nan=False
    )

    home: Path = Path("~/.rootstock")
    """Where the embedded default keeps its database, objects, keys, caches and logs."""
    database_url: Annotated[
        str | None,
        spelled(
            r"(sqlite|postgres(ql)?)(\+\w+)?://.*", "postgresql://user:password@host/name or sqlite:////folder/file"
        ),
        EmptyIsNone,
    ] = None
    """SQLAlchemy URL; without one, SQLite under `home`. Example: `postgresql://user:secret@host/rootstock`."""
    broker_url: Annotated[
        str | None,
        spelled(
            r"rediss?://[^/]+(//?\d*)?([?;].*)?|sentinel://.+",
            "redis://:password@host:6379/0 or rediss://…, where a / of the password is written %2F",
        ),
        EmptyIsNone,
    ] = None
    """`redis://…` of a Redis or Valkey server; without one, `rootstock serve` starts its own."""
    storage_url: Annotated[
        str | None, spelled(r"file:///.*|s3://[^/]+.*", "file:///folder or s3://bucket/prefix"), EmptyIsNone
    ] = None
    """`file:///folder` or `s3://bucket/prefix`; without one, a folder under `home`."""
    host: str = "127.0.0.1"
    """Address on which the API listens."""
    port: int = Field(8080, ge=0, le=65535)
    """TCP port on which the API listens; 0 takes a free one."""
    admin_key: Annotated[str | None, EmptyIsNone] = None
    """API key of the first project, where it must be known in advance; otherwise one is drawn at first start."""

    cors_origins: Annotated[
        str,
        spelled(
            r"|\*|https?://[^/\s,;]+(\s*,\s*https?://[^/\s,;]+)*",
            "origins without a path, such as https://app.example.org, http://localhost:3000, or * for all",
        ),
    ] = ""
    """Origins whose pages may call from a browser: `https://app.example.org, http://localhost:3000`, or `*` for all."""
    max_file_bytes: int = Field(16 * GIB, ge=1)
    """Largest file accepted, in bytes; refused while it streams."""
    max_body_bytes: int = Field(64 * MIB, ge=1024)
    """Largest JSON body accepted, in bytes."""
    max_inputs: int = Field(2048, ge=1)
    """Most inputs in one inference request."""
    max_waiting: int = Field(512, ge=1)
    """Inference requests that one process takes at once; further ones wait a moment for their turn, or get 429."""
    cache_bytes: int = Field(20 * GIB, ge=MIB)
    """Bound of the local cache of objects, in bytes."""
    model_memory_bytes: int = Field(4 * GIB, ge=MIB)
    """Weights that one serving process keeps loaded, in bytes; the least recently used model goes first."""
    model_idle_seconds: float = Field(3600.0, gt=0)
    """After so long without a question a model is let go, in seconds; those to preload stay."""
    preload: str = ""
    """Models that an API process loads when it starts and keeps, separated by commas: `digits, sounds@champion`."""
    body_seconds: float = Field(60.0, gt=0)
    """Time in which the body of a question to a model must have arrived, in seconds."""
    window_bytes: int = Field(256 * MIB, ge=MIB)
    """Encoded rows that a trainer holds at once and shuffles, in bytes."""

    lease_seconds: float = Field(30.0, gt=0)
    """How long a worker may stay silent before its job is taken from it, in seconds."""
    sweep_seconds: float = Field(5.0, gt=0)
    """Pause between two sweeps for lost rings and expired leases, in seconds."""
    orphan_seconds: float = Field(3600.0, ge=0)
    """Age at which unreferenced bytes are removed, in seconds."""
    upload_seconds: float = Field(86_400.0, gt=0)
    """How long an upload in parts may take before it expires, in seconds."""
    keep_unused_files_seconds: Annotated[float | None, EmptyIsNone] = Field(None, ge=0)
    """Age at which files that no dataset, batch or waiting job uses are deleted, in seconds; never without it."""
    keep_failed_datasets_seconds: Annotated[float | None, EmptyIsNone] = Field(None, ge=0)
    """Age at which datasets that failed are deleted, in seconds; never without it."""
    keep_superseded_datasets_seconds: Annotated[float | None, EmptyIsNone] = Field(None, ge=0)
    """Age at which datasets are deleted of whose name a newer one is ready, in seconds; never without it."""
    keep_ended_checkpoints_seconds: Annotated[float | None, EmptyIsNone] = Field(None, ge=0)
    """Time after the end of a job at which its checkpoints are deleted, in seconds; never without it."""
    stop_seconds: float = Field(60.0, gt=0)
    """How long a job's process may take to save its checkpoint when asked to stop, before it is killed, in seconds."""
    max_attempts: int = Field(3, ge=1)
    """How often a job whose worker died is taken up again, the first time included."""
    devices: int = Field(1, ge=1, le=64)
    """GPUs, or processes on a CPU, that share every training job of a worker."""
    device: Annotated[
        str, spelled(r"auto|cpu|cuda(:\d+)?", "auto, cpu, cuda, or one GPU of several, such as cuda:1")
    ] = "auto"
    """`auto` (CUDA when there is one), `cpu`, `cuda` or one GPU of several, such as `cuda:1`."""

    @property
    def origins(self) -> tuple[str, ...]:
        """`cors_origins`, one by one."""
        return tuple(filter(None, map(str.strip, self.cors_origins.split(","))))

    @property
    def retention(self) -> dict[str, float | None]:
        """How long each kind of thing is kept, in seconds, by the name of the retention's rule."""
        return {
            name.removeprefix("keep_").removesuffix("_seconds"): getattr(self, name)
            for name in type(self).model_fields
            if name.startswith("keep_")
        }

    @property
    def folder(self) -> Path:
        """`home` as an absolute path."""
        return self.home.expanduser().resolve()

    @property
    def scratch(self) -> Path:
        """Where the processes of jobs put what lasts no longer than they do."""
        return self.folder / "scratch"

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.folder / 'registry.db'}"

    @property
    def resolved_storage_url(self) -> str:
        return self.storage_url or (self.folder / "storage").as_uri()


def read_settings() -> Settings:
    """Reads the environment.

    Raises SettingsError naming each variable that is wrong, its value and what would be right.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for variable in os.environ:
        if variable.upper().startswith(PREFIX) and variable.upper() not in known:
            nearest = difflib.get_close_matches(variable.upper(), sorted(known), n=1, cutoff=0.0)[0]
            raise SettingsError(f"unknown variable {variable}; did you mean {nearest}?")
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError("\n".join(map(_worded, error.errors()))) from None


def _worded(fault: Any) -> str:
    """One of pydantic's faults, of a variable."""
    name = str(fault["loc"][0])
    given = "…" if name.endswith("_url") else repr(fault["input"])  # it may hold a password
    numeric = fault["type"] not in ("spelling", "string_type", "path_type")
    return f"{PREFIX}{name.upper()}={given}: {_number(name) if numeric else fault['msg']}"


def _number(name: str) -> str:
    """What is right for a setting that is a number."""
    field = Settings.model_fields[name]
    bounds = {key: getattr(held, key) for held in field.metadata for key in ("ge", "gt", "le") if hasattr(held, key)}
    words = "expected a whole number" if field.annotation is int else "expected a number"
    words += next((f" of {unit}" for unit in ("bytes", "seconds") if name.endswith(f"_{unit}")), "")
    if "le" in bounds:
        return f"{words} from {bounds['ge']} to {bounds['le']}"
    return f"{words} above {bounds['gt']:g}" if "gt" in bounds else f"{words}, at least {bounds['ge']:,}"


@cache
def settings() -> Settings:
    """The settings of this process."""
    return read_settings()
