"""The same POST twice creates once: what was answered is kept and given again. Knows no route's meaning.

`replay` comes first in the transaction that creates, `remember` last, so both commit together.
"""

import hashlib
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import IdempotencyKeyReused, OutOfRange
from app.registry.db import now
from app.registry.ids import new_id
from app.registry.keys import Caller
from app.registry.tables import CreateRequest

KEPT_SECONDS = 24 * 3600
"""How long a request with an Idempotency-Key is remembered."""
RETRY_SECONDS = 15 * 60
"""How long after a request a stock SDK may still be retrying it."""
LONGEST_KEY = 255


def replay(
    session: Session, caller: Caller, route: str, key: str | None, body_sha256: str, retry_count: int | None
) -> CreateRequest | None:
    """The request that this one repeats, or None for a new one. Equal requests pass one after the other.

    `key` is the Idempotency-Key; without one, `retry_count` is what a stock SDK counts. Raises IdempotencyKeyReused
    when the key came with another body.
    """
    if key is not None:
        return _by_key(session, caller, route, key, body_sha256)
    if retry_count is None:
        return None
    _one_at_a_time(session, caller.key_id, route, body_sha256)
    if retry_count == 0:
        return None
    statement = (
        sa.select(CreateRequest)
        .where(
            CreateRequest.api_key_id == caller.key_id,
            CreateRequest.route == route,
            CreateRequest.body_sha256 == body_sha256,
            CreateRequest.key.is_(None),
            CreateRequest.retry_count == retry_count - 1,
            ~CreateRequest.matched,
            CreateRequest.created_at > now() - RETRY_SECONDS,
        )
        .order_by(CreateRequest.id)
    )
    first = session.scalar(statement.limit(1))
    if first is not None:
        first.matched = True
        # this answer may be lost as well: then the next retry looks for this one
        remember(session, caller, route, None, body_sha256, retry_count, first.status, first.response)
    return first


def remember(
    session: Session,
    caller: Caller,
    route: str,
    key: str | None,
    body_sha256: str,
    retry_count: int | None,
    status: int,
    response: dict[str, Any],
) -> None:
    """Keeps the answer; a request with neither key nor count cannot be repeated and is not kept."""
    if key is None and retry_count is None:
        return
    session.add(
        CreateRequest(
            id=new_id("req-"),
            project_id=caller.project_id,
            api_key_id=caller.key_id,
            route=route,
            key=key,
            body_sha256=body_sha256,
            retry_count=retry_count if key is None else None,
            status=status,
            response=response,
        )
    )
    session.flush()


def forget_old(session: Session) -> None:
    """Removes what is remembered no longer, of all projects."""
    _forget(session, sa.true())


def _forget(session: Session, which: sa.ColumnElement[bool]) -> None:
    old = sa.delete(CreateRequest).where(which, CreateRequest.created_at <= now() - KEPT_SECONDS)
    session.execute(old, execution_options={"synchronize_session": False})


def _by_key(session: Session, caller: Caller, route: str, key: str, body_sha256: str) -> CreateRequest | None:
    if not 1 <= len(key) <= LONGEST_KEY:
        raise OutOfRange(f"Idempotency-Key has {len(key)} characters; 1 to {LONGEST_KEY} are right")
    _one_at_a_time(session, caller.project_id, route, key)
    mine = sa.and_(
        CreateRequest.project_id == caller.project_id, CreateRequest.route == route, CreateRequest.key == key
    )
    _forget(session, mine)
    first = session.scalar(sa.select(CreateRequest).where(mine))
    if first is not None and first.body_sha256 != body_sha256:
        raise IdempotencyKeyReused(f"Idempotency-Key {key!r} was used for another body; draw a new key for a new body")
    return first


def _one_at_a_time(session: Session, *parts: str) -> None:
    """Waits until no other transaction works on an equal request; SQLite lets only one write at a time anyway."""
    if session.get_bind().dialect.name == "postgresql":
        digest = hashlib.sha256("\0".join(parts).encode()).digest()
        number = int.from_bytes(digest[:8], "big", signed=True)
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))
