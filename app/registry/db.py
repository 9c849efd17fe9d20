"""Opens the SQL database: sessions, the database's own clock, migrations. Knows no table.

`Database.session()` is for work that writes: on SQLite it begins IMMEDIATE, because a read that turns into a write
fails at once under a concurrent write. `Database.reading()` is for work that only reads.
"""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement

from app.errors import WrongState

log = logging.getLogger(__name__)

BUSY_MILLISECONDS = 20_000
AWAY_SECONDS = 0.5
"""Pause before a database that is away is tried again."""
DISK_FULL, REFERENCE_BROKEN = "53100", "23503"
"""PostgreSQL's SQLSTATEs."""
MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
REVISIONS = sorted(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
"""Those that this release knows, oldest first."""


class now(FunctionElement[float]):
    """The database's clock in unix seconds: every worker's lease is measured by the same one."""

    type = sa.Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_sqlite(element: Any, compiler: Any, **kwargs: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_postgresql(element: Any, compiler: Any, **kwargs: Any) -> str:
    return "(extract(epoch from clock_timestamp())::double precision)"


class Database:
    """An engine and the two kinds of session; one per process, safe to share between threads."""

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        self.url = parsed
        if parsed.get_backend_name() == "sqlite":
            if parsed.database:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.engine = sa.create_engine(parsed, connect_args={"timeout": BUSY_MILLISECONDS / 1000})
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        else:
            self.engine = sa.create_engine(parsed, pool_pre_ping=True, pool_size=10, max_overflow=20)
        self._writing = self.engine.execution_options(rootstock_begin="BEGIN IMMEDIATE")

    @property
    def folder(self) -> Path | None:
        """Where SQLite keeps its file; the disk of a server's database is not ours to see."""
        ours = self.url.get_backend_name() == "sqlite" and self.url.database
        return Path(ours).parent if ours else None

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """A session that writes: commits at the end of the block, rolls back on an exception."""
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that only reads."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    def migrate(self) -> None:
        """Brings the schema to the newest revision; safe to call from several processes at once.

        Raises WrongState for a database that a newer release has migrated.
        """
        from alembic import command  # takes long to import, and most processes never migrate
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self._writing.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("select pg_advisory_xact_lock(7209183421)"))
            _refuse_newer(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def revision(self) -> str | None:
        """The newest of the migrations that the database has had; None before the first."""
        with self.engine.connect() as connection:
            return _revision(connection)

    def lacks(self) -> str | None:
        """What to do about a migration of this release that the database has not had: one of a newer has had all."""
        found = self.revision()
        if found is not None and found >= REVISIONS[-1]:
            return None
        return f"the database lacks migration {REVISIONS[-1]} of this release: run 'rootstock migrate'"

    def refuse_newer(self) -> None:
        """Raises WrongState for a database that a newer release has migrated."""
        with self.engine.connect() as connection:
            _refuse_newer(connection)

    def close(self) -> None:
        self.engine.dispose()


class PatientDatabase(Database):
    """Waits at the beginning of a session for a database that is away: for a process that somebody else ends in time.

    What is away in the middle of a session raises all the same.
    """

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        self._wait()
        with super().session() as session:
            yield session

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        self._wait()
        with super().reading() as session:
            yield session

    def _wait(self) -> None:
        said = False
        while True:
            try:
                self.engine.connect().close()  # tries a connection that was used before, and opens another one
            except DBAPIError as error:
                if not is_away(error):
                    raise
                if not said:
                    log.warning("the database does not answer and is waited for: %s", error.orig)
                    said = True
                time.sleep(AWAY_SECONDS)
            else:
                return


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("select version_num from alembic_version")).scalar()


def _refuse_newer(connection: sa.Connection) -> None:
    found = _revision(connection)
    if found is not None and found not in REVISIONS:
        raise WrongState(
            f"the database is at revision {found}, and this release knows none beyond {REVISIONS[-1]}: a newer one "
            "has migrated it; start that, or restore a backup from before"
        )


def refusal(error: Exception) -> str | None:
    """What a database says that is away or has other tables, in a line; None for any other error."""
    if not isinstance(error, OperationalError | ProgrammingError):
        return None
    said = str(error.orig).splitlines()[0]
    if is_away(error):
        return f"the database does not answer: {said}"
    return f"the database refused: {said}; has 'rootstock migrate' been run?"


def is_full(error: DBAPIError) -> bool:
    """Whether the database refused because its disk has no room left."""
    return _refused_with(error, sqlite3.SQLITE_FULL, DISK_FULL)


def is_orphan(error: DBAPIError) -> bool:
    """Whether a row was to refer to one that somebody else was deleting meanwhile."""
    return _refused_with(error, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY, REFERENCE_BROKEN)


def is_away(error: DBAPIError) -> bool:
    """Whether the database could not be asked now, and may answer the same question later."""
    sqlite = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_BUSY) & 0xFF  # the rest tells kinds of it apart
    passing = sqlite in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
    return isinstance(error, OperationalError) and passing


def _refused_with(error: DBAPIError, sqlite: int, sqlstate: str) -> bool:
    refusal = error.orig
    return getattr(refusal, "sqlite_errorcode", None) == sqlite or getattr(refusal, "sqlstate", None) == sqlstate


def _prepare_sqlite(connection: sqlite3.Connection, record: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours, see _begin_sqlite
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={BUSY_MILLISECONDS}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("rootstock_begin", "BEGIN"))
