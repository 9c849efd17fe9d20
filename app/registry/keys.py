"""Projects, their API keys, and the revision that empties caches. Knows no request.

A key is 256 random bits, so a plain SHA-256 guards it; its lookup prefix tells keys apart in lists and logs.
"""

import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.errors import EmptyInput, NotFound, OutOfRange, UnknownChoice
from app.registry.db import now
from app.registry.ids import ALPHABET, new_id
from app.registry.tables import ApiKey, Project, Revision

log = logging.getLogger(__name__)

SCOPES = ("read", "infer", "train", "admin")
FIRST_PROJECT = "default"
SHORTEST_SECRET = 16


@dataclass(frozen=True)
class Caller:
    """Who asks: a key, its project and what it may do."""

    key_id: str
    project_id: str
    scopes: frozenset[str]


def bootstrap(session: Session, admin_key: str | None = None) -> str | None:
    """Makes the first project and its key; returns the key's text if it was made now.

    With `admin_key` that key exists afterwards, unless it has been revoked. Raises OutOfRange when it is too short.
    """
    session.execute(sa.select(Revision).with_for_update())  # one process at a time
    project_id = _first_project(session)
    if project_id is None:
        project_id = create_project(session, FIRST_PROJECT).id
    elif admin_key is None:
        return None
    secret = _draw() if admin_key is None else admin_key
    if len(secret) < SHORTEST_SECRET:
        raise OutOfRange(f"the admin key has {len(secret)} characters; at least {SHORTEST_SECRET} are needed")
    existing = _stored(session, secret)
    if existing is None:
        _add(session, project_id, "first key", SCOPES, secret)
        return secret
    if existing.revoked_at is not None:
        log.warning("the admin key was revoked as %s and stays so; choose another one", existing.id)
    return None


def first_project(session: Session) -> str:
    """The id of the project that `bootstrap` makes. Raises NotFound where it has not."""
    project_id = _first_project(session)
    if project_id is None:
        raise NotFound("there is no project yet; 'rootstock migrate' makes the first one")
    return project_id


def create_project(session: Session, name: str) -> Project:
    project = Project(id=new_id("proj-"), name=name)
    session.add(project)
    session.flush()
    return project


def create_key(session: Session, project_id: str, name: str, scopes: Iterable[str]) -> tuple[ApiKey, str]:
    """A new key and its text, which is kept nowhere.

    Raises NotFound for an unknown project, UnknownChoice for an unknown scope, EmptyInput for a name of nothing.
    """
    if not name.strip():
        raise EmptyInput("a key needs a name, by which it is known when it is to be revoked", param="name")
    wanted = sorted(set(scopes))
    for scope in wanted:
        if scope not in SCOPES:
            raise UnknownChoice(f"scope {scope!r} is unknown; choose among {', '.join(SCOPES)}", param="scopes")
    if session.get(Project, project_id) is None:
        raise NotFound(f"no project {project_id!r}")
    secret = _draw()
    return _add(session, project_id, name, wanted, secret), secret


def find(session: Session, secret: str) -> Caller | None:
    """Who has this key; None for one that is unknown or revoked."""
    key = _stored(session, secret)
    if key is None or key.revoked_at is not None:
        return None
    return Caller(key.id, key.project_id, frozenset(key.scopes))


def all(session: Session) -> list[ApiKey]:
    """Every key, revoked ones included, oldest first."""
    return list(session.scalars(sa.select(ApiKey).order_by(ApiKey.id)))


def revoke(session: Session, key_id: str) -> None:
    """Ends a key for good; repeating does no harm. Raises NotFound for an unknown one."""
    key = session.get(ApiKey, key_id)
    if key is None:
        raise NotFound(f"no API key {key_id!r}")
    unrevoked = sa.update(ApiKey).where(ApiKey.id == key_id, ApiKey.revoked_at.is_(None))
    session.execute(unrevoked.values(revoked_at=now()), execution_options={"synchronize_session": False})
    session.refresh(key)
    bump(session)


def revision(session: Session) -> int:
    """Differs from an earlier one whenever a name, an alias or a key has changed since."""
    return session.scalars(sa.select(Revision.number)).one()


def bump(session: Session) -> None:
    """Empties the caches of every process once this transaction has committed."""
    session.execute(
        sa.update(Revision).values(number=Revision.number + 1), execution_options={"synchronize_session": False}
    )


def _first_project(session: Session) -> str | None:
    return session.scalar(sa.select(Project.id).order_by(Project.id).limit(1))


def _draw() -> str:
    return f"rs-{''.join(secrets.choice(ALPHABET) for _ in range(8))}-{secrets.token_urlsafe(32)}"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _prefix(secret: str) -> str:
    """What to look a key up by; of a key that somebody else chose, no character is kept."""
    drawn = re.match(r"rs-([0-9a-z]{8})-", secret)
    return drawn[1] if drawn else _hash(secret)[:16]


def _stored(session: Session, secret: str) -> ApiKey | None:
    key = session.scalar(sa.select(ApiKey).where(ApiKey.prefix == _prefix(secret)))
    return key if key is not None and hmac.compare_digest(key.sha256, _hash(secret)) else None


def _add(session: Session, project_id: str, name: str, scopes: Iterable[str], secret: str) -> ApiKey:
    key = ApiKey(
        id=new_id("key-"),
        project_id=project_id,
        name=name,
        prefix=_prefix(secret),
        sha256=_hash(secret),
        scopes=list(scopes),
    )
    session.add(key)
    session.flush()
    bump(session)
    return key
