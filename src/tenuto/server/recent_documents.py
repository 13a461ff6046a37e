"""Records of what happened, of which the newest are kept: documents of one collection, at most so many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from tenuto.model.json_values import encode_json
from tenuto.store.protocol import Document

if TYPE_CHECKING:
    from tenuto.server.services import Services

T = TypeVar("T")

#: Documents that are read at a time.
PAGE = 500


class RecentDocuments(Generic[T]):
    """The newest `limit` documents of a collection. Which there are is known without waiting."""

    def __init__(self, services: Services, collection: str, kind: type[T], limit: int) -> None:
        self._services = services
        self._collection = collection
        self._decoder = msgspec.json.Decoder(kind)
        self._limit = limit
        #: When each was written last, oldest first.
        self._written: dict[str, int] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._written

    def keys(self, since: int = 0) -> list[str]:
        """The keys of what was written at `since` (nanoseconds) or later, newest last."""
        return [key for key, written in self._written.items() if written >= since]

    async def load(self) -> None:
        """Find out what there is."""
        found: list[tuple[int, str]] = []
        after = ""
        while True:
            page = await self._services.store.documents(self._collection, after=after, limit=PAGE)
            found += [(document.updated, document.key) for document in page]
            if len(page) < PAGE:
                break
            after = page[-1].key
        self._written = {key: updated for updated, key in sorted(found)}

    def document(self, key: str, value: T) -> Document:
        """The document that holds `value`, to be written."""
        return Document(self._collection, key, encode_json(value), updated=self._services.clock.now())

    async def put(self, documents: list[Document], *, deleted: Sequence[tuple[str, str]] = ()) -> None:
        """Write documents, and forget the oldest for them; delete others in the same commit."""
        stale = self.excess(documents)
        await self._services.graphs.write(documents, [*stale, *deleted])
        self.learn(documents, stale)

    def excess(self, documents: list[Document]) -> list[tuple[str, str]]:
        """What is to be deleted with the commit that holds these."""
        new = sum(document.key not in self._written for document in documents)
        stale = list(self._written)[: max(0, len(self._written) + new - self._limit)]
        return [(self._collection, key) for key in stale]

    def learn(self, documents: list[Document], deleted: list[tuple[str, str]]) -> None:
        """Documents have been written, and others deleted."""
        for _, key in deleted:
            self._written.pop(key, None)
        for document in documents:
            self._written.pop(document.key, None)
            self._written[document.key] = document.updated

    async def get(self, key: str) -> T | None:
        document = await self._services.store.document(self._collection, key)
        return None if document is None else self._decoder.decode(document.data)

    async def all(self, prefix: str = "") -> list[T]:
        """Those whose key starts with `prefix`, newest first."""
        found: list[Document] = []
        after = ""
        while True:
            page = await self._services.store.documents(self._collection, prefix=prefix, after=after, limit=PAGE)
            found += page
            if len(page) < PAGE:
                break
            after = page[-1].key
        found.sort(key=lambda document: document.updated, reverse=True)
        return [self._decoder.decode(document.data) for document in found]
