"""What SQLite reports, as errors that say what happened, to which file, and what to do; and the
patience that keeps "database is locked" from everybody.
"""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from tenuto.model.errors import StoreBusyError, StoreError, StoreFormatError, StoreFullError
from tenuto.store.file_lock import FileLock

P = ParamSpec("P")
R = TypeVar("R")

_SHORTEST_WAIT, _LONGEST_WAIT = 0.0005, 0.02


def owner_lock(path: str) -> FileLock:
    """The lock of whoever owns the partitions of the database at `path`."""
    return FileLock(f"{os.path.realpath(path)}-owner")


def translated(error: sqlite3.Error, path: str) -> StoreError:
    """`error` in our words. Whatever it was, the transaction it happened in is undone."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return StoreFullError(
                f"No room left to write to {path}: nothing of the last change was recorded. Free"
                " some space on its disk; no restart is needed."
            )
        case sqlite3.SQLITE_NOTADB:
            return not_a_database(path)
        case sqlite3.SQLITE_CORRUPT:
            return StoreFormatError(
                f"{path} is damaged ({error}). Keep a copy of it, restore a backup, or save what can"
                f" be read with: sqlite3 {path} .recover"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return StoreError(
                f"{path} can't be written to ({error}). This process needs the right to write the"
                " file and its directory."
            )
        case sqlite3.SQLITE_CANTOPEN:
            return StoreError(
                f"{path} can't be opened ({error}). Does the directory exist, and may this process write in it?"
            )
        case sqlite3.SQLITE_IOERR:
            return StoreError(f"The system failed to read or write {path} ({error}). Look at its disk and quota.")
    return StoreError(f"{path} could not do what was asked of it: {error}.")


def not_a_database(path: str) -> StoreFormatError:
    """The error of a file that holds something else."""
    return StoreFormatError(f"{path} is not a Tenuto database, nor any SQLite database. Name another file.")


class Patience:
    """Runs work on a database that others use too, and waits for them.

    SQLite lets waiting writers poll and serves none in turn, so each wait is short and random:
    everybody gets through within a few dozen of an owner's commits."""

    def __init__(self, path: str, seconds: float) -> None:
        self._path = path
        self._seconds = seconds

    def run(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], R],
        connection: sqlite3.Connection,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """`work(connection, ...)`, again and again while somebody else has the file. Work that fails
        is rolled back. Raises `StoreBusyError` when the patience is used up."""
        deadline = time.monotonic() + self._seconds
        wait = _SHORTEST_WAIT
        while True:
            try:
                return work(connection, *args, **kwargs)
            except BaseException as error:
                _roll_back(connection)
                if not isinstance(error, sqlite3.Error):
                    raise
                if not _is_busy(error):
                    raise translated(error, self._path) from error
                if time.monotonic() >= deadline:
                    raise self._used_up() from error
            time.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(wait * 1.5, _LONGEST_WAIT)

    def _used_up(self) -> StoreBusyError:
        owner = owner_lock(self._path).holder()
        return StoreBusyError(
            f"{self._path} was locked by others for {self._seconds:g} s; nothing was recorded. "
            + (f"It is owned by {owner}." if owner else "No engine owns it.")
            + " Does a tool or a backup hold a transaction open?"
        )


def _is_busy(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _roll_back(connection: sqlite3.Connection) -> None:
    """SQLite has undone some failed transactions by itself; undo those that it has not. What went
    wrong is told by the error that led here, also if this fails too."""
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()
