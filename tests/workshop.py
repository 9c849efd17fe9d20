"""A registry, a store and a project in which tests make datasets and train, in this process, with the real handlers."""

import io
import threading
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.dataset_options import DatasetOptions
from app.registry import datasets, files, jobs, keys, leases, objects
from app.registry.db import Database
from app.registry.tables import Dataset, Job, Version
from app.settings import Settings
from app.storage import Storage
from worker.progress import Reporter, Stopped


class Workshop:
    """What a worker's process does for a job, call by call."""

    def __init__(self, database: Database, storage: Storage, home: Path) -> None:
        self.database, self.storage = database, storage
        self.settings = Settings(home=home, database_url=database.url.render_as_string(hide_password=False))
        with database.session() as session:
            self.project_id = keys.create_project(session, "tests").id

    def file(self, content: bytes, filename: str, purpose: str = "pretrain") -> str:
        """Stores a file; gives its id."""
        stored = self.storage.put(f"files/{uuid.uuid4()}", content)
        with self.database.session() as session:
            return files.create(
                session,
                project_id=self.project_id,
                filename=filename,
                purpose=purpose,
                objects=[stored],
                sha256=stored.sha256,
                size_bytes=stored.size_bytes,
            ).id

    def dataset(self, content: bytes | dict[str, NDArray[Any]], filename: str = "data.npz", **options: Any) -> Dataset:
        """Uploads one file (arrays become an NPZ), ingests it and gives the dataset's row, ready or failed."""
        if isinstance(content, dict):
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=False, **content)
            content = buffer.getvalue()
        file = self.file(content, filename)
        with self.database.session() as session:
            request = DatasetOptions.model_validate({"files": [file], **options}).model_dump(mode="json")
            dataset, job = datasets.create(
                session,
                project_id=self.project_id,
                name="data",
                file_ids=[file],
                request=request,
                metadata={},
                max_attempts=1,
            )
        from worker.ingest.run import run

        run(self.claim(job.id))
        with self.database.reading() as session:
            return session.get_one(Dataset, dataset.id)

    def job(self, dataset: Dataset, base: Version | None = None, **body: Any) -> Job:
        """Queues a training whose spec the worker resolves; `datasets` in the body stands for `dataset`."""
        reference = {"base_model": f"{base.model.name}:{base.number}"} if base is not None else {}
        data = {} if "datasets" in body else {"dataset": dataset.id}
        request = {"kind": "pretrain", **data, **reference, **body}
        with self.database.session() as session:
            return jobs.create(
                session,
                project_id=self.project_id,
                kind=request["kind"],
                queue="train",
                request=request,
                datasets=[(each["id"], 1.0) for each in body.get("datasets", [{"id": dataset.id}])],
                base_version_id=base.id if base is not None else None,
            )

    def claim(self, job_id: str, stop: threading.Event | None = None) -> Reporter:
        """What the job's process gets to work with."""
        with self.database.session() as session:
            claimed = leases.claim(session, job_id, "test", 600.0)
        assert claimed is not None
        return Reporter(self.settings, self.database, self.storage, job_id, claimed.token, stop or threading.Event())

    def train(self, job: Job) -> Version:
        """Runs the job to its end and gives what it published."""
        from worker.trainer import run

        run(self.claim(job.id))
        return self.version(job)

    def leave(self, job: Job) -> None:
        """Starts the job in a process that is asked to leave at once: it saves and hands the job back."""
        from worker.trainer import run

        stop = threading.Event()
        stop.set()
        reporter = self.claim(job.id, stop)
        with pytest.raises(Stopped):
            run(reporter)
        with self.database.session() as session:
            assert leases.leave(session, job.id, reporter.token) == "queued"

    def version(self, job: Job) -> Version:
        with self.database.reading() as session:
            return session.get_one(Version, session.get_one(Job, job.id).version_id)

    def look(self, job: Job) -> Job:
        with self.database.reading() as session:
            return session.get_one(Job, job.id)

    def files_of(self, version: Version) -> dict[str, Path]:
        """A version's files by their names."""
        with self.database.reading() as session:
            held = objects.held(session, version.id)
        return {name: self.storage.local(parts[0]) for name, parts in held.items()}

    def weights(self, version: Version) -> bytes:
        """The published weights, as stored."""
        from app.registry import objects

        with self.database.reading() as session:
            (stored,) = objects.held(session, version.id)["weights.safetensors"]
        return self.storage.get(stored.key)


def blobs(rows: int = 400, width: int = 12, classes: int = 3, *, labels: bool = True) -> dict[str, NDArray[Any]]:
    """Gaussian blobs around one centre per class: features float32 [rows, width] and labels [rows]."""
    drawn = np.random.default_rng(0)
    label = drawn.integers(0, classes, rows)
    centres = drawn.normal(0, 3, (classes, width))
    features = (centres[label] + drawn.normal(0, 1, (rows, width))).astype(np.float32)
    return {"features": features, "label": label.astype(str)} if labels else {"features": features}
