"""Signs of life of processes that share something: a document each, written again and again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tenuto.engine.graph_peers import GONE, SILENT
from tenuto.store.protocol import Document

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine


class Beacons:
    """Those of the members of one collection."""

    def __init__(self, engine: Engine, collection: str) -> None:
        self._engine = engine
        self._collection = collection
        #: By owner: the revision last seen, and when it was new, by the loop's clock.
        self._heard: dict[str, tuple[int, float]] = {}
        self._told = False

    def is_alive(self, owner: str) -> bool:
        """May that process still be there? False long after it has gone; sooner if it said so."""
        now = asyncio.get_running_loop().time()
        return now - self._heard.setdefault(owner, (0, now))[1] < GONE

    async def look(self) -> None:
        """Tell that we are there, and see who else is. Raises StoreError."""
        store, owner, now = self._engine.store, self._engine.ownership.owner, asyncio.get_running_loop().time()
        await store.put_document(Document(self._collection, owner, b"{}", updated=self._engine.clock.now()))
        self._told = True
        found: set[str] = set()
        for document in await store.documents(self._collection, limit=1000):
            found.add(document.key)
            revision, heard = self._heard.get(document.key, (0, now))
            if revision != document.revision:
                self._heard[document.key] = (document.revision, now)
            elif now - heard > GONE and document.key != owner:
                await store.delete_document(self._collection, document.key)
        for gone in [name for name, (revision, _) in self._heard.items() if revision and name not in found]:
            # It has said farewell; those who take over what it had count it in a moment.
            self._heard[gone] = (0, now - GONE + SILENT)

    async def farewell(self) -> None:
        """We are not to be counted any more."""
        if self._told:
            self._told = False
            await self._engine.store.delete_document(self._collection, self._engine.ownership.owner)
