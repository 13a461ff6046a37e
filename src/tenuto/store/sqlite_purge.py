"""Forgetting what is over."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from tenuto.store.sqlite_statements import SQL

ANSWERS_KEPT = 3600 * 1_000_000_000
"""How long an answer waits for its client, in nanoseconds."""

_OF_RUNS = ("history", "notes", "tasks", "workflow_index", "task_index", "executions")


def purge(connection: sqlite3.Connection, closed_before: int, now: int, limit: int) -> int:
    """`Store.purge`, in one transaction."""
    connection.execute(SQL["begin"].text)
    parameters = {"closed_before": closed_before, "limit": limit}
    rows = connection.execute(SQL["closed_runs"].text, parameters).fetchall()
    _forget(connection, rows)
    connection.execute(SQL["purge_answers"].text, [now - ANSWERS_KEPT])
    connection.execute(SQL["commit"].text)
    return len(rows)


def remove(connection: sqlite3.Connection, run_ids: Sequence[str]) -> None:
    """Forget these runs, within a transaction."""
    rows = [
        row
        for text, cells in SQL["runs_to_remove"].for_rows(list(run_ids))
        for row in connection.execute(text, cells).fetchall()
    ]
    _forget(connection, rows)


def _forget(connection: sqlite3.Connection, runs: Sequence[tuple[int, str]]) -> None:
    """Delete runs, given by number and workflow id, with all that belongs to them."""
    if not runs:
        return
    numbers: list[object] = [number for number, _ in runs]
    for table in _OF_RUNS:
        _delete(connection, f"purge_{table}", numbers)
    _delete(connection, "purge_documents", list({workflow_id for _, workflow_id in runs}))


def _delete(connection: sqlite3.Connection, statement: str, keys: list[object]) -> None:
    for text, cells in SQL[statement].for_rows(keys):
        connection.execute(text, cells)
