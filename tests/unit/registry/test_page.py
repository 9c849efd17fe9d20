import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import WrongType
from app.registry.ids import new_id
from app.registry.page import behind, paginate
from app.registry.tables import File
from tests import rows


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize(("total", "limit"), [(0, 3), (3, 3), (7, 3), (6, 2), (2, 100)])
def test_pages_show_every_row_once_and_in_order(
    session: Session, project_id: str, total: int, limit: int, descending: bool
) -> None:
    made = sorted((rows.file(session, project_id).id for _ in range(total)), reverse=descending)
    seen: list[str] = []
    more = True
    while more:
        after = seen[-1] if seen else None
        page = paginate(session, sa.select(File), File.id, limit=limit, after=after, descending=descending)
        seen += [row.id for row in page.rows]
        more = page.has_more
        assert len(page.rows) <= limit
    assert seen == made


def test_a_page_goes_on_where_a_deleted_row_stood(session: Session, project_id: str) -> None:
    first, second, third = sorted(rows.file(session, project_id).id for _ in range(3))
    session.delete(session.get_one(File, second))
    session.flush()
    page = paginate(session, sa.select(File), File.id, limit=5, after=second, descending=False)
    assert [row.id for row in page.rows] == [third]
    page = paginate(session, sa.select(File), File.id, limit=5, after=second, descending=True)
    assert [row.id for row in page.rows] == [first]


def test_a_page_begins_behind_an_id_of_its_kind() -> None:
    given = new_id("file-")
    assert behind(given, "file-") == given
    assert behind(None, "file-") is None
    for nonsense in ("", "2", "file-7", new_id("job-"), given.upper(), given + " "):
        with pytest.raises(WrongType, match="the last_id of the page before is right, like file-…"):
            behind(nonsense, "file-")
