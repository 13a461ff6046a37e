"""Sessions with the database: one at a time or a few in a pool, made anew when they break."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from tenuto.model.errors import StoreError
from tenuto.store.postgres import driver
from tenuto.store.postgres.options import Options
from tenuto.store.postgres.statements import Statement

R = TypeVar("R")

_SHORTEST_WAIT, _LONGEST_WAIT = 0.05, 1.0  # seconds before a connection that failed is tried again
_GOODBYE = 2.0  # seconds that closing may take


def wait_after(failures: int) -> float:
    """How many seconds to wait before the next connection, after so many failures before the last one."""
    return min(_SHORTEST_WAIT * 2.0 ** min(failures, 10), _LONGEST_WAIT)


class Session:
    """A connection, and how statements are executed on it: behind a pooler each in a transaction, for only that is
    sure to have one session of the server to itself."""

    def __init__(self, connection: driver.Connection, options: Options) -> None:
        self._connection = connection
        self._options = options
        self._within = False

    async def fetch(
        self, statement: Statement, values: Mapping[str, object] | None = None, timeout: float | None = None
    ) -> list[Any]:
        """The rows that the statement returns."""
        if self._options.pooled and not self._within:
            async with self.transaction():
                return await self.fetch(statement, values, timeout)
        return await self._connection.fetch(statement.text, *statement.values(values or {}), timeout=timeout)

    async def execute(self, text: str) -> None:
        """Statements without parameters, one after another."""
        await self._connection.execute(text)

    @contextlib.asynccontextmanager
    async def transaction(self, settings: Mapping[str, str] | None = None) -> AsyncIterator[None]:
        """What is executed within is written as a whole or not at all; `settings` hold as long as it lasts."""
        local = dict(settings or {})
        if self._options.pooled:
            local = driver.timeouts(self._options) | driver.PLANS | local
        await self.execute("BEGIN; " + " ".join(f"SET LOCAL {name} = '{value}';" for name, value in local.items()))
        self._within = True
        try:
            yield
            await self.execute("COMMIT")
        except Exception:
            with contextlib.suppress(Exception):  # what went wrong is told by the error that led here
                await self.execute("ROLLBACK")
            raise
        finally:
            self._within = False

    @property
    def usable(self) -> bool:
        """Is it connected, and not in the midst of a transaction?"""
        return not (self._connection.is_closed() or self._connection.is_in_transaction())

    async def close(self) -> None:
        with contextlib.suppress(Exception):
            await self._connection.close(timeout=_GOODBYE)

    def drop(self) -> None:
        """Cut the connection, without a word."""
        self._connection.terminate()


class Line:
    """One session at a time, for one caller at a time; the next caller gets a new one if it broke. `prepare` is what
    is done first in each."""

    def __init__(self, options: Options, prepare: Callable[[Session], Awaitable[None]] | None = None) -> None:
        self._options = options
        self._prepare = prepare
        self._session: Session | None = None
        self._lock = asyncio.Lock()
        self._failures = 0
        self._failed_at = -1.0
        self._failure = ""
        self._not_before = 0.0
        self.broken = False
        """Did a session break, with no new one since?"""

    async def run(self, work: Callable[[Session], Awaitable[R]]) -> R:
        """`work(session)`. Raises `StoreError` for whatever the database or the network reports."""
        asked = asyncio.get_running_loop().time()
        async with self._lock:
            session = await self._connected(asked)
            try:
                return await work(session)
            except BaseException as error:
                if not session.usable or driver.breaks(error):
                    self._break(session)
                if driver.is_ours(error):
                    raise driver.translated(error, self._options.schema) from error
                raise

    async def mend(self) -> None:
        """Have a session again if one broke."""
        asked = asyncio.get_running_loop().time()
        async with self._lock:
            if self.broken:
                await self._connected(asked)

    async def close(self) -> None:
        async with self._lock:
            session, self._session = self._session, None
            if session is not None:
                await session.close()

    async def _connected(self, asked: float) -> Session:
        """A session, for a caller that asked at this loop time."""
        if self._session is not None:
            if self._session.usable:
                return self._session
            self._break(self._session)
        if self._failed_at >= asked:  # while this caller waited for another one's attempt: that was its own, too
            raise StoreError(self._failure)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._not_before - loop.time()))
        try:
            session = Session(await driver.connect(self._options), self._options)
            await self._prepared(session)
        except StoreError as error:
            self._failed(loop.time(), str(error))
            raise
        self._session, self._failures, self.broken = session, 0, False
        return session

    def _failed(self, now: float, why: str) -> None:
        self._failed_at, self._failure = now, why
        self._not_before = now + wait_after(self._failures)
        self._failures += 1

    async def _prepared(self, session: Session) -> None:
        if self._prepare is None:
            return
        try:
            await self._prepare(session)
        except BaseException as error:
            session.drop()
            if driver.is_ours(error):
                raise driver.translated(error, self._options.schema) from error
            raise

    def _break(self, session: Session) -> None:
        self.broken = True
        self._session = None
        session.drop()


class Pool:
    """A few sessions, opened as they are needed."""

    def __init__(self, options: Options) -> None:
        self._free = asyncio.Semaphore(options.pool)
        self._idle = [Line(options) for _ in range(options.pool)]

    async def run(self, work: Callable[[Session], Awaitable[R]]) -> R:
        """`work(session)`, as soon as a session is free. Raises `StoreError` as `Line.run` does."""
        async with self._free:
            line = self._idle.pop()  # the one used last: those at the bottom are opened only when they are needed
            try:
                return await line.run(work)
            finally:
                self._idle.append(line)

    async def close(self) -> None:
        for line in self._idle:
            await line.close()
