"""The PostgreSQL store: any number of processes, each the owner of some of the partitions.

Three kinds of connections: one on which commits and leases follow each other, a few for everything else, and one that
listens to hints.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, TypeVar

from tenuto.model.errors import StoreError
from tenuto.model.events import ExecutionRef
from tenuto.model.policies import ExecutionStatus
from tenuto.model.search import SearchQuery
from tenuto.store.migrations import load_migrations
from tenuto.store.postgres import claims, documents, driver, reads, schema, search
from tenuto.store.postgres.commit import Plan, write
from tenuto.store.postgres.hints import Listener, Outbox, new_sender
from tenuto.store.postgres.members import Membership
from tenuto.store.postgres.options import parse, shown
from tenuto.store.postgres.purge import purge
from tenuto.store.postgres.sessions import Line, Pool, Session
from tenuto.store.postgres.statements import Statements
from tenuto.store.postgres.texts import unescape
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

R = TypeVar("R")

SLOTS = 16
_GOODBYE = 3.0  # seconds that leaving may take, if the database is away


class PostgresStore:
    """A store in a schema of a PostgreSQL database. What each verb guarantees: `protocol.py`.

    Raises `ValueError` for a URL that makes no sense; `url` has no password."""

    shared = True

    def __init__(self, url: str) -> None:
        self.url = shown(url)
        self._options = parse(url)
        self._statements = Statements(self._options.schema)
        self._membership = Membership(self._options, self._statements)
        self._writer = Line(self._options, self._prepare_writer)
        self._pool = Pool(self._options)
        self._searching = asyncio.Semaphore(max(1, self._options.pool // 2))
        self._longest = self._options.statement_timeout
        self._claims = claims.Claims()
        self._sender = new_sender()
        self._outbox = Outbox(self._sender, self._notify)
        self._listener: Listener | None = None
        self._hinted: Callable[[Hint], None] | None = None
        self._open = False
        self._era = 1

    async def open(self) -> None:
        if self._open:
            raise StoreError(f"{self.url} is open already.")
        try:
            self._era = await self._writer.run(self._prepare_schema)
        except BaseException:
            await self._disconnect()
            raise
        self._open = True
        self._listen()

    async def _prepare_schema(self, session: Session) -> int:
        """Make the schema if there is none; returns its era. Raises `StoreFormatError` if it isn't one to work with."""
        known = load_migrations("postgres")
        found = await schema.inspect(session, self._statements)
        if found.version == 0:
            await schema.migrate(session, self._statements, known)
            found = await schema.inspect(session, self._statements)
        schema.check(found, self._options.schema, known)
        return found.era

    async def migrate(self, *, post: bool = False, grant: str | None = None) -> list[str]:
        """Bring the schema up to date, with `post` also what is taken away after a deploy; returns the names of the
        migrations that were applied. `grant` names a role that gets what a process needs at run time. For a store that
        is not open."""

        async def work(session: Session) -> list[str]:
            done = await schema.migrate(session, self._statements, post=post)
            if grant is not None:
                await schema.grant(session, self._statements, grant)
            return done

        return await self._alone(work)

    async def inspect(self) -> schema.Schema:
        """What is there now. For a store that is not open."""
        return await self._alone(lambda session: schema.inspect(session, self._statements))

    async def _alone(self, work: Callable[[Session], Awaitable[R]]) -> R:
        line = Line(self._options)
        try:
            return await line.run(work)
        finally:
            await line.close()

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(StoreError, TimeoutError):  # the lease ends by itself then
            async with asyncio.timeout(_GOODBYE):
                if self._membership.joined:
                    await self._writer.run(self._membership.leave)
                    self._hint(Hint(leases=True))
                await self._outbox.close()
        await self._disconnect()

    async def _disconnect(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.close()
        await self._pool.close()
        await self._writer.close()
        self._membership.disconnected()

    def watch(self, hinted: Callable[[Hint], None] | None) -> None:
        self._hinted = hinted
        if self._open:
            self._listen()

    def _listen(self) -> None:
        wanted = self._hinted is not None and self._options.notify and not self._options.pooled
        if wanted and self._listener is None:
            self._listener = Listener(self._options, self._channel, self._sender, self._heard)

    def _heard(self, hint: Hint) -> None:
        if self._hinted is not None:
            self._hinted(hint)

    async def lease(self, owner: str, now: int, until: int, rank: Rank = Rank.WORKER) -> Lease:
        time = asyncio.get_running_loop().time()
        lease, joined = await self._write(
            lambda session: self._membership.lease(session, owner, until - now, rank, time)
        )
        if joined:
            self._hint(Hint(leases=True))
        return lease

    async def release(self, owner: str, partitions: Collection[int] | None = None) -> None:
        if not self._membership.is_member(owner):
            return
        if partitions is None:
            await self._write(self._membership.leave)
        else:
            await self._write(lambda session: self._membership.give(session, partitions))
        self._hint(Hint(leases=True))

    async def commit(self, commit: Commit) -> None:
        self._check_open()
        plan = Plan(commit, self._slot_of)
        if commit.epochs or not plan.is_empty:
            await self._write(partial(self._commit, commit, plan))
            self._hint_of(commit)

    async def _commit(self, commit: Commit, plan: Plan, session: Session) -> None:
        fence = self._membership.fence(commit.epochs) if commit.epochs else None
        await write(session, self._statements, plan, fence)

    async def send(self, messages: Sequence[tuple[int, bytes]]) -> None:
        self._check_open()
        commit = Commit(sent=list(messages))
        plan = Plan(commit, self._slot_of)
        if not plan.is_empty:
            statement = plan.statement(self._statements, fenced=False, thorough=False)
            await self._read(lambda session: session.fetch(statement, plan.values({})))
            self._hint_of(commit)

    async def load(self, refs: Sequence[ExecutionRef], *, closed_history: bool = False) -> list[StoredExecution | None]:
        return await reads.load(self._fetch, refs, closed_history)

    async def rows(self, refs: Sequence[ExecutionRef]) -> list[ExecutionRow | None]:
        return await reads.rows(self._fetch, refs)

    async def due(self, partitions: Sequence[int], before: int, after: Due | None, limit: int) -> list[Due]:
        return await reads.due(self._fetch, partitions, before, after, limit)

    async def receive(self, partitions: Sequence[int], known: Collection[int], limit: int) -> list[InboxRow]:
        return await reads.receive(self._fetch, partitions, known, limit)

    async def answers(self, request_ids: Sequence[str]) -> dict[str, bytes]:
        return await reads.answers(self._fetch, request_ids)

    async def waiting_tasks(self, partitions: Sequence[int], task_queue: str, limit: int) -> list[TaskRow]:
        return await reads.waiting_tasks(self._fetch, partitions, task_queue, limit)

    async def claim(
        self, owner: str, task_queue: str, kinds: Collection[TaskKind], limit: int, now: int
    ) -> list[TaskRow]:
        return await self._claims.claim(self._fetch, owner, task_queue, kinds, limit)

    async def held(self, owner: str, tasks: Sequence[TaskRow]) -> list[str | None]:
        return await claims.held(self._fetch, owner, tasks)

    async def claims(self, partitions: Sequence[int], since: int) -> list[Claim]:
        judgement = self._membership.judgement(asyncio.get_running_loop().time())
        return await claims.claims(self._fetch, partitions, since, judgement)

    async def find(self, filter: ExecutionFilter, limit: int, offset: int) -> list[ExecutionRow]:
        return await reads.find(self._search, filter, limit, offset)

    async def count(self, filter: ExecutionFilter) -> dict[ExecutionStatus, int]:
        return await reads.count(self._search, filter)

    async def purge(self, closed_before: int, now: int, limit: int) -> int:
        return await self._read(lambda session: purge(session, self._statements, self._era, closed_before, now, limit))

    async def document(self, collection: str, key: str) -> Document | None:
        return await documents.document(self._fetch, collection, key)

    async def documents(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int = 1000
    ) -> list[Document]:
        return await documents.documents(self._fetch, collection, prefix, after, limit)

    async def count_documents(self, collection: str, prefix: str = "") -> int:
        return await documents.count_documents(self._fetch, collection, prefix)

    async def put_document(self, document: Document, expected: int | None = None) -> int:
        return await documents.put_document(self._fetch, document, expected)

    async def delete_document(self, collection: str, key: str) -> bool:
        return await documents.delete_document(self._fetch, collection, key)

    async def search_workflows(self, query: SearchQuery) -> SearchPage[WorkflowIndexRow]:
        return await self._find(
            lambda session: search.search_workflows(session, self._statements, query, self._longest)
        )

    async def search_tasks(self, query: SearchQuery) -> SearchPage[TaskIndexRow]:
        return await self._find(lambda session: search.search_tasks(session, self._statements, query, self._longest))

    async def find_tasks(self, task_ids: Sequence[str]) -> list[TaskIndexRow | None]:
        return await search.find_tasks(self._fetch, task_ids)

    async def owner(self) -> str | None:
        owners = [unescape(description) for (description,) in await self._fetch("owners", {})]
        return "; ".join(owners) or None

    async def _prepare_writer(self, session: Session) -> None:
        await self._membership.prepare(session, asyncio.get_running_loop().time())

    async def _write(self, work: Callable[[Session], Awaitable[R]]) -> R:
        """Done in the order of the calls. If it is broken off, its session is, too, and fenced off."""
        self._check_open()
        return await self._writer.run(work)

    async def _read(self, work: Callable[[Session], Awaitable[R]]) -> R:
        """What a commit that broke off may still be doing is fenced off first, so that what is read now stays true."""
        self._check_open()
        if self._writer.broken:
            await self._writer.mend()
        return await self._pool.run(work)

    async def _fetch(self, name: str, values: dict[str, object]) -> list[Any]:
        statement = self._statements[name]
        return await self._read(lambda session: session.fetch(statement, values))

    async def _search(self, name: str, values: dict[str, object]) -> list[Any]:
        """As `_fetch`, planned for these values."""
        statement = self._statements[name]

        async def work(session: Session) -> list[Any]:
            async with session.transaction(driver.SEARCH_PLANS):
                return await session.fetch(statement, values)

        return await self._find(work)

    async def _find(self, work: Callable[[Session], Awaitable[R]]) -> R:
        """As `_read`, for what may take long: there are always sessions left for the rest."""
        async with self._searching:
            return await self._read(work)

    def _slot_of(self, start_time: int) -> int:
        return start_time // self._era % SLOTS

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError(f"{self.url} is not open.")

    @property
    def _channel(self) -> str:
        return f"tenuto_{self._options.schema}"

    def _hint_of(self, commit: Commit) -> None:
        """Tell the others what of this commit concerns them."""
        held = self._membership.held
        partitions = {partition for partition, _ in commit.sent if partition not in held}
        queues = {task.task_queue for task in commit.tasks if not task.claimed_by}
        started_closed = any(row.close_time is not None for row in commit.started)
        closed = started_closed or any(change.close_time is not None for change in commit.changed)
        self._hint(Hint(frozenset(partitions), frozenset(queues), bool(commit.answers), closed))

    def _hint(self, hint: Hint) -> None:
        if self._options.notify and not self._options.pooled and not self._membership.alone:
            self._outbox.add(hint)

    async def _notify(self, payload: str) -> None:
        named: dict[str, object] = {"channel": self._channel, "payload": payload}
        await self._pool.run(lambda session: session.fetch(self._statements["notify"], named))
