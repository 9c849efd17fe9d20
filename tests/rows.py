"""Registry rows for tests, made by the verbs that make them in the service."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.errors import InvalidData, TrainerCrashed
from app.registry import batches, datasets, fenced, files, jobs, keys, leases, models
from app.registry.tables import Batch, Dataset, File, Job, Version

LEASE = 60.0


@dataclass(frozen=True)
class Stored:
    """Bytes as storage describes them; there are none behind it."""

    key: str
    size_bytes: int
    sha256: str


def stored(content: bytes = b"bytes") -> Stored:
    return Stored(f"files/{secrets.token_hex(8)}", len(content), hashlib.sha256(content).hexdigest())


def project(session: Session, name: str = "garden") -> str:
    return keys.create_project(session, name).id


def caller(session: Session) -> keys.Caller:
    """A new project's new key."""
    _, secret = keys.create_key(session, project(session), "test", keys.SCOPES)
    found = keys.find(session, secret)
    assert found is not None
    return found


def file(session: Session, project_id: str, purpose: str = "pretrain") -> File:
    part = stored()
    return files.create(
        session,
        project_id=project_id,
        filename="rows.csv",
        purpose=purpose,
        objects=[part],
        sha256=part.sha256,
        size_bytes=part.size_bytes,
    )


def batch(session: Session, project_id: str) -> tuple[Batch, Job]:
    return batches.create(
        session,
        project_id=project_id,
        endpoint="/v1/embeddings",
        input_file_id=file(session, project_id).id,
        metadata={},
        max_attempts=1,
    )


def ready(session: Session, dataset_id: str) -> None:
    datasets.ready(
        session,
        dataset_id,
        profile={"rows": 3, "input": {"name": "images", "modality": "image", "shape": [8, 8, 1]}},
        report={"total": 0, "faults": []},
        fingerprint="f" * 64,
        rows=3,
        modality="image",
        objects={"train.arrow": stored(), "dataset.json": stored()},
    )


def dataset(session: Session, project_id: str, status: str = "ready") -> Dataset:
    made, ingest = datasets.create(
        session,
        project_id=project_id,
        name="rows",
        file_ids=[file(session, project_id).id],
        request={"modality": "auto"},
        metadata={},
        max_attempts=3,
    )
    if status != "validating":
        token = claim(session, ingest).token
        if status == "ready":
            ready(session, made.id)
            fenced.succeed(session, ingest.id, token)
        else:
            error = InvalidData("row 2 is ragged").body()
            datasets.failed(session, made.id, error=error, report={"total": 1, "faults": []})
            fenced.fail(session, ingest.id, token, error)
    return made


def claim(session: Session, job: Job, lease_seconds: float = LEASE) -> leases.Claim:
    claimed = leases.claim(session, job.id, "worker-1", lease_seconds)
    assert claimed is not None
    return claimed


def job(
    session: Session,
    project_id: str,
    status: str = "queued",
    *,
    datasets: Sequence[Dataset] = (),
    max_attempts: int = 3,
    metadata: dict[str, str] | None = None,
    base_version_id: str | None = None,
) -> Job:
    """A job that came to `status` by legal moves."""
    made = jobs.create(
        session,
        project_id=project_id,
        kind="pretrain",
        queue="train",
        request={"kind": "pretrain", "objective": {"name": "autoencoding"}},
        datasets=[(one.id, 1.0) for one in datasets],
        max_attempts=max_attempts,
        metadata=metadata,
        base_version_id=base_version_id,
    )
    if status == "queued":
        return made
    token = claim(session, made).token
    if status == "paused":
        jobs.ask(session, project_id, made.id, "pause")
        leases.leave(session, made.id, token)
    elif status == "cancelled":
        jobs.ask(session, project_id, made.id, "cancel")
        leases.leave(session, made.id, token)
    elif status == "succeeded":
        fenced.succeed(session, made.id, token)
    elif status == "failed":
        fenced.fail(session, made.id, token, TrainerCrashed("it crashed").body())
    return made


ROLES = {"input": {"modality": {"name": "image"}, "encoder": {"name": "mlp"}, "dimensions": 8, "shape": [8, 8, 1]}}


def version(
    session: Session,
    project_id: str,
    name: str = "digits",
    *,
    parent_id: str | None = None,
    job_id: str | None = None,
    aliases: Sequence[str] = (),
) -> Version:
    return models.publish(
        session,
        project_id=project_id,
        name=name,
        job_id=job_id,
        parent_id=parent_id,
        spec={"roles": ROLES, "objective": {"name": "autoencoding"}, "training": {"seed": 7}},
        modality="image",
        dimensions=8,
        abilities=["embed", "reconstruct"],
        metrics={"mse": 0.02, "baselines": {"pca": float("nan")}},
        datasets=[{"id": "ds-1", "fingerprint": "f" * 64, "weight": 1.0}],
        parameters=1000,
        objects={"model.json": stored(b"{}"), "weights.safetensors": stored(b"weights")},
        aliases=aliases,
    )
