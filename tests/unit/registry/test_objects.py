from sqlalchemy.orm import Session

from app.registry import objects
from app.registry.tables import StoredObject
from tests import rows


def test_bytes_are_orphans_once_nothing_links_them(session: Session) -> None:
    shared, own = rows.stored(), rows.stored()
    objects.hold(session, "file-1", {"content": [shared, own]})
    objects.hold(session, "file-2", {"content": shared})
    assert objects.orphans(session, 0) == []
    objects.release(session, "file-1")
    assert objects.orphans(session, 0) == [own.key]
    assert objects.orphans(session, 3600) == [], "too young: it may be on its way to a link"
    objects.release(session, "file-2")
    assert set(objects.orphans(session, 0)) == {shared.key, own.key}
    assert len(objects.orphans(session, 0, limit=1)) == 1


def test_what_was_linked_again_is_not_forgotten(session: Session) -> None:
    again, gone = rows.stored(), rows.stored()
    objects.hold(session, "file-1", {"content": [again, gone]})
    objects.release(session, "file-1")
    listed = objects.orphans(session, 0)
    objects.hold(session, "file-2", {"content": again})
    assert objects.forget(session, listed) == [gone.key]
    assert objects.known(session, [again.key, gone.key, "files/unknown"]) == {again.key}


def test_a_key_that_was_written_again_has_the_later_content(session: Session) -> None:
    first = rows.stored(b"first")
    later = rows.Stored(first.key, 11, "b" * 64)
    objects.hold(session, "ckpt-1", {"state": first})
    objects.hold(session, "ckpt-2", {"state": later})
    session.expire_all()
    row = session.get_one(StoredObject, first.key)
    assert (row.size_bytes, row.sha256) == (11, "b" * 64)


def test_what_an_owner_holds_is_given_whole_or_not_at_all(session: Session) -> None:
    first, second = rows.stored(b"one"), rows.stored(b"three")
    objects.hold(session, "file-1", {"content": [second, first, second]})
    held = objects.held_by(session, "file-1", 13, lambda _: True)
    assert [part.key for part in held] == [second.key, first.key, second.key]
    assert objects.held_by(session, "file-1", 12, lambda _: True) == []
    assert objects.held_by(session, "file-1", 13, lambda part: part.key != first.key) == [], "gone from storage"
    assert objects.held_by(session, "file-2", 0, lambda _: True) == []
    assert objects.total_bytes({"a": first, "b": [first, second]}) == 11
