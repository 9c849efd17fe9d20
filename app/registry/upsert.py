"""INSERT … ON CONFLICT in the dialect of the session's database. Knows no particular table."""

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.registry.tables import Table


def insert(session: Session, table: type[Table]) -> postgresql.Insert | sqlite.Insert:
    """An INSERT into `table` that offers `on_conflict_do_nothing` and `on_conflict_do_update`."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
