"""The SQLite store: one file, one engine that owns it, and any number of other processes that read
it and send messages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime

from tenuto.model.errors import StoreError, StoreOwnedError
from tenuto.model.events import ExecutionRef
from tenuto.model.policies import ExecutionStatus
from tenuto.model.search import SearchQuery
from tenuto.store import sqlite_documents, sqlite_search
from tenuto.store import sqlite_reads as reads
from tenuto.store.file_lock import FileLock
from tenuto.store.process_name import process_name
from tenuto.store.protocol import (
    PARTITIONS,
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
from tenuto.store.sqlite_checkpoints import Checkpoints
from tenuto.store.sqlite_commit import (
    Plan,
    execute,
    lease_lost,
    next_epoch,
    plan_commit,
    rows_in,
)
from tenuto.store.sqlite_errors import Patience, owner_lock
from tenuto.store.sqlite_file import absolute, connect, prepare
from tenuto.store.sqlite_purge import purge
from tenuto.store.sqlite_thread import DatabaseThread

SYNCHRONOUS = ("FULL", "NORMAL")


class SqliteStore:
    """A store in one file. What each verb guarantees: `protocol.py`.

    With `synchronous` FULL an acknowledged commit survives a loss of power, with NORMAL it survives
    the death of the process. Others who use the file are waited for, `patience` seconds at most."""

    shared = False

    def __init__(self, url: str, path: str, *, synchronous: str = "FULL", patience: float = 30.0) -> None:
        if synchronous not in SYNCHRONOUS:
            raise ValueError(f"synchronous is one of {', '.join(SYNCHRONOUS)}, not {synchronous!r}")
        self.url = url
        self.path = absolute(path)
        self._synchronous = synchronous
        self._patience = Patience(self.path, patience)
        self._threads: list[DatabaseThread] = []
        self._checkpoints: Checkpoints | None = None
        self._lock = owner_lock(self.path)
        self._owner: str | None = None
        self._epoch: int | None = None

    async def open(self) -> None:
        if self._threads:
            raise StoreError(f"{self.url} is open already.")
        try:
            writer = await self._start("writer")
            await self._start("reader")
            searcher = await self._start("searcher")
            await searcher.submit(sqlite_search.prepare_searches)
            self._checkpoints = Checkpoints(writer, await self._start("checkpoints"))
        except BaseException:
            await self.close()
            raise

    async def _start(self, name: str) -> DatabaseThread:
        thread = DatabaseThread(f"tenuto-{name}", self._patience, self._connect)
        await thread.start()
        self._threads.append(thread)
        return thread

    def _connect(self) -> sqlite3.Connection:
        if not self._threads:
            prepare(self.path, self._patience)
        return connect(self.path, self._synchronous, self._patience)

    async def close(self) -> None:
        self._owner = self._epoch = None
        if self._checkpoints is not None:
            await self._checkpoints.stop()
            self._checkpoints = None
        threads, self._threads = self._threads, []
        for thread in reversed(threads):
            await thread.stop()
        self._lock.release()

    def watch(self, hinted: Callable[[Hint], None] | None) -> None:
        """There is no news: a file tells nobody."""

    async def lease(self, owner: str, now: int, until: int, rank: Rank = Rank.WORKER) -> Lease:
        """The lease is an operating system's lock, so it doesn't end at `until` but when it is
        released or when this process ends, however that happens."""
        if self._owner != owner or self._epoch is None:
            await self._writer.submit(_acquire, self._lock, _words_for_people(owner, now))
            try:
                self._epoch = await self._writer.submit(next_epoch)
            except BaseException:
                self._lock.release()
                raise
            self._owner = owner
        return Lease(dict.fromkeys(range(PARTITIONS), self._epoch))

    async def release(self, owner: str, partitions: Collection[int] | None = None) -> None:
        if self._owner == owner and partitions is None:
            self._owner = self._epoch = None
            self._lock.release()

    async def commit(self, commit: Commit) -> None:
        epoch = self._fence(commit.epochs)
        await self._write(plan_commit(commit, epoch), rows_in(commit))

    async def send(self, messages: Sequence[tuple[int, bytes]]) -> None:
        if messages:
            await self.commit(Commit(sent=list(messages)))

    async def load(self, refs: Sequence[ExecutionRef], *, closed_history: bool = False) -> list[StoredExecution | None]:
        return await self._reader.submit(reads.load, refs, closed_history)

    async def due(self, partitions: Sequence[int], before: int, after: Due | None, limit: int) -> list[Due]:
        return await self._reader.submit(reads.due, partitions, before, after, limit)

    async def rows(self, refs: Sequence[ExecutionRef]) -> list[ExecutionRow | None]:
        return await self._reader.submit(reads.rows, refs)

    async def receive(self, partitions: Sequence[int], known: Collection[int], limit: int) -> list[InboxRow]:
        return await self._reader.submit(reads.receive, partitions, known, limit)

    async def answers(self, request_ids: Sequence[str]) -> dict[str, bytes]:
        return await self._reader.submit(reads.answers, request_ids)

    async def waiting_tasks(self, partitions: Sequence[int], task_queue: str, limit: int) -> list[TaskRow]:
        return await self._reader.submit(reads.waiting_tasks, partitions, task_queue, limit)

    async def claim(
        self, owner: str, task_queue: str, kinds: Collection[TaskKind], limit: int, now: int
    ) -> list[TaskRow]:
        """None: what waits here waits for a worker of the one engine."""
        return []

    async def held(self, owner: str, tasks: Sequence[TaskRow]) -> list[str | None]:
        return [None] * len(tasks)

    async def claims(self, partitions: Sequence[int], since: int) -> list[Claim]:
        return []

    async def find(self, filter: ExecutionFilter, limit: int, offset: int) -> list[ExecutionRow]:
        return await self._reader.submit(reads.find, filter, limit, offset)

    async def count(self, filter: ExecutionFilter) -> dict[ExecutionStatus, int]:
        return await self._reader.submit(reads.count, filter)

    async def purge(self, closed_before: int, now: int, limit: int) -> int:
        runs = await self._writer.submit(purge, closed_before, now, limit)
        self._wrote(10 * runs)
        return runs

    async def document(self, collection: str, key: str) -> Document | None:
        return await self._reader.submit(sqlite_documents.document, collection, key)

    async def documents(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[Document]:
        return await self._reader.submit(sqlite_documents.documents, collection, prefix, after, limit)

    async def count_documents(self, collection: str, prefix: str = "") -> int:
        return await self._reader.submit(sqlite_documents.count_documents, collection, prefix)

    async def put_document(self, document: Document, expected: int | None = None) -> int:
        revision = await self._writer.submit(sqlite_documents.put_document, document, expected)
        self._wrote(1)
        return revision

    async def delete_document(self, collection: str, key: str) -> bool:
        deleted = await self._writer.submit(sqlite_documents.delete_document, collection, key)
        self._wrote(1)
        return deleted

    async def search_workflows(self, query: SearchQuery) -> SearchPage[WorkflowIndexRow]:
        return await self._searcher.submit(sqlite_search.search_workflows, query)

    async def search_tasks(self, query: SearchQuery) -> SearchPage[TaskIndexRow]:
        return await self._searcher.submit(sqlite_search.search_tasks, query)

    async def find_tasks(self, task_ids: Sequence[str]) -> list[TaskIndexRow | None]:
        return await self._reader.submit(sqlite_search.find_tasks, task_ids)

    async def owner(self) -> str | None:
        return await self._reader.submit(_holder, self._lock)

    def _fence(self, epochs: Mapping[int, int]) -> int | None:
        """The one epoch that must be current for a commit decided under `epochs`."""
        if not epochs:
            return None
        claimed = set(epochs.values())
        if self._epoch is None or claimed != {self._epoch}:
            raise lease_lost()
        return self._epoch

    async def _write(self, plan: Plan, rows: int) -> None:
        if plan.calls or plan.removed or plan.epoch is not None:
            await self._writer.submit(execute, plan)
            self._wrote(rows)

    def _wrote(self, rows: int) -> None:
        if self._checkpoints is not None:
            self._checkpoints.wrote(rows)

    @property
    def _writer(self) -> DatabaseThread:
        return self._thread(0)

    @property
    def _reader(self) -> DatabaseThread:
        return self._thread(1)

    @property
    def _searcher(self) -> DatabaseThread:
        """A search may take seconds, which what the engine reads can't wait for."""
        return self._thread(2)

    def _thread(self, index: int) -> DatabaseThread:
        if not self._threads:
            raise StoreError(f"{self.url} is not open.")
        return self._threads[index]


def _acquire(_: sqlite3.Connection, lock: FileLock, text: str) -> None:
    try:
        if lock.acquire(text):
            return
        holder = lock.holder()
    except OSError as error:
        raise StoreError(f"{lock.path} can't be locked: {error.strerror}.") from error
    raise StoreOwnedError(
        f"{lock.path.removesuffix('-owner')} is owned by {holder or 'a process that just ended'}."
        " A SQLite database has one engine at a time: stop that one, or let this process only send"
        " to it."
    )


def _holder(_: sqlite3.Connection, lock: FileLock) -> str | None:
    try:
        return lock.holder()
    except OSError as error:
        raise StoreError(f"{lock.path} can't be read: {error.strerror}.") from error


def _words_for_people(owner: str, now: int) -> str:
    since = datetime.fromtimestamp(now // 1_000_000_000, UTC).isoformat()
    return f"{owner}: {process_name()} since {since}"
