"""The documents of a SQLite store. Each function does one verb, on a connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from tenuto.store.documents import behind, check_revision
from tenuto.store.protocol import Document
from tenuto.store.sqlite_statements import SQL
from tenuto.store.statements import Parameters


def document(connection: sqlite3.Connection, collection: str, key: str) -> Document | None:
    row = connection.execute(SQL["document"].text, [collection, key]).fetchone()
    return None if row is None else Document(*row)


def documents(connection: sqlite3.Connection, collection: str, prefix: str, after: str, limit: int) -> list[Document]:
    parameters = _keys(collection, prefix) | {"limit": limit}
    if after:
        parameters["from"] = max(prefix, after + "\0")
    return [Document(*row) for row in connection.execute(SQL["documents"].text, parameters).fetchall()]


def count_documents(connection: sqlite3.Connection, collection: str, prefix: str) -> int:
    (number,) = connection.execute(SQL["count_documents"].text, _keys(collection, prefix)).fetchone()
    return int(number)


def put_document(connection: sqlite3.Connection, document: Document, expected: int | None) -> int:
    connection.execute(SQL["begin"].text)
    row = connection.execute(SQL["document_revision"].text, [document.collection, document.key]).fetchone()
    revision = check_revision(document, row[0] if row else 0, expected)
    connection.execute(SQL["upsert_documents"].text, document_cells([document]))
    connection.execute(SQL["commit"].text)
    return revision


def delete_document(connection: sqlite3.Connection, collection: str, key: str) -> bool:
    return connection.execute(SQL["delete_documents"].text, [collection, key]).rowcount > 0


def document_cells(rows: Iterable[Document]) -> Parameters:
    """The cells of `upsert_documents`."""
    cells: Parameters = []
    for row in rows:
        cells += (row.collection, row.key, row.updated, row.workflow_id, bytearray(row.data))
    return cells


def _keys(collection: str, prefix: str) -> dict[str, object]:
    return {"collection": collection, "from": prefix, "behind": end_of(prefix)}


def end_of(prefix: str) -> str | bytes:
    """What is behind all texts that start with `prefix`; an empty BLOB lies behind every text."""
    return behind(prefix) or b""
