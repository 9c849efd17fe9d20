"""The handler of an `ingest` job: files in, a dataset or a report of its faults out. Knows no format.

Bytes are written first, under keys that hold the job's token; one transaction then makes the dataset ready and the job
succeed. Whatever interrupts the work before that leaves bytes which no row names, and the sweep removes them.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from app import queue
from app.dataset import FORMAT, INFO
from app.dataset_options import DatasetOptions
from app.registry import datasets, fenced, jobs, objects
from app.registry.tables import Dataset, File, StoredObject
from app.storage import CHUNK, Stored
from worker.ingest.assembly import Assembled, assemble
from worker.ingest.faults import Faults, Refused
from worker.ingest.source import Context, Input
from worker.ingest.verification import Verification
from worker.progress import Reporter

TELL_SECONDS = 1.0
PATIENCE_SECONDS = 3.0
"""From the first fault on, for more of them: whoever has to mend a file need not wait until all of it was read."""
DAMAGE_SECONDS = 1.0
"""After faults, for the word that the upload itself was damaged: that explains them better."""


def run(reporter: Reporter) -> None:
    """Makes the dataset that the job names. Raises Stopped, and Fenced once the job was taken away."""
    with reporter.database.reading() as session:
        job = jobs.load(session, reporter.job_id)
        dataset = datasets.get(session, job.project_id, job.request["dataset"])
        files = [(file, objects.held(session, file.id)["content"]) for file in datasets.files(session, dataset.id)]
    faults = Faults()
    told = Progress(reporter, dataset.id, faults)
    with contextlib.ExitStack() as opened:
        context = Context(faults, opened, reporter.scratch, reporter.settings.max_file_bytes, told.tick, told.expect)
        verification = Verification(reporter.storage, opened)
        try:
            inputs = [open_input(reporter, file, parts, context, verification.begin) for file, parts in files]
            made = assemble(inputs, DatasetOptions.model_validate(dataset.request), context)
        except Refused:
            verification.wait(DAMAGE_SECONDS)
            _fail(reporter, dataset, faults)
            return
        verification.wait()
        _publish(reporter, dataset, made, faults)


class Progress:
    """Tells how far the job is and which faults were found, once a second, and hears when it is to leave.

    It ends the reading, by Refused, when faults were known long enough.
    """

    def __init__(self, reporter: Reporter, dataset_id: str, faults: Faults) -> None:
        self._reporter, self._dataset_id, self._faults = reporter, dataset_id, faults
        self._reported, self._first_fault = 0, 0.0
        self._began = self._told = time.monotonic()
        self._done = self._expected = 0

    def expect(self, rows: int) -> None:
        self._expected = rows

    def tick(self, rows: int) -> None:
        self._reporter.leave_if_asked()
        self._done += rows
        now = time.monotonic()
        if now - self._told < TELL_SECONDS:
            return
        self._told, elapsed = now, now - self._began
        share = self._done / self._expected if self._expected else 0.0
        self._reporter.progress(
            {
                "percentage_done": round(100 * share, 1),
                "step": self._done,
                "max_steps": self._expected,
                "elapsed_time": elapsed,
                "estimated_remaining_seconds": elapsed * (1 - share) / share if share else None,
                "samples_per_second": self._done / elapsed,
            }
        )
        found = self._faults.total + self._faults.dropped.total()
        if found > self._reported:  # nobody waits for the end of a large file to hear of a fault in its first rows
            self._reported = found
            with self._reporter.database.session() as session:
                datasets.tell_faults(session, self._dataset_id, self._faults.report())
        if self._faults.total:
            self._first_fault = self._first_fault or now
            if now - self._first_fault > PATIENCE_SECONDS:
                self._faults.cut_short = True
                raise Refused


def open_input(
    reporter: Reporter,
    file: File,
    parts: list[StoredObject],
    context: Context,
    local: Callable[[StoredObject], Path],
) -> Input:
    """An uploaded file to read from, at the path that `local` gives; one that came in parts is put together first."""
    stream: IO[bytes]
    if len(parts) == 1:
        stream = context.opened.enter_context(local(parts[0]).open("rb"))
    else:
        stream = context.temporary()
        for chunk in reporter.storage.open(parts):
            stream.write(chunk)
            context.tick(0)
        stream.flush()
    return Input(file.id, file.filename, stream, file.size_bytes)


def _fail(reporter: Reporter, dataset: Dataset, faults: Faults) -> None:
    error = faults.error().body()
    with reporter.database.session() as session:
        datasets.failed(session, dataset.id, error=error, report=faults.report())
        fenced.fail(session, reporter.job_id, reporter.token, error)


def _publish(reporter: Reporter, dataset: Dataset, made: Assembled, faults: Faults) -> None:
    folder = f"datasets/{dataset.id}/{reporter.token}"
    stored = {name: _store(reporter, f"{folder}/{name}", file, made.sha256[name]) for name, file in made.files.items()}
    content: dict[str, Any] = {name: item.sha256 for name, item in stored.items()}
    content["columns"] = [[column["name"], column["plays"], column["type"]] for column in made.profile["columns"]]
    fingerprint = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    info = {"format": FORMAT, "fingerprint": fingerprint, "profile": made.profile}
    stored[INFO] = reporter.storage.put(f"{folder}/{INFO}", json.dumps(info, ensure_ascii=False).encode())
    with reporter.database.session() as session:
        datasets.ready(
            session,
            dataset.id,
            profile=made.profile,
            report=faults.report(),
            fingerprint=fingerprint,
            rows=made.profile["rows"],
            modality=made.profile["modality"],
            objects=stored,
        )
        fenced.succeed(session, reporter.job_id, reporter.token, metrics={"rows": made.profile["rows"]})
        waiting = [(job.queue, job.id) for job in datasets.waiting_jobs(session, dataset.id)]
    if reporter.settings.broker_url is not None:
        for name, job_id in waiting:
            queue.enqueue(reporter.settings.broker_url, name, job_id)


def _store(reporter: Reporter, key: str, file: IO[bytes], sha256: str) -> Stored:
    reporter.leave_if_asked()
    return reporter.storage.adopt(key, file, sha256) or reporter.storage.put_stream(key, _chunks(reporter, file))


def _chunks(reporter: Reporter, file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(CHUNK):
        reporter.leave_if_asked()
        yield chunk
