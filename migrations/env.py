"""Runs migrations: over the connection that `Database.migrate` gives, or, for `alembic`, over the settings' database."""

from alembic import context
from sqlalchemy import Connection

from app.registry.db import Database
from app.registry.tables import Table
from app.settings import read_settings


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=connection.dialect.name == "sqlite",  # SQLite cannot alter a column in place
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
elif context.is_offline_mode():
    raise SystemExit("migrations look at the database that they change; run them without --sql")
else:
    database = Database(read_settings().resolved_database_url)
    try:
        with database.engine.begin() as opened:
            run(opened)
    finally:
        database.close()
