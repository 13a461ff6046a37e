"""A copy in memory of documents that other processes change, too: one document's revision tells of all changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tenuto.store.protocol import Document, Store

#: All is read again after so many looks even if nobody announced a change: whoever makes one may die in between.
LOOKS_BEFORE_RELOAD = 60


class Following:
    """`read` reads the copy anew; `changes` is the (collection, key) of the document whose revision counts changes."""

    def __init__(self, store: Store, changes: tuple[str, str], read: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._changes = changes
        self._read = read
        self._seen = -1
        self._looks = 0
        #: The look that has begun, and the one that is to follow it.
        self._look: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def reload(self) -> None:
        """Read everything."""
        found = await self._store.document(*self._changes)
        await self._read()
        self._seen, self._looks = 0 if found is None else found.revision, 0

    async def look(self) -> None:
        """Read what has changed; to be called about once a second."""
        found = await self._store.document(*self._changes)
        self._looks += 1
        if (0 if found is None else found.revision) != self._seen or self._looks >= LOOKS_BEFORE_RELOAD:
            await self.reload()

    async def fresh(self) -> None:
        """See every change that was announced before the call. Those who ask at the same time share a look."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._look_after(self._look), name="tenuto: changes")
        await asyncio.shield(self._next)

    async def _look_after(self, other: asyncio.Task[None] | None) -> None:
        # The look that is under way may have begun too early.
        if other is not None:
            await asyncio.wait([other])
        self._look, self._next = self._next, None
        await self.look()

    async def announce(self, now: int) -> None:
        """Tell others of a change that has been written, and is in this copy."""
        collection, key = self._changes
        revision = await self._store.put_document(Document(collection, key, b"", updated=now))
        if revision == self._seen + 1:
            self._seen = revision
