"""Uploaded files: bytes kept as they came. Knows no format."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import InUse, NotFound
from app.registry import objects as stored
from app.registry.ids import new_id
from app.registry.moves import TERMINAL
from app.registry.page import Page, behind, paginate
from app.registry.tables import Batch, DatasetFile, File, Job, Upload

CONTENT = "content"
"""Name under which a file holds its objects: the parts, in order."""
NAMED_IN_JOBS = (("file",), ("evaluation", "word_pairs"), ("evaluation", "analogies"))
"""Where in a job's request a file may be named that the job reads."""


def create(
    session: Session,
    *,
    project_id: str,
    filename: str,
    purpose: str,
    objects: Sequence[stored.Bytes],
    sha256: str,
    size_bytes: int,
    there: stored.There | None = None,
) -> File:
    """Registers a file whose bytes are already stored; `sha256` is that of the whole.

    Given `there`, it holds the bytes of an older file of the same content instead, if storage still has them, and
    `objects` are left to the sweep.
    """
    if there is not None:
        stored.take_turns(session, sha256)
        objects = _same_content(session, sha256, size_bytes, there) or objects
    file = File(
        id=new_id("file-"),
        project_id=project_id,
        filename=filename,
        purpose=purpose,
        size_bytes=size_bytes,
        sha256=sha256,
    )
    session.add(file)
    session.flush()
    stored.hold(session, file.id, {CONTENT: objects})
    return file


def _same_content(session: Session, sha256: str, size_bytes: int, there: stored.There) -> Sequence[stored.Bytes]:
    """What the oldest file of this content holds, in any project; empty without one."""
    equal = sa.select(File.id).where(File.sha256 == sha256, File.size_bytes == size_bytes).order_by(File.id)
    oldest = session.scalar(equal.limit(1))
    return [] if oldest is None else stored.held_by(session, oldest, size_bytes, there)


def get(session: Session, project_id: str, file_id: str, *, kept: bool = False) -> File:
    """A file; one that is to be `kept` cannot be deleted before the transaction has ended. Raises NotFound."""
    statement = sa.select(File).where(File.id == file_id, File.project_id == project_id)
    file = session.scalar(statement.with_for_update(read=True) if kept else statement)
    if file is None:
        raise NotFound(f"no file {file_id!r}")
    return file


def list_page(
    session: Session,
    project_id: str,
    *,
    limit: int,
    after: str | None,
    descending: bool,
    purpose: str | None = None,
) -> Page[File]:
    statement = sa.select(File).where(File.project_id == project_id)
    if purpose is not None:
        statement = statement.where(File.purpose == purpose)
    return paginate(session, statement, File.id, limit=limit, after=behind(after, "file-"), descending=descending)


def needed_by_job(file_id: Any) -> sa.ColumnElement[bool]:
    """Of a job that has not ended and whose request names the file, or the column of one."""
    named = (Job.request[path].as_string() == file_id for path in NAMED_IN_JOBS)
    return sa.and_(Job.status.not_in(TERMINAL), sa.or_(*named))


def delete(session: Session, project_id: str, file_id: str) -> None:
    """Removes a file; its bytes die in the sweep. Raises InUse while a dataset, a batch or a job needs it."""
    statement = sa.select(File).where(File.id == file_id, File.project_id == project_id).with_for_update()
    file = session.scalar(statement)
    if file is None:
        raise NotFound(f"no file {file_id!r}")
    dataset_id = session.scalar(sa.select(DatasetFile.dataset_id).where(DatasetFile.file_id == file_id).limit(1))
    if dataset_id is not None:
        raise InUse(f"file {file_id} is used by dataset {dataset_id}; delete that first")
    named = sa.or_(Batch.input_file_id == file_id, Batch.output_file_id == file_id, Batch.error_file_id == file_id)
    batch_id = session.scalar(sa.select(Batch.id).where(named).limit(1))
    if batch_id is not None:
        raise InUse(f"file {file_id} is used by batch {batch_id}; delete that first")
    job_id = session.scalar(sa.select(Job.id).where(needed_by_job(file_id)).limit(1))
    if job_id is not None:
        raise InUse(f"file {file_id} is used by {job_id}, which has not ended; cancel that first")
    session.execute(sa.update(Upload).where(Upload.file_id == file_id).values(file_id=None))
    stored.release(session, file_id)
    session.delete(file)
    session.flush()
