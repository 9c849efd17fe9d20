"""Cuts a list into keyset pages. Knows no table."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.errors import WrongType
from app.registry.ids import is_id

T = TypeVar("T")
SHOWN = 100


@dataclass
class Page(Generic[T]):
    rows: list[T]
    has_more: bool


def behind(after: str | None, prefix: str) -> str | None:
    """`after` as `paginate` takes it. Raises WrongType for what can be no id of such a list."""
    if after is not None and not is_id(after, prefix):
        raise WrongType(
            f"after is {after[:SHOWN]!r}; the last_id of the page before is right, like {prefix}…", param="after"
        )
    return after


def paginate(
    session: Session,
    statement: sa.Select[T],
    id_column: InstrumentedAttribute[Any],
    *,
    limit: int,
    after: str | int | None,
    descending: bool,
) -> Page[T]:
    """The `limit` rows of `statement` that follow the id `after` in the order of `id_column`.

    `after` need not exist any more: a page goes on from where a deleted row stood.
    """
    assert limit >= 1, limit
    if after is not None:
        statement = statement.where(id_column < after if descending else id_column > after)
    order = id_column.desc() if descending else id_column.asc()
    rows = list(session.scalars(statement.order_by(order).limit(limit + 1)))
    return Page(rows[:limit], has_more=len(rows) > limit)
