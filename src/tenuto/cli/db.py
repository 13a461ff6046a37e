"""`tenuto db`: the schema of a PostgreSQL store, what version it has, and bringing it up to date."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from tenuto.cli import options
from tenuto.cli.faults import CommandError, bad_input
from tenuto.cli.session import run_async

if TYPE_CHECKING:
    from tenuto.store.postgres.store import PostgresStore

T = TypeVar("T")

MIGRATE_EXAMPLES = """
tenuto db migrate --db postgresql://owner@db.example.com/tenuto
tenuto db migrate --db postgresql://owner@db.example.com/tenuto --grant tenuto_app
tenuto db migrate --post
"""
STATUS_EXAMPLES = """
tenuto db status
tenuto db status --db "postgresql://app@db.example.com/tenuto?schema=shop"
"""


def register(app: typer.Typer) -> None:
    db = typer.Typer(help="The tables in PostgreSQL: their version, and migrations.", no_args_is_help=True)
    app.add_typer(db, name="db")
    _register_migrate(db)
    _register_status(db)


def _register_migrate(app: typer.Typer) -> None:
    @options.command(app, "migrate", MIGRATE_EXAMPLES)
    def migrate(
        db: options.Db = options.DEFAULT_DB,
        post: Annotated[
            bool,
            typer.Option("--post", help="Also remove what only versions before this one use. None of them may run."),
        ] = False,
        grant: Annotated[
            str | None,
            typer.Option("--grant", metavar="ROLE", help="Give this role what servers, workers and clients need."),
        ] = None,
    ) -> None:
        """Create the tables, or bring them up to date. Processes of the version before may go on meanwhile."""
        done = run_async(_with_store(db, lambda store: store.migrate(post=post, grant=grant)))
        for name in done:
            print(f"applied {name}")
        if not done:
            print("up to date")
        if grant is not None:
            print(f"granted to {grant}")


def _register_status(app: typer.Typer) -> None:
    @options.command(app, "status", STATUS_EXAMPLES)
    def status(db: options.Db = options.DEFAULT_DB) -> None:
        """Print which migrations were applied, and which are missing."""
        from tenuto.store.migrations import load_migrations

        found = run_async(_with_store(db, lambda store: store.inspect()))
        missing = [migration.name for migration in load_migrations("postgres") if migration.name not in found.applied]
        print(f"version {found.version}" if found.version else "no tables yet")
        for name in found.applied:
            print(f"applied {name}")
        for name in missing:
            print(f"missing {name}: tenuto db migrate{' --post' if '_post_' in name else ''}")


async def _with_store(db: str, work: Callable[[PostgresStore], Awaitable[T]]) -> T:
    from tenuto.store.postgres.store import PostgresStore
    from tenuto.store.urls import open_store

    try:
        store = open_store(db)
    except ValueError as error:
        raise bad_input(error) from None
    if not isinstance(store, PostgresStore):
        raise CommandError(f"{db} is no postgresql:// store; other stores bring themselves up to date")
    return await work(store)
