"""The documents of a memory store."""

from __future__ import annotations

from collections.abc import Set

import msgspec

from tenuto.store.documents import check_revision
from tenuto.store.protocol import Commit, Document


class Documents:
    """Collections of documents. They are copied on their way in and out."""

    def __init__(self) -> None:
        self._collections: dict[str, dict[str, Document]] = {}

    def write(self, commit: Commit) -> None:
        for document in {(document.collection, document.key): document for document in commit.documents}.values():
            self.put(document, None)
        for collection, key in commit.deleted_documents:
            self.delete(collection, key)

    def put(self, document: Document, expected: int | None) -> int:
        collection = self._collections.setdefault(document.collection, {})
        there = collection.get(document.key)
        revision = check_revision(document, there.revision if there else 0, expected)
        collection[document.key] = msgspec.structs.replace(document, revision=revision)
        return revision

    def delete(self, collection: str, key: str) -> bool:
        return self._collections.get(collection, {}).pop(key, None) is not None

    def get(self, collection: str, key: str) -> Document | None:
        document = self._collections.get(collection, {}).get(key)
        return None if document is None else msgspec.structs.replace(document)

    def page(self, collection: str, prefix: str, after: str, limit: int) -> list[Document]:
        found = self._keys(collection, prefix)
        documents = self._collections.get(collection, {})
        return [msgspec.structs.replace(documents[key]) for key in sorted(found) if not after or key > after][:limit]

    def count(self, collection: str, prefix: str) -> int:
        return len(self._keys(collection, prefix))

    def forget(self, workflow_ids: Set[str]) -> None:
        """Drop what belongs to these executions."""
        for collection in self._collections.values():
            for key in [key for key, document in collection.items() if document.workflow_id in workflow_ids]:
                del collection[key]

    def _keys(self, collection: str, prefix: str) -> list[str]:
        return [key for key in self._collections.get(collection, {}) if key.startswith(prefix)]
