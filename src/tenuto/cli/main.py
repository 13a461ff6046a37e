"""The entry: `tenuto VERB`. What a verb needs is imported when it runs, so that `--help` is there at once."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from tenuto import __version__
from tenuto.cli import db, ending, history, listing, messages, replay, run, server, show, start, worker
from tenuto.cli.faults import EXIT_CODES, Exit
from tenuto.cli.interrupts import leave_threads_behind

HELP = """Tenuto: durable workflows.

Run workflows that survive a crash, see what they do, and talk to them. The store is --db or TENUTO_DB, by default the
file tenuto.db in the current directory."""

EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {line}" for line in EXIT_CODES.splitlines())


def _version(wanted: bool) -> None:
    if wanted:
        print(f"tenuto {__version__}")
        raise typer.Exit


def make_app() -> typer.Typer:
    """The command with all its verbs."""
    app = typer.Typer(
        name="tenuto",
        help=HELP,
        epilog=EPILOG,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,  # rich's help takes 0.3 s more
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )

    @app.callback()
    def root(
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
        ] = False,
    ) -> None:
        pass

    for group in (run, worker, server, start, listing, show, history, replay, messages, ending, db):
        group.register(app)
    return app


def main() -> None:
    """Run the command that `sys.argv` asks for, and exit."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can't show a sign gets a question mark instead of an error.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        make_app()(prog_name="tenuto")
    except SystemExit as end:
        leave_threads_behind(end.code if isinstance(end.code, int) else Exit.OK)
        raise
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
