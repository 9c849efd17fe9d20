"""A registry, a store and a project in which tests upload files and ingest them with the real handler."""

import io
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from app.dataset import Dataset, open_dataset
from app.dataset_options import DatasetOptions
from app.registry import datasets, files, jobs, keys, leases, objects, tables
from app.registry.db import Database
from app.settings import PREFIX, Settings
from app.storage import Storage
from worker.ingest.run import run
from worker.processes.process import Order
from worker.progress import Reporter


def npy(values: Any, *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=pickled)
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


def idx(values: Any) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">u4").tobytes()
    return header + bytes(values.tobytes())


class StopsAfter(threading.Event):
    """Asks the job to leave at the `count`-th time it listens."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = count

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


class Bench:
    """Uploads, makes datasets and runs their ingest as the job's process would."""

    def __init__(self, database: Database, storage: Storage, home: Path, broker_url: str | None = None) -> None:
        self.database, self.storage = database, storage
        self.settings = Settings(home=home, broker_url=broker_url)
        with database.session() as session:
            self.project_id = keys.create_project(session, "tests").id

    def create(self, contents: Mapping[str, bytes], *, parts: int = 1, **options: Any) -> tables.Dataset:
        ids = []
        with self.database.session() as session:
            for name, content in contents.items():
                step = -(-len(content) // parts) or 1
                cut = [content[start : start + step] for start in range(0, len(content), step)] or [b""]
                stored = [self.storage.put(f"files/{uuid.uuid4()}", part) for part in cut]
                file = files.create(
                    session,
                    project_id=self.project_id,
                    filename=name,
                    purpose="pretrain",
                    objects=stored,
                    sha256=stored[0].sha256,
                    size_bytes=len(content),
                )
                ids.append(file.id)
            dataset, _ = datasets.create(
                session,
                project_id=self.project_id,
                name="data",
                file_ids=ids,
                request=DatasetOptions.model_validate({"files": ids, **options}).stored(),
                metadata={},
                max_attempts=3,
            )
            return dataset

    def claim(self, dataset: tables.Dataset, stop: threading.Event | None = None) -> Reporter:
        with self.database.session() as session:
            job_id = datasets.job(session, dataset.id).id
            claimed = leases.claim(session, job_id, "test", 600.0)
        assert claimed is not None
        return Reporter(self.settings, self.database, self.storage, job_id, claimed.token, stop or threading.Event())

    def process(self) -> "subprocess.Popen[bytes]":
        """A job's real process, which waits for an `Order`; for a registry and a store in the home's own folder."""
        environment = os.environ | {f"{PREFIX}HOME": str(self.settings.home)}
        return subprocess.Popen(
            [sys.executable, "-m", "worker.processes.process"], env=environment, stdin=subprocess.PIPE
        )

    def order(self, process: "subprocess.Popen[bytes]", dataset: tables.Dataset, lease_seconds: float) -> None:
        """Claims the dataset's ingest for the process and hands it over."""
        with self.database.session() as session:
            job_id = datasets.job(session, dataset.id).id
            claimed = leases.claim(session, job_id, "test", lease_seconds)
        assert claimed is not None
        assert process.stdin is not None
        process.stdin.write(Order(job_id, claimed.token, "ingest").line())
        process.stdin.flush()

    def ingest(self, contents: Mapping[str, bytes], *, parts: int = 1, **options: Any) -> tables.Dataset:
        dataset = self.create(contents, parts=parts, **options)
        run(self.claim(dataset))
        return self.look(dataset)

    def look(self, dataset: tables.Dataset) -> tables.Dataset:
        with self.database.reading() as session:
            return session.get_one(tables.Dataset, dataset.id)

    def job(self, dataset: tables.Dataset) -> tables.Job:
        with self.database.reading() as session:
            return datasets.job(session, dataset.id)

    def open(self, dataset: tables.Dataset) -> Dataset:
        with self.database.reading() as session:
            held = objects.held(session, dataset.id)
        return open_dataset({name: self.storage.local(parts[0]) for name, parts in held.items()})

    def wait_for(self, dataset: tables.Dataset) -> tables.Job:
        with self.database.session() as session:
            return jobs.create(
                session,
                project_id=self.project_id,
                kind="pretrain",
                queue="train",
                request={"kind": "pretrain", "dataset": dataset.id},
                datasets=[(dataset.id, 1.0)],
            )
