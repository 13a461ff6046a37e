"""A store that fails when a test wants it to, or whose process dies.

store = FaultyStore(open_store("sqlite:///orders.db"))
store.fail("commit", 3, after=True)     # the third commit is written, but its answer gets lost
store.die("commit", 5)                  # the process ends just before the fifth one is written
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

from msgspec import Struct

from tenuto.model.errors import StoreError
from tenuto.model.events import ExecutionRef
from tenuto.model.policies import ExecutionStatus
from tenuto.model.search import SearchQuery
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
    Store,
    StoredExecution,
    TaskIndexRow,
    TaskKind,
    TaskRow,
    WorkflowIndexRow,
)

__all__ = ["FaultyStore", "ProcessDiedError"]

T = TypeVar("T")


class ProcessDiedError(Exception):
    """What a store answers from the moment at which its process is meant to have died. Not a `StoreError`, so that
    nothing tries to go on."""


class Fault(Struct, frozen=True):
    """What happens at one call: it fails, before or after it was done, or the process dies there."""

    after: bool
    error: StoreError | None
    """None: the process dies."""


class FaultyStore:
    """Does what `inner` does, but for the faults that were asked for. Implements `tenuto.store.protocol.Store`.

    After `die` or `kill` it never changes the store again, whatever the engine still tries: what is left of the engine
    can be taken down, and another one be opened on the same store, as after a real crash."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.url = inner.url
        self.shared = inner.shared
        self.dead = False
        #: How often each verb was called.
        self.calls: Counter[str] = Counter()
        #: Faults that have happened, as (verb, number of the call).
        self.happened: list[tuple[str, int]] = []
        #: Turns of the event loop that a commit takes before it is written, and again until that is known: a store in
        #: memory is so fast that hardly anything happens meanwhile.
        self.slow = 0
        #: Calls that have not come back.
        self.under_way = 0
        self._faults: dict[tuple[str, int], Fault] = {}

    def fail(self, verb: str, number: int, *, after: bool = False, error: StoreError | None = None) -> None:
        """Let the `number`-th call of `verb` (from 1) raise `error`; with `after`, once it has done its work."""
        self._faults[verb, number] = Fault(after, error or StoreError(f"injected: {verb} {number} failed"))

    def fail_next(self, verb: str, *, after: bool = False, error: StoreError | None = None) -> None:
        """Let the next call of `verb` fail."""
        self.fail(verb, self.calls[verb] + 1, after=after, error=error)

    def die(self, verb: str, number: int, *, after: bool = False) -> None:
        """Let the process die at the `number`-th call of `verb`, before or after its work is done."""
        self._faults[verb, number] = Fault(after, None)

    def forget_faults(self) -> None:
        """Let nothing fail any more."""
        self._faults.clear()

    def kill(self) -> None:
        """Let the process die now."""
        self.dead = True

    async def _do(self, verb: str, work: Callable[[], Awaitable[T]]) -> T:
        self._check_alive()
        self.calls[verb] += 1
        place = (verb, self.calls[verb])
        self.under_way += 1
        try:
            return await self._do_or_fail(place, work)
        finally:
            self.under_way -= 1

    async def _do_or_fail(self, place: tuple[str, int], work: Callable[[], Awaitable[T]]) -> T:
        fault = self._faults.pop(place, None)
        if fault is None:
            result = await work()
            self._check_alive()
            return result
        self.happened.append(place)
        if fault.after:
            await work()
        if fault.error is not None:
            raise fault.error
        self.kill()
        raise ProcessDiedError(f"the process died at {place[0]} {place[1]}")

    def _check_alive(self) -> None:
        if self.dead:
            raise ProcessDiedError("the process has died")

    # -- the verbs -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        await self._do("open", self.inner.open)

    async def close(self) -> None:
        # A dead process holds nothing either: its operating system sees to that.
        await self.inner.close()

    def watch(self, hinted: Callable[[Hint], None] | None) -> None:
        self.inner.watch(hinted)

    async def lease(self, owner: str, now: int, until: int, rank: Rank = Rank.WORKER) -> Lease:
        return await self._do("lease", lambda: self.inner.lease(owner, now, until, rank))

    async def release(self, owner: str, partitions: Collection[int] | None = None) -> None:
        if not self.dead:
            await self._do("release", lambda: self.inner.release(owner, partitions))

    async def commit(self, commit: Commit) -> None:
        await self._do("commit", lambda: self._commit_slowly(commit))

    async def _commit_slowly(self, commit: Commit) -> None:
        for _ in range(self.slow):
            await asyncio.sleep(0)
        self._check_alive()
        await self.inner.commit(commit)
        for _ in range(self.slow):
            await asyncio.sleep(0)

    async def load(self, refs: Sequence[ExecutionRef], *, closed_history: bool = False) -> list[StoredExecution | None]:
        return await self._do("load", lambda: self.inner.load(refs, closed_history=closed_history))

    async def rows(self, refs: Sequence[ExecutionRef]) -> list[ExecutionRow | None]:
        return await self._do("rows", lambda: self.inner.rows(refs))

    async def due(self, partitions: Sequence[int], before: int, after: Due | None, limit: int) -> list[Due]:
        return await self._do("due", lambda: self.inner.due(partitions, before, after, limit))

    async def receive(self, partitions: Sequence[int], known: Collection[int], limit: int) -> list[InboxRow]:
        return await self._do("receive", lambda: self.inner.receive(partitions, known, limit))

    async def send(self, messages: Sequence[tuple[int, bytes]]) -> None:
        await self._do("send", lambda: self.inner.send(messages))

    async def answers(self, request_ids: Sequence[str]) -> dict[str, bytes]:
        return await self._do("answers", lambda: self.inner.answers(request_ids))

    async def waiting_tasks(self, partitions: Sequence[int], task_queue: str, limit: int) -> list[TaskRow]:
        return await self._do("waiting_tasks", lambda: self.inner.waiting_tasks(partitions, task_queue, limit))

    async def claim(
        self, owner: str, task_queue: str, kinds: Collection[TaskKind], limit: int, now: int
    ) -> list[TaskRow]:
        return await self._do("claim", lambda: self.inner.claim(owner, task_queue, kinds, limit, now))

    async def held(self, owner: str, tasks: Sequence[TaskRow]) -> list[str | None]:
        return await self._do("held", lambda: self.inner.held(owner, tasks))

    async def claims(self, partitions: Sequence[int], since: int) -> list[Claim]:
        return await self._do("claims", lambda: self.inner.claims(partitions, since))

    async def find(self, filter: ExecutionFilter, limit: int, offset: int) -> list[ExecutionRow]:
        return await self._do("find", lambda: self.inner.find(filter, limit, offset))

    async def count(self, filter: ExecutionFilter) -> dict[ExecutionStatus, int]:
        return await self._do("count", lambda: self.inner.count(filter))

    async def purge(self, closed_before: int, now: int, limit: int) -> int:
        return await self._do("purge", lambda: self.inner.purge(closed_before, now, limit))

    async def document(self, collection: str, key: str) -> Document | None:
        return await self._do("document", lambda: self.inner.document(collection, key))

    async def documents(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[Document]:
        return await self._do(
            "documents", lambda: self.inner.documents(collection, prefix=prefix, after=after, limit=limit)
        )

    async def count_documents(self, collection: str, prefix: str = "") -> int:
        return await self._do("count_documents", lambda: self.inner.count_documents(collection, prefix))

    async def put_document(self, document: Document, expected: int | None = None) -> int:
        return await self._do("put_document", lambda: self.inner.put_document(document, expected))

    async def delete_document(self, collection: str, key: str) -> bool:
        return await self._do("delete_document", lambda: self.inner.delete_document(collection, key))

    async def search_workflows(self, query: SearchQuery) -> SearchPage[WorkflowIndexRow]:
        return await self._do("search_workflows", lambda: self.inner.search_workflows(query))

    async def search_tasks(self, query: SearchQuery) -> SearchPage[TaskIndexRow]:
        return await self._do("search_tasks", lambda: self.inner.search_tasks(query))

    async def find_tasks(self, task_ids: Sequence[str]) -> list[TaskIndexRow | None]:
        return await self._do("find_tasks", lambda: self.inner.find_tasks(task_ids))

    async def owner(self) -> str | None:
        return await self._do("owner", self.inner.owner)
