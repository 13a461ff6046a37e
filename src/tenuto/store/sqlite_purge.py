"""Forgetting what is over."""

from __future__ import annotations

import sqlite3

from tenuto.store.sqlite_commit import SQL

ANSWERS_KEPT = 3600 * 1_000_000_000
"""How long an answer waits for its client, in nanoseconds."""


def purge(connection: sqlite3.Connection, closed_before: int, now: int, limit: int) -> int:
    """`Store.purge`, in one transaction."""
    connection.execute(SQL["begin"].text)
    parameters = {"closed_before": closed_before, "limit": limit}
    rows = connection.execute(SQL["closed_runs"].text, parameters).fetchall()
    if rows:
        ids: list[object] = [id for (id,) in rows]
        for table in ("history", "notes", "tasks", "executions"):
            for text, cells in SQL[f"purge_{table}"].for_rows(ids):
                connection.execute(text, cells)
    connection.execute(SQL["purge_answers"].text, [now - ANSWERS_KEPT])
    connection.execute(SQL["commit"].text)
    return len(rows)
