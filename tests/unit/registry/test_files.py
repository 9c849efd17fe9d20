import pytest
from sqlalchemy.orm import Session

from app.errors import InUse, NotFound
from app.registry import datasets, files, objects, tables
from tests import rows


def test_a_file_holds_its_parts_in_order(session: Session, project_id: str) -> None:
    parts = [rows.stored(bytes([number])) for number in range(3)]
    file = files.create(
        session,
        project_id=project_id,
        filename="a.npz",
        purpose="pretrain",
        objects=parts,
        sha256="0" * 64,
        size_bytes=3,
    )
    assert file.id.startswith("file-")
    assert file.created_at > 1.6e9
    assert [part.key for part in objects.held(session, file.id)["content"]] == [part.key for part in parts]
    assert files.get(session, project_id, file.id) is file


def test_the_same_content_is_held_once(session: Session, project_id: str) -> None:
    first = same(session, project_id)
    second = same(session, rows.project(session, "elsewhere"))
    healed = same(session, project_id, there=lambda _: False)
    other = same(session, project_id, b"other")
    keys = [objects.held(session, file.id)["content"][0].key for file in (first, second, healed, other)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3, "where the older bytes have gone, the new ones are held"
    assert objects.known(session, keys) == set(keys)
    files.delete(session, project_id, first.id)
    assert objects.orphans(session, -1) == []
    assert objects.held(session, second.id)["content"][0].key == keys[0]


def same(
    session: Session, project_id: str, content: bytes = b"same", there: objects.There = lambda _: True
) -> tables.File:
    part = rows.stored(content)
    return files.create(
        session,
        project_id=project_id,
        filename="a.csv",
        purpose="pretrain",
        objects=[part],
        sha256=part.sha256,
        size_bytes=part.size_bytes,
        there=there,
    )


def test_lists_filter_by_purpose(session: Session, project_id: str) -> None:
    rows.file(session, project_id)
    batch = rows.file(session, project_id, purpose="batch")
    page = files.list_page(session, project_id, limit=10, after=None, descending=True, purpose="batch")
    assert page.rows == [batch]


def test_a_file_goes_when_no_dataset_uses_it(session: Session, project_id: str) -> None:
    dataset = rows.dataset(session, project_id)
    [file] = datasets.files(session, dataset.id)
    with pytest.raises(InUse, match=dataset.id):
        files.delete(session, project_id, file.id)
    datasets.delete(session, project_id, dataset.id)
    files.delete(session, project_id, file.id)
    with pytest.raises(NotFound, match=file.id):
        files.get(session, project_id, file.id)
    assert objects.held(session, file.id) == {}
