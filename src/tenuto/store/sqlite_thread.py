"""A thread with a database connection of its own, for use from an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Concatenate, ParamSpec, TypeVar

from tenuto.model.errors import StoreError
from tenuto.store.sqlite_errors import Patience

P = ParamSpec("P")
R = TypeVar("R")

_Job = Callable[[sqlite3.Connection], None]


class DatabaseThread:
    """Does what it is given one after the other, in the order in which it was given."""

    def __init__(self, name: str, patience: Patience, connect: Callable[[], sqlite3.Connection]) -> None:
        self._patience = patience
        self._connect = connect
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._stopped: asyncio.Future[None] = self._loop.create_future()

    async def start(self) -> None:
        """Connect; an error of that is raised here, and then there is no thread."""
        self._thread.start()
        await self._started

    def submit(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> asyncio.Future[R]:
        """Have `work(connection, ...)` done; it is, even if nobody waits for the future any more.

        Raises `StoreError` in a forked child, where there is no such thread."""
        if os.getpid() != self._process:
            raise StoreError("This store was opened before the process forked. Open one in the child.")
        future: asyncio.Future[R] = self._loop.create_future()

        def job(connection: sqlite3.Connection) -> None:
            try:
                result = self._patience.run(work, connection, *args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
                self._tell(_fail, future, error)
            else:
                self._tell(_succeed, future, result)

        self._jobs.put(job)
        return future

    async def stop(self) -> None:
        """Finish what was given so far, and disconnect."""
        self._jobs.put(None)
        await self._stopped
        self._thread.join()

    def _run(self) -> None:
        try:
            connection = self._connect()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            self._tell(_fail, self._started, error)
            return
        self._tell(_succeed, self._started, None)
        while (job := self._jobs.get()) is not None:
            job(connection)
            del job  # or its result would live until the next one comes
        connection.close()
        self._tell(_succeed, self._stopped, None)

    def _tell(self, how: Callable[..., None], future: asyncio.Future[Any], what: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
            self._loop.call_soon_threadsafe(how, future, what)


def _succeed(future: asyncio.Future[Any], result: object) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
