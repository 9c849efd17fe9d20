import logging
import re

import pytest
from sqlalchemy.orm import Session

from app.errors import NotFound, OutOfRange, UnknownChoice
from app.registry import keys
from app.registry.tables import ApiKey, Project
from tests import rows


def test_the_first_start_draws_a_key_with_every_scope(session: Session) -> None:
    secret = keys.bootstrap(session)
    assert secret is not None
    assert re.fullmatch(r"rs-[0-9a-z]{8}-[A-Za-z0-9_-]{43}", secret)
    caller = keys.find(session, secret)
    assert caller is not None
    assert caller.scopes == {"read", "infer", "train", "admin"}
    assert session.get_one(Project, caller.project_id).name == "default"
    assert keys.bootstrap(session) is None
    assert len(keys.all(session)) == 1


def test_a_key_that_the_deployment_names_exists_from_then_on(session: Session) -> None:
    first = keys.bootstrap(session)
    named = "a key of 16 char"
    assert keys.bootstrap(session, named) == named
    assert keys.bootstrap(session, named) is None
    caller = keys.find(session, named)
    assert caller is not None
    assert caller.project_id == keys.find(session, first or "").project_id  # type: ignore[union-attr]
    with pytest.raises(OutOfRange, match="15 characters"):
        keys.bootstrap(session, named[:-1])


def test_a_revoked_key_stays_revoked(session: Session, caplog: pytest.LogCaptureFixture) -> None:
    named = "rs-12345678-chosen by somebody"
    keys.bootstrap(session, named)
    [key] = keys.all(session)
    keys.revoke(session, key.id)
    first = key.revoked_at
    keys.revoke(session, key.id)
    assert key.revoked_at == first
    with caplog.at_level(logging.WARNING):
        assert keys.bootstrap(session, named) is None
    assert key.id in caplog.text
    assert keys.find(session, named) is None
    with pytest.raises(NotFound, match="key-unknown"):
        keys.revoke(session, "key-unknown")


def test_only_the_whole_key_opens(session: Session, project_id: str) -> None:
    key, secret = keys.create_key(session, project_id, "reader", ["read", "read"])
    assert keys.find(session, secret) == keys.Caller(key.id, project_id, frozenset({"read"}))
    wrong = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    for other in ("", "rs-", wrong, secret + "x", key.prefix, key.sha256, "\udcff"):
        assert keys.find(session, other) is None


def test_no_text_of_a_key_is_stored(session: Session, project_id: str) -> None:
    drawn, secret = keys.create_key(session, project_id, "reader", ["read"])
    keys.bootstrap(session, "chosen by somebody")
    for key in session.query(ApiKey):
        stored = f"{key.prefix} {key.sha256} {key.name}"
        assert "chosen" not in stored
        assert secret[12:] not in stored
    assert drawn.prefix == secret[3:11], "people tell drawn keys apart by what stands in front"


def test_a_key_needs_a_project_and_known_scopes(session: Session, project_id: str) -> None:
    with pytest.raises(UnknownChoice, match="'write'"):
        keys.create_key(session, project_id, "x", ["read", "write"])
    with pytest.raises(NotFound, match="proj-unknown"):
        keys.create_key(session, "proj-unknown", "x", ["read"])


def test_every_change_of_names_and_keys_moves_the_revision(session: Session, project_id: str) -> None:
    seen = [keys.revision(session)]
    key, _ = keys.create_key(session, project_id, "x", ["read"])
    seen.append(keys.revision(session))
    keys.revoke(session, key.id)
    seen.append(keys.revision(session))
    rows.version(session, project_id)
    seen.append(keys.revision(session))
    assert seen == sorted(set(seen))
