import hashlib

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import DoesNotFit, NotFound, RootstockError, WrongState
from app.registry import files, objects, uploads
from app.registry.db import now
from app.registry.tables import Upload, UploadPart
from tests import rows

PIECES = [b"first", b"second", b"third"]
WHOLE = b"".join(PIECES)


def opened(session: Session, project_id: str, size_bytes: int = len(WHOLE), seconds: float = 60.0) -> Upload:
    return uploads.create(
        session,
        project_id=project_id,
        filename="rows.csv",
        purpose="pretrain",
        mime_type="text/csv",
        size_bytes=size_bytes,
        seconds=seconds,
    )


def arrive(session: Session, upload: Upload, pieces: list[bytes] = PIECES) -> dict[bytes, UploadPart]:
    return {
        piece: uploads.add_part(session, upload.project_id, upload.id, rows.stored(piece)) for piece in pieces[::-1]
    }


def complete(session: Session, upload: Upload, part_ids: list[str]) -> Upload:
    sha256 = hashlib.sha256(WHOLE).hexdigest()
    return uploads.complete(session, upload.project_id, upload.id, part_ids, sha256=sha256, there=lambda _: True)


def end(session: Session, upload: Upload, status: str) -> None:
    if status == "completed":
        arrived = arrive(session, upload)
        complete(session, upload, [arrived[piece].id for piece in PIECES])
    elif status == "cancelled":
        uploads.cancel(session, upload.project_id, upload.id)
    else:
        session.execute(sa.update(Upload).where(Upload.id == upload.id).values(expires_at=now() - 1))
        uploads.expire(session, upload.id)
        with pytest.raises(NotFound):
            uploads.expire(session, upload.id)
    session.refresh(upload)
    assert upload.status == status


def test_parts_become_the_file_in_the_order_in_which_they_are_named(session: Session, project_id: str) -> None:
    upload = opened(session, project_id)
    arrived = arrive(session, upload, [*PIECES, b"never named"])
    keys = {piece: objects.held(session, part.id)[uploads.PART][0].key for piece, part in arrived.items()}
    assert [part.size_bytes for part in uploads.parts(session, upload.id)] == [11, 5, 6, 5]

    done = complete(session, upload, [arrived[piece].id for piece in PIECES])

    assert (done.status, uploads.status(session, done)) == ("completed", "completed")
    file = files.get(session, project_id, done.file_id or "")
    assert (file.filename, file.purpose, file.size_bytes) == ("rows.csv", "pretrain", len(WHOLE))
    assert file.sha256 == hashlib.sha256(WHOLE).hexdigest()
    assert [part.key for part in objects.held(session, file.id)["content"]] == [keys[piece] for piece in PIECES]
    assert objects.orphans(session, -1) == [keys[b"never named"]], "what no file needs is let go"


def test_completing_again_gives_the_same_file(session: Session, project_id: str) -> None:
    upload = opened(session, project_id)
    arrived = arrive(session, upload)
    part_ids = [arrived[piece].id for piece in PIECES]
    first = complete(session, upload, part_ids).file_id
    assert complete(session, upload, part_ids).file_id == first
    with pytest.raises(WrongState, match=str(first)):
        complete(session, upload, part_ids[::-1])
    assert len(files.list_page(session, project_id, limit=9, after=None, descending=True).rows) == 1


def test_parts_become_the_bytes_of_an_equal_file(session: Session, project_id: str) -> None:
    whole = rows.stored(WHOLE)
    older = files.create(
        session,
        project_id=project_id,
        filename="whole.csv",
        purpose="pretrain",
        objects=[whole],
        sha256=whole.sha256,
        size_bytes=whole.size_bytes,
    )
    upload = opened(session, project_id)
    arrived = arrive(session, upload)
    part_ids = [arrived[piece].id for piece in PIECES]
    made = complete(session, upload, part_ids)
    assert [part.key for part in objects.held(session, made.file_id or "")["content"]] == [whole.key]
    assert len(objects.orphans(session, -1)) == len(PIECES)
    files.delete(session, project_id, older.id)
    assert complete(session, upload, part_ids).file_id == made.file_id
    with pytest.raises(WrongState, match=str(made.file_id)):
        complete(session, upload, part_ids[::-1])


def test_a_deleted_file_does_not_come_back(session: Session, project_id: str) -> None:
    upload = opened(session, project_id)
    arrived = arrive(session, upload)
    part_ids = [arrived[piece].id for piece in PIECES]
    file_id = complete(session, upload, part_ids).file_id
    files.delete(session, project_id, file_id or "")
    session.refresh(upload)
    with pytest.raises(WrongState, match="deleted"):
        complete(session, upload, part_ids)
    assert len(objects.orphans(session, -1)) == len(PIECES)


def test_what_is_named_must_be_there_once_and_add_up(session: Session, project_id: str) -> None:
    upload, other = opened(session, project_id), opened(session, project_id)
    first, second, third = (arrive(session, upload)[piece].id for piece in PIECES)
    foreign = arrive(session, other)[b"third"].id
    wrong: list[tuple[list[str], type[RootstockError], str]] = [
        ([first, second, "part_0"], NotFound, "part_0"),
        ([first, second, foreign], NotFound, foreign),
        ([first, second, second], DoesNotFit, "twice"),
        ([first, second], DoesNotFit, f"11 bytes together, and the upload was announced with {len(WHOLE)}"),
    ]
    for part_ids, error, match in wrong:
        with pytest.raises(error, match=match) as caught:
            complete(session, upload, part_ids)
        assert caught.value.param == "part_ids"
    assert uploads.status(session, upload) == "pending"
    assert complete(session, upload, [first, second, third]).file_id


def test_only_one_part_alone_tells_the_hash_of_the_whole(session: Session, project_id: str) -> None:
    one, many = opened(session, project_id, len(b"first")), opened(session, project_id)
    alone = arrive(session, one, [b"first"])[b"first"]
    assert uploads.named(session, one, [alone.id]).sha256 == alone.sha256
    part_ids = [part.id for part in arrive(session, many).values()]
    assert uploads.named(session, many, part_ids).sha256 is None


@pytest.mark.parametrize("status", ["completed", "cancelled", "expired"])
def test_an_upload_that_has_ended_takes_nothing_more(session: Session, project_id: str, status: str) -> None:
    upload = opened(session, project_id)
    end(session, upload, status)
    with pytest.raises(WrongState, match=f"is {status}"):
        uploads.add_part(session, project_id, upload.id, rows.stored(b"late"))
    if status == "cancelled":
        assert uploads.cancel(session, project_id, upload.id).status == "cancelled"
    else:
        with pytest.raises(WrongState, match=f"is {status}"):
            uploads.cancel(session, project_id, upload.id)
    if status != "completed":
        with pytest.raises(WrongState, match=f"is {status}"):
            complete(session, upload, ["part_0"])


def test_the_bytes_of_a_given_up_upload_are_let_go(session: Session, project_id: str) -> None:
    cancelled, expired, waiting = (opened(session, project_id) for _ in range(3))
    for upload in (cancelled, expired, waiting):
        arrive(session, upload)
    assert objects.orphans(session, -1) == []
    end(session, cancelled, "cancelled")
    end(session, expired, "expired")
    assert len(objects.orphans(session, -1)) == 2 * len(PIECES)
    assert uploads.status(session, waiting) == "pending"


def test_an_upload_expires_before_a_sweep_says_so(session: Session, project_id: str) -> None:
    upload = opened(session, project_id, seconds=-1)
    assert (upload.status, uploads.status(session, upload)) == ("pending", "expired")
    with pytest.raises(WrongState, match="is expired"):
        arrive(session, upload)


def test_an_upload_belongs_to_its_project(session: Session, project_id: str) -> None:
    upload = opened(session, rows.project(session, "elsewhere"))
    with pytest.raises(NotFound, match=upload.id):
        uploads.get(session, project_id, upload.id)
    with pytest.raises(NotFound, match=upload.id):
        uploads.cancel(session, project_id, upload.id)
