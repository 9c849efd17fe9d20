"""The `rootstock` command. Knows the parts by name only: each subcommand imports what it needs.

What the user got wrong is one line on standard error and exit status 2.
"""

import argparse
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from app.errors import RootstockError
from app.settings import PREFIX, Settings, SettingsError, read_settings

USER_ERROR, START_ERROR, INTERRUPTED = 2, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one subcommand and returns its exit status."""
    options = build_parser().parse_args(arguments)
    for name in ("host", "port", "home"):
        if getattr(options, name, None) is not None:
            os.environ[PREFIX + name.upper()] = str(getattr(options, name))  # children see it, and settings check it
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except SettingsError as error:
        print(f"rootstock: {error}", file=sys.stderr)
    except RootstockError as error:
        print(f"rootstock: {error.message}", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        from app.registry.db import refusal  # by now it has been imported

        problem = refusal(error)
        if problem is None:
            raise
        print(f"rootstock: {problem}", file=sys.stderr)
    return USER_ERROR


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rootstock", description="Your own data into your own embeddings, over HTTP.")
    parser.add_argument("--version", action="version", version=f"rootstock {version('rootstock')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve_parser = commands.add_parser("serve", help="everything on this machine: broker, workers and API")
    serve_parser.set_defaults(run=serve)
    api_parser = commands.add_parser("api", help="the API alone")
    api_parser.set_defaults(run=api)
    for addressed in (serve_parser, api_parser):
        addressed.add_argument("--host", help="address to listen on (ROOTSTOCK_HOST, 127.0.0.1)")
        addressed.add_argument("--port", help="TCP port, 0 for a free one (ROOTSTOCK_PORT, 8080)")
    serve_parser.add_argument("--home", type=Path, help="folder for all data (ROOTSTOCK_HOME, ~/.rootstock)")
    api_parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that share the address (1)")
    api_parser.add_argument("--descriptor", type=int, metavar="N", help="use this inherited listening socket")
    api_parser.add_argument("--gate", type=int, metavar="N", help="begin when this inherited pipe is closed")

    worker_parser = commands.add_parser("worker", help="a worker for one kind of job")
    worker_parser.add_argument("queue", choices=("train", "data"))
    worker_parser.set_defaults(run=worker)

    migrate_parser = commands.add_parser("migrate", help="bring the database up to date and make the first API key")
    migrate_parser.set_defaults(run=migrate)

    retention_parser = commands.add_parser("retention", help="remove what ROOTSTOCK_KEEP_…_SECONDS keep no longer")
    retention_parser.add_argument("--dry-run", action="store_true", help="only list it, with size, age and reason")
    retention_parser.set_defaults(run=retain)

    keys = commands.add_parser("keys", help="API keys").add_subparsers(required=True, metavar="COMMAND")
    create_parser = keys.add_parser("create", help="draw a key and print it; it is kept nowhere")
    create_parser.add_argument("name")
    create_parser.add_argument("--scopes", nargs="+", default=["read", "infer", "train"], metavar="SCOPE")
    create_parser.set_defaults(run=create_key)
    revoke_parser = keys.add_parser("revoke", help="end a key for good")
    revoke_parser.add_argument("id")
    revoke_parser.set_defaults(run=revoke_key)
    keys.add_parser("list", help="every key, without its text").set_defaults(run=list_keys)

    demo_parser = commands.add_parser("demo", help="pretrain, graft and serve on real handwritten digits")
    demo_parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder for pictures and report")
    demo_parser.set_defaults(run=demo)
    return parser


def serve(options: argparse.Namespace) -> int:
    from app.embedded import StartFailed
    from app.embedded import serve as serve_all

    try:
        serve_all(read_settings())
    except StartFailed as error:
        print(f"rootstock: {error}", file=sys.stderr)
        return START_ERROR
    return 0


def api(options: argparse.Namespace) -> int:
    settings = read_settings()
    if options.workers < 1:
        raise SettingsError(f"--workers {options.workers}: at least 1 is needed")
    from app.listening import doors, listen, share

    if options.descriptor is not None:
        listener = socket.socket(fileno=options.descriptor)
    else:
        listener = (share if options.workers > 1 else listen)(settings.host, settings.port)
    import uvicorn

    from app.api_processes import ApiProcesses

    if options.workers == 1:
        import app.main  # noqa: F401 - while the gate is closed; the server finds it by its name
    if options.gate is None:
        look_at_database(settings)
    else:
        with open(options.gate, "rb") as gate:
            gate.read()
    configuration = uvicorn.Config(
        "app.main:from_environment",
        factory=True,
        workers=options.workers,
        # by its name: each of several processes is alive to its parent before it imports torch
        http="app.api.fast_path.wire:Gathering",
        ws="none",
        proxy_headers=False,
        access_log=False,
        timeout_worker_healthcheck=60,  # a process that starts on a busy machine is slow, not dead
        timeout_graceful_shutdown=5,  # what streams without end, events for example, must not hold up a stop
    )
    if options.workers > 1:
        ApiProcesses(configuration, sockets=doors(listener)).run()
    else:
        uvicorn.Server(configuration).run(sockets=doors(listener))
    return 0


def worker(options: argparse.Namespace) -> int:
    from app.embedded import worker_command

    settings = read_settings()
    if settings.broker_url is None:
        raise SettingsError(f"{PREFIX}BROKER_URL is not set; a worker needs the redis://… server that the API rings")
    look_at_database(settings)
    command = worker_command(options.queue)
    os.execv(command[0], command)  # noqa: S606 - the process becomes the worker, so that signals reach it


def look_at_database(settings: Settings) -> None:
    """Raises WrongState where a newer release has migrated the database, and says so where this one has not.

    One that does not answer is taken as it is.
    """
    from sqlalchemy.exc import OperationalError

    from app.registry.db import Database

    database = Database(settings.resolved_database_url)
    with contextlib.suppress(OperationalError):
        database.refuse_newer()
        if lacks := database.lacks():
            print(f"rootstock: {lacks}", file=sys.stderr, flush=True)
    database.close()


def migrate(options: argparse.Namespace) -> int:
    from app.embedded import prepare_registry

    settings = read_settings()
    settings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    prepare_registry(settings)
    return 0


def retain(options: argparse.Namespace) -> int:
    from app.registry import retention
    from app.registry.db import Database
    from app.sweep import remove_kept_long_enough

    settings = read_settings()
    database = Database(settings.resolved_database_url)
    if options.dry_run:
        with database.reading() as session:
            listed = retention.due(session, settings.retention)
    else:
        listed = remove_kept_long_enough(settings, database)
    for each in listed:
        print(f"{each.id:37}  {each.size_bytes:>14} bytes  {each.age_seconds:>10.0f} s  {each.reason}")
    if not listed:
        print("nothing is there longer than it is to be kept", file=sys.stderr)
    database.close()
    return 0


def create_key(options: argparse.Namespace) -> int:
    from app.registry import keys
    from app.registry.db import Database

    with Database(read_settings().resolved_database_url).session() as session:
        project_id = keys.first_project(session)
        key, secret = keys.create_key(session, project_id, options.name, options.scopes)
    print(f"{key.id}  {secret}")
    return 0


def revoke_key(options: argparse.Namespace) -> int:
    from app.registry import keys
    from app.registry.db import Database

    with Database(read_settings().resolved_database_url).session() as session:
        keys.revoke(session, options.id)
    return 0


def list_keys(options: argparse.Namespace) -> int:
    from app.registry import keys
    from app.registry.db import Database

    with Database(read_settings().resolved_database_url).reading() as session:
        for key in keys.all(session):
            state = "active" if key.revoked_at is None else "revoked"
            made = datetime.fromtimestamp(key.created_at, UTC)
            print(f"{key.id}  {made:%Y-%m-%d}  {state:8}  {','.join(key.scopes):22}  {key.name}")
    return 0


def demo(options: argparse.Namespace) -> int:
    from app.demo import main as run_demo

    return run_demo(options.output)


if __name__ == "__main__":
    sys.exit(main())
