"""Opening a database file: is it ours, is it sound, is it of this version?"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from tenuto.model.errors import StoreError, StoreFormatError
from tenuto.store.migrations import Migration, load_migrations
from tenuto.store.sqlite_errors import Patience, not_a_database

APPLICATION_ID = int.from_bytes(b"Tnto")
"""Marks a SQLite file as ours, in its header."""

_OLDEST_SQLITE = (3, 35)
_SMALLEST_DATABASE = 512  # bytes: one page of the smallest kind
_BUSY_TIMEOUT = 0.02  # seconds; SQLite's own, longer waits are those of `Patience`
_LONGEST_LOG_KEPT = 64 * 1024 * 1024  # bytes; what a log grew beyond is given back when it is begun anew
_STATEMENTS_KEPT = 256  # prepared: every statement in every size that its rows come in


def prepare(path: str, patience: Patience, migrations: list[Migration] | None = None) -> None:
    """Create or migrate the database at `path`; refuse, and change nothing, if it is not one of
    ours, is damaged or was written by a newer version."""
    _check_surroundings(path)
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_TIMEOUT)
    try:
        patience.run(_bring_up_to_date, connection, path, migrations or load_migrations("sqlite"))
    finally:
        connection.close()


def connect(path: str, synchronous: str, patience: Patience) -> sqlite3.Connection:
    """A connection to a prepared file. Nothing but `Checkpoints` ever checkpoints."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_TIMEOUT, cached_statements=_STATEMENTS_KEPT)
    try:
        patience.run(_configure, connection, synchronous)
    except BaseException:
        connection.close()
        raise
    return connection


def _configure(connection: sqlite3.Connection, synchronous: str) -> None:
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA journal_size_limit = {_LONGEST_LOG_KEPT}")
    connection.execute("PRAGMA cache_size = -16000")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA secure_delete = OFF")


def _check_surroundings(path: str) -> None:
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(f"This Python has SQLite {sqlite3.sqlite_version}; Tenuto needs 3.35 or newer.")
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        raise StoreError(f"There is no directory {directory} for {path}. Create it first.")
    if os.path.isdir(path):
        raise StoreError(f"{path} is a directory. Name a file in it.")
    if os.path.exists(path) and 0 < os.path.getsize(path) < _SMALLEST_DATABASE:
        raise not_a_database(path)  # SQLite would take it for empty, and overwrite it
    for needed in (directory, path) if os.path.exists(path) else (directory,):
        if not os.access(needed, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            raise StoreError(
                f"{needed} can't be written to. This process needs the right to write the database and its directory."
            )


def _bring_up_to_date(connection: sqlite3.Connection, path: str, migrations: list[Migration]) -> None:
    newest = migrations[-1].number
    connection.execute("BEGIN")  # or another process's migration could show up halfway
    version = _version(connection, path, newest)
    connection.execute("COMMIT")
    if version == newest:
        return
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(
            f"{path} can't be switched to a write-ahead log: its file system lacks shared memory, as"
            " network drives do. Put it on a local disk."
        )
    for migration in migrations:
        _apply(connection, path, migration, newest)


def _apply(connection: sqlite3.Connection, path: str, migration: Migration, newest: int) -> None:
    """One transaction; another process may have been faster."""
    connection.execute("BEGIN IMMEDIATE")
    if _version(connection, path, newest) < migration.number:
        for statement in migration.statements():
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {migration.number}")
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection, path: str, newest: int) -> int:
    """The number of the last migration applied, 0 for a blank file."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == APPLICATION_ID:
        if version > newest:
            raise StoreFormatError(
                f"{path} has schema version {version}, and this Tenuto knows versions up to"
                f" {newest}. Upgrade Tenuto, or name another file."
            )
        return int(version)
    if application or version or tables:
        raise StoreFormatError(f"{path} is a SQLite database of another application. Name another file.")
    return 0


def absolute(path: str) -> str:
    """`path` as it is now meant, whatever becomes of the working directory or of links."""
    return str(Path(path).resolve())
