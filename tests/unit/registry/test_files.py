import pytest
from sqlalchemy.orm import Session

from app.errors import InUse, NotFound
from app.registry import datasets, files, objects
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
