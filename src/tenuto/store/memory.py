"""The memory store: for tests and for work that need not outlive its process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from weakref import WeakValueDictionary

from tenuto.model.errors import LeaseLostError, StoreError, StoreOwnedError
from tenuto.model.events import ExecutionRef
from tenuto.model.policies import ExecutionStatus
from tenuto.model.search import SearchQuery
from tenuto.store.memory_tables import Tables
from tenuto.store.protocol import (
    PARTITIONS,
    Commit,
    Document,
    Due,
    ExecutionFilter,
    ExecutionRow,
    InboxRow,
    SearchPage,
    StoredExecution,
    TaskIndexRow,
    TaskRow,
    WorkflowIndexRow,
)

_shared: WeakValueDictionary[str, Tables] = WeakValueDictionary()


class MemoryStore:
    """A store in memory. What each verb guarantees: `protocol.py`; durable means: as long as a store
    of this name exists in this process. Without a name the tables are this object's own."""

    def __init__(self, url: str = "memory://", name: str = "") -> None:
        self.url = url
        self._tables = _shared.setdefault(name, Tables()) if name else Tables()
        self._opened = False

    async def open(self) -> None:
        if self._opened:
            raise StoreError(f"{self.url} is open already.")
        self._opened = True

    async def close(self) -> None:
        self._opened = False
        if self._tables.holder == id(self):
            self._tables.holder = self._tables.owner = None

    async def lease(self, owner: str, now: int, until: int) -> Mapping[int, int]:
        tables = self._open_tables
        if tables.owner is None:
            tables.holder, tables.owner = id(self), owner
            tables.epoch += 1
        elif tables.holder != id(self) or tables.owner != owner:
            raise StoreOwnedError(f"{self.url} is owned by {tables.owner}, in this process.")
        return dict.fromkeys(range(PARTITIONS), tables.epoch)

    async def release(self, owner: str) -> None:
        if self._holds and self._tables.owner == owner:
            self._tables.holder = self._tables.owner = None

    async def commit(self, commit: Commit) -> None:
        tables = self._open_tables
        if commit.epochs and not (self._holds and all(epoch == tables.epoch for epoch in commit.epochs.values())):
            raise LeaseLostError(
                "Another engine has taken over the partitions of this commit; nothing of it was written."
            )
        tables.write(commit)
        await asyncio.sleep(0)  # as with every other store, others have their turn meanwhile

    async def send(self, messages: Sequence[tuple[int, bytes]]) -> None:
        await self.commit(Commit(sent=list(messages)))

    async def load(self, refs: Sequence[ExecutionRef], *, closed_history: bool = False) -> list[StoredExecution | None]:
        return [self._open_tables.load(ref, closed_history) for ref in refs]

    async def due(self, partitions: Sequence[int], before: int, after: Due | None, limit: int) -> list[Due]:
        return self._open_tables.due(set(partitions), before, after)[:limit]

    async def receive(self, partitions: Sequence[int], after: int, limit: int) -> list[InboxRow]:
        return self._open_tables.received(set(partitions), after)[:limit]

    async def answer(self, request_id: str) -> bytes | None:
        found = self._open_tables.answers.get(request_id)
        return found[0] if found else None

    async def waiting_tasks(self, partitions: Sequence[int], task_queue: str, limit: int) -> list[TaskRow]:
        return self._open_tables.waiting(set(partitions), task_queue)[:limit]

    async def find(self, filter: ExecutionFilter, limit: int, offset: int) -> list[ExecutionRow]:
        return self._open_tables.find(filter)[offset : offset + limit]

    async def count(self, filter: ExecutionFilter) -> dict[ExecutionStatus, int]:
        numbers: dict[ExecutionStatus, int] = {}
        for row in self._open_tables.find(filter):
            numbers[row.status] = numbers.get(row.status, 0) + 1
        return numbers

    async def purge(self, closed_before: int, now: int, limit: int) -> int:
        return self._open_tables.purge(closed_before, now, limit)

    async def document(self, collection: str, key: str) -> Document | None:
        return self._open_tables.documents.get(collection, key)

    async def documents(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[Document]:
        return self._open_tables.documents.page(collection, prefix, after, limit)

    async def count_documents(self, collection: str, prefix: str = "") -> int:
        return self._open_tables.documents.count(collection, prefix)

    async def put_document(self, document: Document, expected: int | None = None) -> int:
        return self._open_tables.documents.put(document, expected)

    async def delete_document(self, collection: str, key: str) -> bool:
        return self._open_tables.documents.delete(collection, key)

    async def search_workflows(self, query: SearchQuery) -> SearchPage[WorkflowIndexRow]:
        return self._open_tables.search_workflows(query)

    async def search_tasks(self, query: SearchQuery) -> SearchPage[TaskIndexRow]:
        return self._open_tables.index.search_tasks(query)

    async def find_tasks(self, task_ids: Sequence[str]) -> list[TaskIndexRow | None]:
        return [self._open_tables.index.task(task_id) for task_id in task_ids]

    async def owner(self) -> str | None:
        owner = self._open_tables.owner
        return None if owner is None else f"{owner}, in this process"

    @property
    def _holds(self) -> bool:
        return self._tables.holder == id(self)

    @property
    def _open_tables(self) -> Tables:
        if not self._opened:
            raise StoreError(f"{self.url} is not open.")
        return self._tables
