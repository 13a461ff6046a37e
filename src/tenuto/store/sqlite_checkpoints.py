"""Checkpoints: moving what was committed from the write-ahead log into the database.

SQLite would do it in the midst of a commit, which then takes many times as long. Here a thread of
its own does it while commits go on, as soon as the log has grown by about 4 MB.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3

from tenuto.store.sqlite_thread import DatabaseThread

PAGES = 1_000
"""Grown by so many pages, the log is checkpointed."""
LONGEST_LOG = 64 * 1024 * 1024
"""Past so many bytes the writer waits for a checkpoint to succeed: a passive one starts the log anew
only in a moment without readers, which may not come under load."""

_Result = tuple[int, int, int]


class Checkpoints:
    """Watches how much is written and has the log checkpointed when it is time.

    Nothing tells a Python program how long the log is; but each checkpoint does. So what is counted
    is rows, and how many pages a row makes is learned from one checkpoint to the next."""

    def __init__(self, path: str, writer: DatabaseThread, own: DatabaseThread) -> None:
        self._log = f"{path}-wal"
        self._writer = writer
        self._own = own
        self._rows = 0
        self._pages_left = 0
        self._pages_per_row = 1.0
        self._running: asyncio.Future[_Result] | None = None

    def wrote(self, rows: int) -> None:
        """To be told after every transaction."""
        self._rows += rows + 1
        if self._running is None and self._rows * self._pages_per_row >= PAGES:
            self._running = self._own.submit(_passive)
            self._running.add_done_callback(self._done)

    def _done(self, result: asyncio.Future[_Result]) -> None:
        """What failed is tried again when as much was written again; a disk that can't take the
        pages now can't take commits either, and there the error is told."""
        self._running = None
        rows, self._rows = self._rows, 0
        if result.cancelled() or result.exception() is not None:
            return
        _, pages, moved = result.result()
        if pages > self._pages_left:
            self._pages_per_row = max((pages - self._pages_left) / rows, 0.05)
        self._pages_left = 0 if pages == moved else max(pages, 0)
        if _size(self._log) > LONGEST_LOG:
            self._writer.submit(_truncate).add_done_callback(_forget)


def _passive(connection: sqlite3.Connection) -> _Result:
    return _checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)")


def _truncate(connection: sqlite3.Connection) -> _Result:
    """Waits for readers, but no longer than the connection's busy timeout."""
    return _checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)")


def _checkpoint(connection: sqlite3.Connection, statement: str) -> _Result:
    busy, pages, moved = connection.execute(statement).fetchone()
    return busy, pages, moved


def _forget(result: asyncio.Future[_Result]) -> None:
    if not result.cancelled():
        result.exception()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
