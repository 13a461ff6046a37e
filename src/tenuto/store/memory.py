"""The memory store: for tests and for work that need not outlive its process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from weakref import WeakValueDictionary

from tenuto.model.errors import LeaseLostError, StoreError
from tenuto.model.events import ExecutionRef
from tenuto.model.policies import ExecutionStatus
from tenuto.model.search import SearchQuery
from tenuto.store.memory_tables import Tables
from tenuto.store.protocol import (
    Claim,
    Commit,
    Document,
    Due,
    ExecutionFilter,
    ExecutionRow,
    Hint,
    InboxRow,
    Lease,
    Rank,
    SearchPage,
    StoredExecution,
    TaskIndexRow,
    TaskKind,
    TaskRow,
    WorkflowIndexRow,
)

_shared: WeakValueDictionary[str, Tables] = WeakValueDictionary()


class MemoryStore:
    """A store in memory. What each verb guarantees: `protocol.py`; durable means: as long as a store
    of this name exists in this process. Without a name the tables are this object's own. Several engines
    of the process may share it, as processes share a server."""

    shared = True

    def __init__(self, url: str = "memory://", name: str = "") -> None:
        self.url = url
        self._tables = _shared.setdefault(name, Tables()) if name else Tables()
        self._opened = False
        #: The members that joined through this object.
        self._joined: set[str] = set()
        self._hinted: Callable[[Hint], None] | None = None

    async def open(self) -> None:
        if self._opened:
            raise StoreError(f"{self.url} is open already.")
        self._opened = True

    async def close(self) -> None:
        self.watch(None)
        self._opened = False
        for owner in self._joined:
            self._tables.members.leave(owner)
        self._joined.clear()

    def watch(self, hinted: Callable[[Hint], None] | None) -> None:
        if self._hinted is not None:
            self._tables.watchers.remove(self._hinted)
        if hinted is not None:
            self._tables.watchers.append(hinted)
        self._hinted = hinted

    async def lease(self, owner: str, now: int, until: int, rank: Rank = Rank.WORKER) -> Lease:
        tables = self._open_tables
        joins = owner not in self._joined
        self._joined.add(owner)
        lease = tables.members.lease(owner, now, until, rank)
        if joins and lease.peers:
            tables.hint(Hint(leases=True))
        return lease

    async def release(self, owner: str, partitions: Collection[int] | None = None) -> None:
        if owner not in self._joined:
            return
        if partitions is None:
            self._joined.discard(owner)
            self._tables.members.leave(owner)
        else:
            self._tables.members.give(owner, partitions)
        self._tables.hint(Hint(leases=True))

    async def commit(self, commit: Commit) -> None:
        tables = self._open_tables
        if commit.epochs and not tables.members.hold(self._joined, commit.epochs):
            raise LeaseLostError(
                "Another engine has taken over the partitions of this commit; nothing of it was written."
            )
        tables.write(commit)
        tables.hint(_news(commit))
        await asyncio.sleep(0)  # as with every other store, others have their turn meanwhile

    async def send(self, messages: Sequence[tuple[int, bytes]]) -> None:
        await self.commit(Commit(sent=list(messages)))

    async def load(self, refs: Sequence[ExecutionRef], *, closed_history: bool = False) -> list[StoredExecution | None]:
        return [self._open_tables.load(ref, closed_history) for ref in refs]

    async def rows(self, refs: Sequence[ExecutionRef]) -> list[ExecutionRow | None]:
        found = [self._open_tables.load(ref, False) for ref in refs]
        return [None if stored is None else stored.row for stored in found]

    async def due(self, partitions: Sequence[int], before: int, after: Due | None, limit: int) -> list[Due]:
        return self._open_tables.due(set(partitions), before, after)[:limit]

    async def receive(self, partitions: Sequence[int], known: Collection[int], limit: int) -> list[InboxRow]:
        return self._open_tables.received(set(partitions), set(known))[:limit]

    async def answers(self, request_ids: Sequence[str]) -> dict[str, bytes]:
        answers = self._open_tables.answers
        return {id: answers[id][0] for id in request_ids if id in answers}

    async def waiting_tasks(self, partitions: Sequence[int], task_queue: str, limit: int) -> list[TaskRow]:
        return self._open_tables.waiting(set(partitions), task_queue)[:limit]

    async def claim(
        self, owner: str, task_queue: str, kinds: Collection[TaskKind], limit: int, now: int
    ) -> list[TaskRow]:
        return self._open_tables.claim(owner, task_queue, kinds, limit, now)

    async def held(self, owner: str, tasks: Sequence[TaskRow]) -> list[str | None]:
        return [self._open_tables.held(owner, task) for task in tasks]

    async def claims(self, partitions: Sequence[int], since: int) -> list[Claim]:
        return self._open_tables.claims(set(partitions), since)

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
        owners = self._open_tables.members.owners()
        return ", ".join(f"{owner}, in this process" for owner in owners) or None

    @property
    def _open_tables(self) -> Tables:
        if not self._opened:
            raise StoreError(f"{self.url} is not open.")
        return self._tables


def _news(commit: Commit) -> Hint:
    return Hint(
        frozenset(partition for partition, _ in commit.sent),
        frozenset(task.task_queue for task in commit.tasks if not task.claimed_by),
        bool(commit.answers),
        any(change.close_time is not None for change in commit.changed)
        or any(row.close_time is not None for row in commit.started),
    )
