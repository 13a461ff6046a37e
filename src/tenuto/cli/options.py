"""Options and arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from tenuto.cli.faults import guarded

DEFAULT_DB = "sqlite:///tenuto.db"

Db = Annotated[
    str,
    typer.Option(
        "--db",
        envvar="TENUTO_DB",
        metavar="URL",
        help="The store: sqlite:///relative.db, sqlite:////absolute.db or postgresql://...",
        show_default=True,
    ),
]
WorkflowId = Annotated[str, typer.Argument(metavar="ID", help="The workflow's id.", show_default=False)]
RunId = Annotated[
    str | None, typer.Option("--run-id", metavar="RUN", help="A certain run; without it, the latest of the id.")
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input", "-i", metavar="JSON", help="The argument, as JSON. @FILE reads it from a file, - from stdin."
    ),
]
Arguments = Annotated[
    str | None, typer.Option("--args", metavar="LIST", help="Several arguments, as a JSON list (or @FILE, or -).")
]
TaskQueue = Annotated[str, typer.Option("--task-queue", metavar="NAME", help="The queue that workers serve.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="Give up after so long (exit code 4).")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the history.")]
Grace = Annotated[
    float, typer.Option("--grace", metavar="SECONDS", min=0, help="How long running activities may go on at the end.")
]


def command(app: typer.Typer, name: str, examples: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a command of `app`: its errors become exit codes, its help ends with `examples`."""

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        lines = [line.strip() for line in examples.strip().splitlines()]
        epilog = "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
        app.command(name, epilog=epilog)(guarded(function))
        return function

    return declare
