"""Work that is on record as a document each, with the server that does it: what a server that is gone has left undone
is taken over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from tenuto.model.errors import ConflictError, StoreError
from tenuto.store.protocol import Document

if TYPE_CHECKING:
    from tenuto.server.services import Services

logger = logging.getLogger("tenuto.server")

PAGE = 500
#: Seconds between two looks whether a server has gone.
LOOK = 5.0


class Orphans:
    """The documents of one collection. `doer` tells who is at it; `handed` makes of a document what says that another
    server is; `taken` is called with a document that is ours from then on."""

    def __init__(
        self,
        services: Services,
        collection: str,
        doer: Callable[[bytes], str],
        handed: Callable[[bytes, str], bytes],
        taken: Callable[[Document], None],
    ) -> None:
        self._services = services
        self._collection = collection
        self._doer = doer
        self._handed = handed
        self._taken = taken
        self._seen_gone = -1
        #: Was there anything that somebody may be at who has not been heard of?
        self._unsure = False

    async def watch(self) -> None:
        """Take over what is left undone, for ever."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                if self._unsure or self._services.graphs.queues.peers.gone != self._seen_gone:
                    await self.take_over()
            except StoreError as error:
                logger.warning("what other servers left undone can't be read, which is tried again: %s", error)

    async def take_over(self) -> None:
        """Take over what nobody does."""
        self._seen_gone, self._unsure = self._services.graphs.queues.peers.gone, False
        found: list[Document] = []
        after = ""
        while True:
            page = await self._services.store.documents(self._collection, after=after, limit=PAGE)
            found += [document for document in page if self._is_orphan(document)]
            if len(page) < PAGE:
                break
            after = page[-1].key
        for document in sorted(found, key=lambda document: document.updated):
            await self._take(document)

    def _is_orphan(self, document: Document) -> bool:
        doer, engine = self._doer(document.data), self._services.engine
        if doer == engine.ownership.owner:
            return False
        if not engine.ownership.peers:
            return True
        if self._services.graphs.queues.peers.is_alive(doer) or not engine.owns(document.key):
            self._unsure |= not self._services.graphs.queues.peers.is_heard(doer)
            return False
        return True

    async def _take(self, document: Document) -> None:
        if self._services.store.shared:
            data = self._handed(document.data, self._services.engine.ownership.owner)
            taken = Document(document.collection, document.key, data, updated=document.updated)
            try:
                await self._services.store.put_document(taken, expected=document.revision)
            except ConflictError:
                return  # another server was faster
            document = taken
        self._taken(document)
