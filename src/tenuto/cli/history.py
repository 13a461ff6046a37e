"""`tenuto history`: the events of one run, to read, to keep, or to replay."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tenuto.cli import options
from tenuto.cli.faults import CommandError, say
from tenuto.cli.session import connected, run_async

if TYPE_CHECKING:
    from tenuto.client import WorkflowHistory

EXAMPLES = """
tenuto history order-42
tenuto history order-42 --json | jq '.events[].eventType'
tenuto history order-42 --output order-42.json
"""


def register(app: typer.Typer) -> None:
    @options.command(app, "history", EXAMPLES)
    def history(
        id: options.WorkflowId,
        run_id: options.RunId = None,
        output: Annotated[
            Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the JSON to a file.")
        ] = None,
        db: options.Db = options.DEFAULT_DB,
        as_json: options.AsJson = False,
    ) -> None:
        """Print the events of a run, or export them as JSON for tools and for replay in tests, without the outputs of
        steps that are sensitive."""
        from tenuto.activities.sensitive import redacted

        events = run_async(_fetch(db, id, run_id))
        events.events = redacted(events.events)
        if output is not None:
            _write(output, events)
        elif as_json:
            sys.stdout.write(events.to_json() + "\n")
        else:
            _print(events)


async def _fetch(db: str, id: str, run_id: str | None) -> WorkflowHistory:
    async with connected(db) as client:
        return await client.get_workflow_handle(id, run_id=run_id).fetch_history()


def _write(output: Path, history: WorkflowHistory) -> None:
    try:
        output.write_text(history.to_json() + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{output} can't be written: {error.strerror}") from None
    say(f"{len(history.events):,} events written to {output}")


def _print(history: WorkflowHistory) -> None:
    """One line an event: its id, its time, its type, and whom it is about."""
    from datetime import datetime

    for event in history.events:
        time = datetime.fromtimestamp(event.time / 1e9).astimezone()
        about = [str(getattr(event, name)) for name in _TELLING if getattr(event, name, None)]
        print(f"{event.event_id:>6}  {time:%Y-%m-%d %H:%M:%S.%f}  {type(event).__name__}  {' '.join(about)}".rstrip())


_TELLING = (
    "activity_type",
    "activity_id",
    "timer_id",
    "workflow_type",
    "workflow_id",
    "signal_name",
    "update_name",
    "update_id",
    "cause",
    "reason",
)
