import pytest
from sqlalchemy.orm import Session

from app.errors import IdempotencyKeyReused, OutOfRange
from app.registry import idempotency
from app.registry.keys import Caller
from app.registry.tables import CreateRequest
from tests import rows

ROUTE = "POST /v1/jobs"


@pytest.fixture
def caller(session: Session) -> Caller:
    return rows.caller(session)


def post(
    session: Session, caller: Caller, answer: str, *, key: str | None = None, body: str = "b", count: int | None = None
) -> str:
    """A route that creates `answer` unless it is repeated; returns what the client sees."""
    first = idempotency.replay(session, caller, ROUTE, key, body, count)
    if first is not None:
        return str(first.response["id"])
    idempotency.remember(session, caller, ROUTE, key, body, count, 202, {"id": answer})
    return answer


def age(session: Session, seconds: float) -> None:
    for row in session.query(CreateRequest):
        row.created_at -= seconds
    session.flush()


def test_the_same_key_and_body_give_the_first_answer(session: Session, caller: Caller) -> None:
    assert post(session, caller, "job-1", key="k") == "job-1"
    assert post(session, caller, "job-2", key="k") == "job-1"
    assert post(session, caller, "job-3", key="other") == "job-3"
    assert post(session, rows.caller(session), "job-4", key="k") == "job-4", "another project has its own keys"


def test_the_same_key_with_another_body_is_refused(session: Session, caller: Caller) -> None:
    post(session, caller, "job-1", key="k")
    with pytest.raises(IdempotencyKeyReused, match="'k'"):
        post(session, caller, "job-2", key="k", body="c")


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_has_a_bounded_length(session: Session, caller: Caller, key: str) -> None:
    with pytest.raises(OutOfRange, match=f"has {len(key)} characters"):
        post(session, caller, "job-1", key=key)


def test_a_key_is_remembered_for_a_day(session: Session, caller: Caller) -> None:
    post(session, caller, "job-1", key="k")
    age(session, 23 * 3600)
    assert post(session, caller, "job-2", key="k") == "job-1"
    age(session, 3600)
    assert post(session, caller, "job-3", key="k", body="c") == "job-3"


def test_requests_without_key_or_count_are_all_new(session: Session, caller: Caller) -> None:
    assert [post(session, caller, answer) for answer in ("job-1", "job-2")] == ["job-1", "job-2"]
    assert session.query(CreateRequest).count() == 0


def test_a_stock_clients_retry_gets_the_answer_that_was_lost(session: Session, caller: Caller) -> None:
    assert post(session, caller, "job-1", count=0) == "job-1"
    assert post(session, caller, "job-2", count=0) == "job-2", "two equal requests are two"
    answers = {post(session, caller, answer, count=1) for answer in ("job-3", "job-4")}
    assert answers == {"job-1", "job-2"}, "each is matched once"
    assert post(session, caller, "job-5", count=1) == "job-5", "nothing is left to match: its first try never arrived"
    assert post(session, caller, "job-6", count=2) in {"job-1", "job-2"}, "the answer to a retry may be lost as well"
    assert post(session, caller, "job-7", count=1, body="c") == "job-7"


def test_a_stock_clients_retry_comes_soon_or_is_new(session: Session, caller: Caller) -> None:
    post(session, caller, "job-1", count=0)
    age(session, 15 * 60)
    assert post(session, caller, "job-2", count=1) == "job-2"


def test_nothing_is_kept_for_ever(session: Session, caller: Caller) -> None:
    for number in range(3):
        idempotency.remember(session, caller, f"POST /v1/uploads/upload_{number}/parts", "k", "b", None, 200, {})
    age(session, 23 * 3600)
    post(session, caller, "job-1", key="k")
    idempotency.forget_old(session)
    assert session.query(CreateRequest).count() == 4
    age(session, 3600)
    idempotency.forget_old(session)
    assert [row.route for row in session.query(CreateRequest)] == [ROUTE]
