"""`tenuto list`: which workflows there are, and how they stand."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tenuto.cli import options
from tenuto.cli.faults import bad_input
from tenuto.cli.session import connected, run_async
from tenuto.cli.values import instant, print_json

if TYPE_CHECKING:
    from tenuto.model.policies import ExecutionStatus
    from tenuto.store.protocol import ExecutionFilter, ExecutionRow

EXAMPLES = """
tenuto list --status running --type Checkout
tenuto list --stuck
tenuto list "WorkflowType = 'Checkout' AND StartTime > '2026-01-01T00:00:00Z'" --limit 20
tenuto list --count --json
"""


class Status(StrEnum):
    """The statuses, as they are typed."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    TERMINATED = "terminated"
    CONTINUED_AS_NEW = "continued-as-new"
    TIMED_OUT = "timed-out"


def register(app: typer.Typer) -> None:
    @options.command(app, "list", EXAMPLES)
    def list_(
        query: Annotated[str | None, typer.Argument(metavar="[QUERY]", help="Conditions; see the examples.")] = None,
        stuck: Annotated[bool, typer.Option("--stuck", help="Only those whose code can't go on.")] = False,
        status: Annotated[
            Status | None, typer.Option("--status", help="Only those of this status.", case_sensitive=False)
        ] = None,
        type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only those of this type.")] = None,
        limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many.")] = 100,
        count: Annotated[bool, typer.Option("--count", help="Only say how many there are, by status.")] = False,
        db: options.Db = options.DEFAULT_DB,
        as_json: options.AsJson = False,
    ) -> None:
        """List workflows, the newest first. Conditions given together must all hold."""
        filter = conditions(query, stuck, status, type)
        if count:
            run_async(print_count(db, filter, as_json))
        else:
            run_async(print_list(db, filter, limit, as_json))


def conditions(query: str | None, stuck: bool, status: Status | None, type: str | None) -> ExecutionFilter:
    """The query with the options. Raises CommandError for a query that can't be understood."""
    from msgspec.structs import replace

    from tenuto.listing import parse_query
    from tenuto.model.policies import ExecutionStatus

    try:
        filter = parse_query(query)
    except ValueError as error:
        raise bad_input(error) from None
    if stuck:
        filter = replace(filter, stuck=True)
    if status is not None:
        filter = replace(filter, statuses=_both(filter.statuses, ExecutionStatus[status.name]))
    if type is not None:
        filter = replace(filter, workflow_types=_both(filter.workflow_types, type))
    return filter


def _both(given: tuple[Any, ...] | None, one: Any) -> tuple[Any, ...]:
    return (one,) if given is None or one in given else ()


async def print_list(db: str, filter: ExecutionFilter, limit: int, as_json: bool) -> None:
    async with connected(db) as client:
        rows = await client.gateway.store.find(filter, limit + 1, 0)
    shown = rows[:limit]
    if as_json:
        print_json([as_object(row) for row in shown])
    else:
        _print_table(shown, more=len(rows) > limit)


async def print_count(db: str, filter: ExecutionFilter, as_json: bool) -> None:
    async with connected(db) as client:
        by_status = await client.gateway.store.count(filter)
    total = sum(by_status.values())
    if as_json:
        print_json({"count": total, "by_status": {status.name: number for status, number in by_status.items()}})
        return
    parts = ", ".join(f"{number:,} {_words(status)}" for status, number in sorted(by_status.items()))
    print(f"{total:,}" + (f" ({parts})" if parts else ""))


def as_object(row: ExecutionRow) -> dict[str, Any]:
    """One run, for machines."""
    return {
        "workflow_id": row.workflow_id,
        "run_id": row.run_id,
        "workflow_type": row.workflow_type,
        "task_queue": row.task_queue,
        "status": row.status.name,
        "start_time": instant(row.start_time),
        "close_time": instant(row.close_time),
        "parent_workflow_id": row.parent_workflow_id,
        "problem": row.problem,
        "paused": row.paused,
    }


def _print_table(rows: list[ExecutionRow], *, more: bool) -> None:
    from datetime import datetime

    from rich.console import Console
    from rich.text import Text

    from tenuto.timeline_view import duration

    console = Console(highlight=False)
    id_width = max((len(row.workflow_id) for row in rows), default=0)
    type_width = max((len(row.workflow_type) for row in rows), default=0)
    for row in rows:
        began = datetime.fromtimestamp(row.start_time / 1e9).astimezone()
        took = "" if row.close_time is None else duration((row.close_time - row.start_time) / 1e9)
        word, style = _words(row.status), _STYLES.get(row.status.name, "")
        if row.problem:
            word, style = ("paused", "yellow") if row.paused else ("stuck", "red")
        line = Text.assemble(
            (f"{row.workflow_id:<{id_width}}", "bold"),
            f"  {row.workflow_type:<{type_width}}  ",
            (f"{word:<16}", style),
            (f"  {began:%Y-%m-%d %H:%M:%S}  {took:>9}", "dim"),
        )
        if row.problem and row.problem != word:
            line.append(f"  {' '.join(row.problem.split())[:200]}", style)
        line.rstrip()
        console.print(line, soft_wrap=True)
    if not rows:
        print("no workflow matches")
    if more:
        print(f"(only the newest {len(rows):,}; --limit shows more, --count counts all)")


_STYLES = {"COMPLETED": "green", "RUNNING": "cyan", "FAILED": "red", "TIMED_OUT": "red", "TERMINATED": "red"}


def _words(status: ExecutionStatus) -> str:
    return status.name.replace("_", " ").lower()
