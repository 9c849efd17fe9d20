import contextlib
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest

from app.cli import build_parser


def rootstock(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "app.cli", *arguments]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=60, check=False)


def assert_one_line(result: "subprocess.CompletedProcess[str]", *words: str) -> None:
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


def test_an_unknown_variable_is_named_with_the_nearest_known_one(tmp_path: Path) -> None:
    result = rootstock("serve", ROOTSTOCK_HOME=str(tmp_path), ROOTSTOCK_PROT="80")
    assert_one_line(result, "ROOTSTOCK_PROT", "ROOTSTOCK_PORT")


def test_a_port_that_is_no_port_is_named(tmp_path: Path) -> None:
    assert_one_line(rootstock("serve", "--home", str(tmp_path), "--port", "eighty"), "ROOTSTOCK_PORT", "eighty")


@pytest.mark.parametrize("command", ["serve", "api"])
def test_a_port_in_use_is_named(command: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = rootstock(command, "--port", port, ROOTSTOCK_HOME=str(tmp_path))
    assert_one_line(result, f"127.0.0.1:{port}", "--port")


SEVERAL = """
import pickle, sys
import uvicorn.supervisors
from app import cli

class Parent:
    def __init__(self, configuration, sockets):
        self.configuration = configuration

    def run(self):
        pickle.dumps(self.configuration)
        print("torch" in sys.modules)

uvicorn.supervisors.Multiprocess = Parent
cli.main(["api", "--workers", "2", "--port", "0"])
"""


def test_what_each_of_several_processes_is_given_needs_no_large_library(tmp_path: Path) -> None:
    """One that imported torch first told its parent so late, on a busy machine, that it was killed, again and again."""
    given = subprocess.check_output([sys.executable, "-c", SEVERAL], env=os.environ | {"ROOTSTOCK_HOME": str(tmp_path)})
    assert given == b"False\n"


def test_a_worker_without_a_broker_is_told_what_it_needs() -> None:
    assert_one_line(rootstock("worker", "train"), "ROOTSTOCK_BROKER_URL")


def test_the_first_key_is_made_once_and_others_can_be_drawn_and_revoked(tmp_path: Path) -> None:
    home = str(tmp_path)
    first, again = rootstock("migrate", ROOTSTOCK_HOME=home), rootstock("migrate", ROOTSTOCK_HOME=home)
    assert (first.returncode, again.returncode) == (0, 0)
    secret = (tmp_path / "api-key").read_text().strip()
    assert secret in first.stdout
    assert secret not in again.stdout
    created = rootstock("keys", "create", "reader", "--scopes", "read", "infer", ROOTSTOCK_HOME=home)
    key_id, drawn = created.stdout.split()
    assert drawn.startswith("rs-")
    assert rootstock("keys", "revoke", key_id, ROOTSTOCK_HOME=home).returncode == 0
    lines = rootstock("keys", "list", ROOTSTOCK_HOME=home).stdout.splitlines()
    assert [line.split()[2] for line in lines] == ["active", "revoked"]
    assert lines[1].split()[3:] == ["infer,read", "reader"]
    made = date.fromisoformat(lines[1].split()[1])
    assert abs(made - datetime.now(UTC).date()) <= timedelta(days=1)  # a midnight may lie between
    assert_one_line(rootstock("keys", "revoke", "key-none", ROOTSTOCK_HOME=home), "key-none")
    assert_one_line(rootstock("keys", "create", "x", "--scopes", "rule", ROOTSTOCK_HOME=home), "'rule'", "admin")
    assert_one_line(rootstock("keys", "create", " ", ROOTSTOCK_HOME=home), "a key needs a name")


def test_that_nothing_goes_is_said(tmp_path: Path) -> None:
    home = str(tmp_path)
    assert rootstock("migrate", ROOTSTOCK_HOME=home).returncode == 0
    for command in (["retention", "--dry-run"], ["retention"]):
        result = rootstock(*command, ROOTSTOCK_HOME=home)
        assert (result.returncode, result.stdout) == (0, "")
        assert "nothing is there longer" in result.stderr


@pytest.mark.parametrize("command", [["keys", "list"], ["keys", "create", "x"], ["retention", "--dry-run"]])
def test_a_registry_that_was_never_made_is_told_in_one_line(tmp_path: Path, command: list[str]) -> None:
    assert_one_line(rootstock(*command, ROOTSTOCK_HOME=str(tmp_path)), "no such table", "rootstock migrate")


@pytest.mark.parametrize("command", [["migrate"], ["api", "--port", "0"], ["worker", "train"]])
def test_a_database_of_a_newer_release_is_told_in_one_line(tmp_path: Path, command: list[str]) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "registry.db", isolation_level=None)) as newer:
        newer.execute("create table alembic_version (version_num text)")
        newer.execute("insert into alembic_version values ('9999')")
    given = {"ROOTSTOCK_HOME": str(tmp_path), "ROOTSTOCK_BROKER_URL": "redis://127.0.0.1:1/0"}
    assert_one_line(rootstock(*command, **given), "9999", "newer one has migrated it")


def test_a_database_that_is_away_is_told_in_one_line(tmp_path: Path) -> None:
    away = {"ROOTSTOCK_HOME": str(tmp_path), "ROOTSTOCK_DATABASE_URL": "postgresql://tree:secret@127.0.0.1:1/garden"}
    result = rootstock("migrate", **away)
    assert_one_line(result, "the database does not answer", "127.0.0.1", "refused")
    assert "rootstock migrate" not in result.stderr


def test_processes_on_a_database_that_nobody_has_migrated_say_so_once(tmp_path: Path) -> None:
    environment = os.environ | {"ROOTSTOCK_HOME": str(tmp_path), "ROOTSTOCK_SWEEP_SECONDS": "0.2"}
    command = [sys.executable, "-m", "app.cli", "api", "--port", "0"]
    started = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert started.stderr is not None
    said = []
    try:
        for line in started.stderr:
            said.append(line)
            if "a sweep failed" in line:
                break
        time.sleep(2)
    finally:
        started.terminate()
    said += started.communicate()[1].splitlines()
    assert re.fullmatch(r"rootstock: the database lacks migration \d{4} of this .*: run 'rootstock migrate'\n", said[0])
    assert len([line for line in said if "no such table" in line]) <= 3
    assert "Traceback" not in "".join(said)


def test_a_store_that_cannot_be_used_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    given = {"ROOTSTOCK_HOME": str(tmp_path / "home"), "ROOTSTOCK_STORAGE_URL": (tmp_path / "file" / "store").as_uri()}
    assert_one_line(
        rootstock("serve", "--port", "0", **given), "ROOTSTOCK_STORAGE_URL", "Not a directory", "can be written"
    )


@pytest.mark.parametrize(
    ("variable", "value", "right"),
    [
        ("ROOTSTOCK_DATABASE_URL", "mysql://tree:secret@host/garden", "postgres"),
        ("ROOTSTOCK_BROKER_URL", "amqp://tree:secret@host", "redis://"),
        ("ROOTSTOCK_DEVICE", "gpu", "cuda"),
    ],
)
def test_a_value_that_nothing_here_can_use_is_refused_at_once(variable: str, value: str, right: str) -> None:
    result = rootstock("keys", "list", **{variable: value})
    assert_one_line(result, variable, right)
    assert "secret" not in result.stderr


def test_a_given_admin_key_is_not_shown(tmp_path: Path) -> None:
    secret = "a-secret-of-my-own-choice"
    result = rootstock("migrate", ROOTSTOCK_HOME=str(tmp_path), ROOTSTOCK_ADMIN_KEY=secret)
    assert result.returncode == 0
    assert secret not in result.stdout + result.stderr
    assert not (tmp_path / "api-key").exists()


def test_every_subcommand_has_something_to_run() -> None:
    lines = (["serve"], ["api"], ["worker", "data"], ["migrate"], ["keys", "list"], ["demo"])
    assert all(callable(build_parser().parse_args(line).run) for line in lines)


def test_the_version_is_told() -> None:
    assert rootstock("--version").stdout == f"rootstock {version('rootstock')}\n"
