"""Files that arrive in parts: an upload waits for its parts until it is completed, cancelled or too old.

A part holds its bytes until then; afterwards the file holds those that were named, in order, and the sweep takes the
rest. Knows no storage, and not how the hash of a whole file is found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import DoesNotFit, NotFound, WrongState
from app.registry import files, objects
from app.registry.db import now
from app.registry.ids import new_id
from app.registry.tables import Link, Upload, UploadPart

PART = "data"
"""Name under which a part holds its object."""
OVERDUE = sa.and_(Upload.status == "pending", Upload.expires_at <= now())


@dataclass(frozen=True)
class Whole:
    """The bytes that make up an upload's file, in order."""

    parts: Sequence[objects.Bytes]
    sha256: str | None
    """Of the whole; None where only reading all of it can tell."""


def create(
    session: Session, *, project_id: str, filename: str, purpose: str, mime_type: str, size_bytes: int, seconds: float
) -> Upload:
    """Opens an upload of `size_bytes` that may take `seconds`."""
    upload = Upload(
        id=new_id("upload_"),
        project_id=project_id,
        filename=filename,
        purpose=purpose,
        mime_type=mime_type,
        size_bytes=size_bytes,
        status="pending",
        expires_at=now() + seconds,
    )
    session.add(upload)
    session.flush()
    return upload


def get(session: Session, project_id: str, upload_id: str) -> Upload:
    return _get(session, sa.select(Upload), project_id, upload_id)


def status(session: Session, upload: Upload) -> str:
    """Like `upload.status`, and `expired` from the moment on, whether or not a sweep has passed since."""
    shown = sa.select(sa.case((OVERDUE, "expired"), else_=Upload.status)).where(Upload.id == upload.id)
    found: str = session.scalars(shown).one()
    return found


def parts(session: Session, upload_id: str) -> list[UploadPart]:
    """What has arrived, oldest first."""
    statement = sa.select(UploadPart).where(UploadPart.upload_id == upload_id).order_by(UploadPart.id)
    return list(session.scalars(statement))


def add_part(session: Session, project_id: str, upload_id: str, part: objects.Bytes) -> UploadPart:
    """Registers a part whose bytes are already stored. Raises WrongState unless the upload waits for parts."""
    upload = _locked(session, project_id, upload_id)
    _in_state(session, upload, "pending")
    row = UploadPart(id=new_id("part_"), upload_id=upload.id, size_bytes=part.size_bytes, sha256=part.sha256)
    session.add(row)
    session.flush()
    objects.hold(session, row.id, {PART: part})
    return row


def named(session: Session, upload: Upload, part_ids: Sequence[str]) -> Whole:
    """The parts of `upload` that `part_ids` names, in that order.

    Raises WrongState unless it waits for parts or was completed with the same content, NotFound for a part that it
    does not have, DoesNotFit when one is named twice or their sizes do not add up.
    """
    _in_state(session, upload, "pending", "completed")
    arrived = {part.id: part for part in parts(session, upload.id)}
    chosen: dict[str, UploadPart] = {}
    for part_id in part_ids:
        if part_id not in arrived:
            raise NotFound(f"no part {part_id!r} in upload {upload.id}", param="part_ids")
        if part_id in chosen:
            raise DoesNotFit(f"part {part_id} is named twice; its bytes belong to one place", param="part_ids")
        chosen[part_id] = arrived[part_id]
    total = sum(part.size_bytes for part in chosen.values())
    if total != upload.size_bytes:
        raise DoesNotFit(
            f"the parts named have {total} bytes together, and the upload was announced with "
            f"{upload.size_bytes}; further parts that have arrived: {len(arrived) - len(chosen)}",
            param="part_ids",
        )
    if upload.status == "completed":
        return _completed(session, upload, list(chosen.values()))
    held = {link.owner: link.object for link in session.scalars(sa.select(Link).where(_links_of(upload.id)))}
    whole = [held[part_id] for part_id in chosen]
    return Whole(whole, whole[0].sha256 if len(whole) == 1 else None)


def complete(
    session: Session,
    project_id: str,
    upload_id: str,
    part_ids: Sequence[str],
    *,
    sha256: str,
    there: objects.There | None = None,
) -> Upload:
    """Makes the file of the parts as they lie, or, given `there`, of equal bytes that are stored already; `sha256` is
    that of the whole. Repeating it changes nothing.

    Raises what `named` raises.
    """
    upload = _locked(session, project_id, upload_id)
    whole = named(session, upload, part_ids)
    if upload.status == "pending":
        file = files.create(
            session,
            project_id=project_id,
            filename=upload.filename,
            purpose=upload.purpose,
            objects=whole.parts,
            sha256=sha256,
            size_bytes=upload.size_bytes,
            there=there,
        )
        upload.file_id = file.id
        places = {part_id: position for position, part_id in enumerate(part_ids)}
        for part in parts(session, upload.id):
            part.position = places.get(part.id)
        _end(session, upload, "completed")
    return upload


def cancel(session: Session, project_id: str, upload_id: str) -> Upload:
    """Gives up an upload; repeating it changes nothing. Raises WrongState when it was completed or has expired."""
    upload = _locked(session, project_id, upload_id)
    _in_state(session, upload, "pending", "cancelled")
    if upload.status == "pending":
        _end(session, upload, "cancelled")
    return upload


def expire(session: Session, upload_id: str) -> None:
    """Ends an upload that has waited too long. Raises NotFound when it has not, or has ended meanwhile."""
    overdue = sa.select(Upload).where(OVERDUE, Upload.id == upload_id).with_for_update(skip_locked=True)
    upload = session.scalar(overdue)
    if upload is None:
        raise NotFound(f"no upload {upload_id!r} that is overdue")
    _end(session, upload, "expired")


def _get(session: Session, statement: sa.Select[Upload], project_id: str, upload_id: str) -> Upload:
    upload = session.scalar(statement.where(Upload.id == upload_id, Upload.project_id == project_id))
    if upload is None:
        raise NotFound(f"no upload {upload_id!r}")
    return upload


def _locked(session: Session, project_id: str, upload_id: str) -> Upload:
    """Parts, completion, cancellation and expiry of one upload pass one after the other."""
    return _get(session, sa.select(Upload).with_for_update(), project_id, upload_id)


def _in_state(session: Session, upload: Upload, *right: str) -> None:
    found = status(session, upload)
    if found not in right:
        raise WrongState(f"upload {upload.id} is {found}; this needs one that is {' or '.join(right)}")


def _completed(session: Session, upload: Upload, chosen: Sequence[UploadPart]) -> Whole:
    """The file's bytes, if they are what `chosen` would give again."""
    if upload.file_id is None:
        raise WrongState(f"upload {upload.id} is completed, and its file was deleted since")
    file = files.get(session, upload.project_id, upload.file_id)
    placed = sorted((part.position, part) for part in parts(session, upload.id) if part.position is not None)
    if [(part.sha256, part.size_bytes) for part in chosen] != [(part.sha256, part.size_bytes) for _, part in placed]:
        raise WrongState(f"upload {upload.id} is completed as {file.id}, of other parts or in another order")
    return Whole(objects.held(session, file.id)[files.CONTENT], file.sha256)


def _links_of(upload_id: str) -> sa.ColumnElement[bool]:
    return Link.owner.in_(sa.select(UploadPart.id).where(UploadPart.upload_id == upload_id))


def _end(session: Session, upload: Upload, status: str) -> None:
    """No part is added any more, and none holds its bytes any longer."""
    upload.status = status
    session.flush()
    session.execute(sa.delete(Link).where(_links_of(upload.id)), execution_options={"synchronize_session": "fetch"})
