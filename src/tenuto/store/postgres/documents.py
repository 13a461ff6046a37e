"""The documents of a PostgreSQL store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from tenuto.store.documents import behind, check_revision
from tenuto.store.postgres.texts import escape, unescape
from tenuto.store.protocol import Document, partition_of

Columns = dict[str, list[Any]]
Fetch = Callable[[str, dict[str, object]], Awaitable[list[Any]]]
"""Runs a statement, by its name, with the values of its parameters."""


async def document(fetch: Fetch, collection: str, key: str) -> Document | None:
    records = await fetch("document", _key(collection, key))
    return _document(records[0]) if records else None


async def documents(fetch: Fetch, collection: str, prefix: str, after: str, limit: int) -> list[Document]:
    named = _keys(collection, prefix) | {"limit": limit}
    if after:
        named["first"] = escape(max(prefix, after + "\x00"))
    return [_document(record) for record in await fetch("documents", named)]


async def count_documents(fetch: Fetch, collection: str, prefix: str) -> int:
    ((number,),) = await fetch("count_documents", _keys(collection, prefix))
    return int(number)


async def put_document(fetch: Fetch, document: Document, expected: int | None) -> int:
    key = _key(document.collection, document.key)
    named = key | {
        "updated": document.updated,
        "workflow_id": escape(document.workflow_id) or None,
        "data": document.data,
        "only_new": expected == 0,
        "revision": expected,
    }
    while True:
        written = await fetch("replace_document" if expected else "put_document", named)
        if written:
            return int(written[0]["revision"])
        found = await fetch("document_revision", key)
        # What was in the way may be gone by now: then there is nothing to complain of, and another try is due.
        check_revision(document, found[0]["revision"] if found else 0, expected)


async def delete_document(fetch: Fetch, collection: str, key: str) -> bool:
    return bool(await fetch("delete_document", _key(collection, key)))


def document_columns(documents: Collection[Document]) -> Columns:
    """The parameters of `upsert_documents`. Of each document one; in one order in every process, so that two that write
    the same documents wait for each other in turn."""
    ordered = sorted(documents, key=lambda document: (document.collection, document.key))
    return {
        "pd_partition": [partition_of(document.collection) for document in ordered],
        "pd_updated": [document.updated for document in ordered],
        "pd_collection": [escape(document.collection) for document in ordered],
        "pd_key": [escape(document.key) for document in ordered],
        "pd_workflow_id": [escape(document.workflow_id) or None for document in ordered],
        "pd_data": [document.data for document in ordered],
    }


def deleted_columns(keys: Collection[tuple[str, str]]) -> Columns:
    """The parameters of `delete_documents`, of (collection, key) pairs."""
    return {
        "dd_partition": [partition_of(collection) for collection, _ in keys],
        "dd_collection": [escape(collection) for collection, _ in keys],
        "dd_key": [escape(key) for _, key in keys],
    }


def _key(collection: str, key: str) -> dict[str, object]:
    return {"partition": partition_of(collection), "collection": escape(collection), "key": escape(key)}


def _keys(collection: str, prefix: str) -> dict[str, object]:
    """The keys that start with `prefix`: those before the first that doesn't, or before the next collection."""
    first = escape(prefix)
    end = behind(first)
    return {
        "partition": partition_of(collection),
        "collection": escape(collection),
        "first": first,
        "end_collection": escape(collection if end is not None else collection + "\x00"),
        "end_key": end or "",
    }


def _document(record: Mapping[str, Any]) -> Document:
    return Document(
        collection=unescape(record["collection"]),
        key=unescape(record["key"]),
        data=record["data"],
        revision=record["revision"],
        updated=record["updated"],
        workflow_id=unescape(record["workflow_id"]),
    )
