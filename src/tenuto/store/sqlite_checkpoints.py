"""Checkpoints: moving what was committed from the write-ahead log into the database.

SQLite would do it in the midst of a commit, which then takes many times as long. Here a thread of
its own does it while commits go on, as soon as the log has grown by about 4 MB. What is committed
meanwhile, the writer moves itself, between two commits: only a log that has been moved to its end
is begun anew, and to overwrite a log takes half the time of letting it grow.
"""

from __future__ import annotations

import asyncio
import sqlite3

from tenuto.model.errors import StoreError
from tenuto.store.sqlite_thread import DatabaseThread

PAGES = 1_000
"""Grown by so many pages, the log is checkpointed."""
FEW_PAGES = 250
"""What the writer may move by itself: about as much work as a large commit."""
MOST_PAGES = 16_384
"""Past this length, 64 MB, the writer moves whatever is left and waits a moment for readers."""

_Result = tuple[int, int, int]


class Checkpoints:
    """Watches how much is written and has the log checkpointed when it is time.

    Nothing tells a Python program how long the log is; but each checkpoint does. So what is counted
    is rows, and how many pages a row makes is learned from one checkpoint to the next."""

    def __init__(self, writer: DatabaseThread, own: DatabaseThread) -> None:
        self._writer = writer
        self._own = own
        self._rows = 0
        self._pages_left = 0
        self._pages_per_row = 1.0
        self._running: asyncio.Task[None] | None = None

    def wrote(self, rows: int) -> None:
        """To be told after every transaction."""
        self._rows += rows + 1
        if self._running is None and self._rows * self._pages_per_row >= PAGES:
            self._running = asyncio.create_task(self._checkpoint())

    async def stop(self) -> None:
        """Wait for the checkpoint in progress."""
        if self._running is not None:
            await asyncio.wait({self._running})

    async def _checkpoint(self) -> None:
        """A failure is told nobody: it will be tried again when as much was written again, and a
        disk that can't take the pages can't take commits either."""
        rows, self._rows = self._rows, 0
        try:
            _, pages, moved = await self._own.submit(_passive)
            if pages > self._pages_left:
                self._pages_per_row = max((pages - self._pages_left) / rows, 0.05)
            if pages > MOST_PAGES:
                _, pages, moved = await self._writer.submit(_restart)
            elif self._rows * self._pages_per_row <= FEW_PAGES:
                _, pages, moved = await self._writer.submit(_passive)
            self._pages_left = 0 if pages == moved else pages
        except StoreError:
            pass
        finally:
            self._running = None


def _passive(connection: sqlite3.Connection) -> _Result:
    return _checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)")


def _restart(connection: sqlite3.Connection) -> _Result:
    """Waits for readers, but no longer than the connection's busy timeout."""
    return _checkpoint(connection, "PRAGMA wal_checkpoint(RESTART)")


def _checkpoint(connection: sqlite3.Connection, statement: str) -> _Result:
    busy, pages, moved = connection.execute(statement).fetchone()
    return busy, pages, moved
