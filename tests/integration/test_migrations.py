"""Migrations and tables say the same, on both databases; the `alembic` command works from the project's root."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations

from app.errors import WrongState
from app.registry import jobs, objects
from app.registry.db import MIGRATIONS, REVISIONS, Database
from app.registry.tables import Link, Revision, Table
from tests import rows

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def empty_url(request: pytest.FixtureRequest, database: Database, tmp_path: Path) -> str:
    """Another database of the same kind, without a table."""
    if database.engine.dialect.name == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    return str(request.getfixturevalue("postgres_database")())


def described(engine: sa.Engine) -> dict[str, object]:
    """Everything the database itself says about its tables, whatever the order."""
    inspector = sa.inspect(engine)
    tables = set(inspector.get_table_names()) - {"alembic_version"}
    return {
        table: {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"], column["default"])
                for column in inspector.get_columns(table)
            },
            "key": inspector.get_pk_constraint(table),
            "foreign": sorted(map(str, inspector.get_foreign_keys(table))),
            "unique": sorted(map(str, inspector.get_unique_constraints(table))),
            "indexes": sorted(map(str, inspector.get_indexes(table))),
        }
        for table in tables
    }


def test_migrated_and_created_databases_are_equal(database: Database, empty_url: str) -> None:
    created = Database(empty_url)
    Table.metadata.create_all(created.engine)
    try:
        assert described(database.engine) == described(created.engine)
        assert set(described(created.engine)) == set(Table.metadata.tables)
    finally:
        created.close()
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    before = described(database.engine)
    database.migrate()
    assert described(database.engine) == before
    with database.reading() as session:
        assert [(row.id, row.number) for row in session.scalars(sa.select(Revision))] == [(1, 0)]


def test_a_database_of_a_newer_release_is_refused_as_it_is(database: Database) -> None:
    version = sa.table("alembic_version", sa.column("version_num"))
    with database.engine.begin() as connection:
        connection.execute(version.update().values(version_num="9999"))
    before = described(database.engine)
    for opened in (database.migrate, database.refuse_newer):
        with pytest.raises(WrongState, match=r"is at revision 9999, and this release knows none beyond \d{4}: a newer"):
            opened()
    assert database.revision() == "9999"
    assert described(database.engine) == before


def test_processes_that_migrate_at_the_same_time_do_so_once(empty_url: str) -> None:
    code = f"from app.registry.db import Database; Database({empty_url!r}).migrate()"
    started = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE) for _ in range(3)]
    for process in started:
        assert process.communicate(timeout=60)[1] == b""
        assert process.returncode == 0
    migrated = Database(empty_url)
    try:
        assert migrated.revision() == REVISIONS[-1]
        with migrated.reading() as session:
            assert [(row.id, row.number) for row in session.scalars(sa.select(Revision))] == [(1, 0)]
    finally:
        migrated.close()


def fill(connection: sa.Connection) -> dict[str, dict[str, object]]:
    """A row for every table that has none, and what they hold by table."""
    found = sa.MetaData()
    found.reflect(connection)
    samples = {"JSON": {"a": 1}, "JSONB": {"a": 1}, "TEXT": "text", "VARCHAR": "text", "BOOLEAN": True}
    held: dict[str, dict[str, object]] = {}
    for table in found.sorted_tables:
        if connection.execute(table.select()).first() is None:
            row = {column.name: samples.get(type(column.type).__name__, 1) for column in table.columns}
            for key in table.foreign_keys:
                above = held.get(key.column.table.name)
                row[key.parent.name] = above and above[key.column.name]
            connection.execute(table.insert().values(row))
        held[table.name] = dict(connection.execute(table.select()).mappings().one())
    return held


def test_rows_of_the_first_release_survive_all_migrations(empty_url: str) -> None:
    database = Database(empty_url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    try:
        with database.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, REVISIONS[0])
            before = fill(connection)
        database.migrate()
        assert len(before) > 15
        with database.engine.begin() as connection:
            after = fill(connection)
        del before["alembic_version"], after["alembic_version"]
        assert {table: {name: after[table][name] for name in row} for table, row in before.items()} == before
    finally:
        database.close()


def test_the_answers_of_batches_become_their_jobs(database: Database) -> None:
    with database.session() as session:
        project = rows.project(session)
        made = [rows.batch(session, project) for _ in range(2)]
        for batch, _ in made:
            objects.hold(session, batch.id, {"shard-0": rows.stored()})
        (_, ended), (_, waiting) = made
        jobs.ask(session, project, ended.id, "cancel")
    with database.engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        importlib.import_module("migrations.versions.0004_shards_of_batches").upgrade()
    with database.reading() as session:
        assert list(objects.held(session, waiting.id)) == ["shard-0"]
        owners = set(session.scalars(sa.select(Link.owner)))
        assert {owner for owner in owners if not owner.startswith("file-")} == {waiting.id}


def test_the_alembic_command_goes_up_checks_and_goes_down(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOTSTOCK_DATABASE_URL", empty_url)

    def alembic(*words: str) -> str:
        command = [sys.executable, "-m", "alembic", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    alembic("upgrade", "head")
    assert "No new upgrade operations detected" in alembic("check")
    alembic("downgrade", "base")
    emptied = Database(empty_url)
    try:
        assert sa.inspect(emptied.engine).get_table_names() == ["alembic_version"]
    finally:
        emptied.close()
