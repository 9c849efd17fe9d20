"""Which rows hold which bytes. Knows no storage: bytes are written before their row and removed after it."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.registry.db import now
from app.registry.tables import Link, StoredObject
from app.registry.upsert import insert
from app.stored_bytes import Bytes as Bytes

There = Callable[[Bytes], bool]
"""Whether storage still has these bytes; asked before others are thrown away for them."""


def listed(given: Bytes | Sequence[Bytes]) -> Sequence[Bytes]:
    """The objects of one name, in order: one object, or the parts that make it up."""
    return given if isinstance(given, Sequence) else [given]


def total_bytes(objects: Mapping[str, Bytes | Sequence[Bytes]]) -> int:
    return sum(part.size_bytes for given in objects.values() for part in listed(given))


def hold(session: Session, owner: str, objects: Mapping[str, Bytes | Sequence[Bytes]]) -> None:
    """Links `objects` to `owner` by name and position; their rows are made where they are new."""
    for name, given in objects.items():
        for position, part in enumerate(listed(given)):
            if not isinstance(part, StoredObject):
                row = {"key": part.key, "size_bytes": part.size_bytes, "sha256": part.sha256}
                statement = insert(session, StoredObject).values(row)
                session.execute(  # the row follows the bytes: a key that was written again has the later content
                    statement.on_conflict_do_update(
                        index_elements=["key"], set_={"size_bytes": part.size_bytes, "sha256": part.sha256}
                    )
                )
            session.add(Link(owner=owner, name=name, position=position, key=part.key))
    session.flush()


def held(session: Session, owner: str) -> dict[str, list[StoredObject]]:
    """The objects of `owner`: name → its parts in order."""
    found: dict[str, list[StoredObject]] = {}
    for link in session.scalars(sa.select(Link).where(Link.owner == owner).order_by(Link.name, Link.position)):
        found.setdefault(link.name, []).append(link.object)
    return found


def shards(session: Session, owner: str, name: str) -> list[Bytes]:
    """What `owner` holds as `name`-000000000 and so on, in order."""
    found = held(session, owner)
    return [found[key][0] for key in sorted(found) if key.startswith(f"{name}-")]


def release(session: Session, owner: str) -> None:
    """Drops the links of `owner`; the bytes die in the sweep once nothing else holds them."""
    session.execute(sa.delete(Link).where(Link.owner == owner), execution_options={"synchronize_session": "fetch"})


UNLINKED = ~sa.exists().where(Link.key == StoredObject.key).correlate(StoredObject)


def orphans(session: Session, older_than_seconds: float, limit: int = 1000) -> list[str]:
    """Keys whose row nothing links and that are old enough not to be on their way to a link."""
    statement = sa.select(StoredObject.key).where(UNLINKED, StoredObject.created_at <= now() - older_than_seconds)
    return list(session.scalars(statement.order_by(StoredObject.created_at).limit(limit)))


def forget(session: Session, keys: Iterable[str]) -> list[str]:
    """Removes the rows of `keys` and returns those removed: bytes may be deleted only for these, after the commit.

    A key that was linked since it was listed stays.
    """
    wanted = list(keys)
    # two statements: the first waits for links that are being made, the second then sees them
    rows = sa.select(StoredObject.key).where(StoredObject.key.in_(wanted)).order_by(StoredObject.key)
    session.scalars(rows.with_for_update()).all()
    statement = sa.delete(StoredObject).where(StoredObject.key.in_(wanted), UNLINKED).returning(StoredObject.key)
    return list(session.scalars(statement, execution_options={"synchronize_session": False}))


def known(session: Session, keys: Iterable[str]) -> set[str]:
    """Those of `keys` that have a row."""
    return set(session.scalars(sa.select(StoredObject.key).where(StoredObject.key.in_(list(keys)))))


def unknown(session: Session, written: Mapping[str, float], older_than_seconds: float) -> list[str]:
    """Those of the keys, each with the unix time of its bytes, that have no row and are old enough not to be on their
    way to one: by the database's clock, since that of whoever sweeps may be hours off."""
    before = session.execute(sa.select(now())).scalar_one() - older_than_seconds
    old = [key for key, seconds in written.items() if seconds < before]
    return sorted(set(old) - known(session, old))


def take_turns(session: Session, sha256: str) -> None:
    """Lets nobody else who stores this content go on before the transaction ends. SQLite has one writer anyhow."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(int(sha256[:15], 16))))


def held_by(session: Session, owner: str, size_bytes: int, there: There) -> list[StoredObject]:
    """The `size_bytes` that `owner` holds, in order, kept from being forgotten until the transaction ends.

    Empty when some of them have gone, from the tables or from storage.
    """
    links = sa.select(Link).where(Link.owner == owner).order_by(Link.position)
    keys = [link.key for link in session.scalars(links)]
    rows = sa.select(StoredObject).where(StoredObject.key.in_(keys)).order_by(StoredObject.key)
    kept = {row.key: row for row in session.scalars(rows.with_for_update(read=True, key_share=True))}
    found = [kept[key] for key in keys if key in kept]
    whole = sum(row.size_bytes for row in found) == size_bytes and all(map(there, found))
    return found if whole else []
