"""Clients of durable code: they start workflows, signal and update them, and wait for their results. They outlive
whatever happens to engines, workers and database: they ask again until they are answered."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tenuto.client import Client, WorkflowFailureError, WorkflowHandle
from tenuto.model.errors import RPCError, RPCStatusCode, StoreError
from tenuto.store.protocol import partition_of
from tests.chaos.durable_code import SIGNALS, UPDATES, Chaos, kind_of, name_of

T = TypeVar("T")

#: What a client may try again: the request may have been carried out, and says which one it is.
AGAIN = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED)


class DurableLoad:
    """`permits` says how many workflows may be started; `results` has what came of them, by number."""

    def __init__(self, client: Client, count: int) -> None:
        self.permits = asyncio.Semaphore(0)
        self.results: dict[int, Any] = {}
        self.repeated = 0
        """Requests that had to be repeated."""
        self._names = (f"probe-{number}" for number in itertools.count())
        self._client = client
        self._count = count

    async def run(self) -> None:
        """See all workflows through."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                await self.permits.acquire()
                group.create_task(self._see_through(number))

    async def probe(self, partition: int) -> None:
        """Start a workflow in this partition; return when that is acknowledged."""
        name = next(name for name in self._names if partition_of(name) == partition)
        await self._insist(
            lambda: self._client.start_workflow(Chaos.run, args=["probe", name, 0], id=name, request_id=name)
        )

    async def _see_through(self, number: int) -> None:
        """Start one workflow, tell it all that it waits for, and wait for its end."""
        name, kind = name_of(number), kind_of(number)
        handle = await self._insist(
            lambda: self._client.start_workflow(Chaos.run, args=[kind, name, 0], id=name, request_id=name)
        )
        if kind == "listener":
            for value in range(SIGNALS):
                await self._signal(handle, Chaos.hear, value)
            await self._signal(handle, Chaos.close)
        elif kind == "account":
            for value in range(UPDATES):
                await self._update(handle, value)
            await self._signal(handle, Chaos.close)
        try:
            self.results[number] = await self._insist(handle.result)
        except WorkflowFailureError as error:
            self.results[number] = repr(error.cause)

    async def _signal(self, handle: WorkflowHandle[Any], signal: Any, *args: Any) -> None:
        request_id = f"{handle.id} {signal.__name__} {args}"
        try:
            await self._insist(lambda: handle.signal(signal, args=list(args), request_id=request_id))
        except RPCError as error:
            # A request that was carried out, but not answered, may have let the workflow come to its end.
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def _update(self, handle: WorkflowHandle[Any], value: int) -> None:
        answer = await self._insist(lambda: handle.execute_update(Chaos.put, value, id=f"put {value}"))
        assert answer == value

    async def _insist(self, request: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await request()
            except StoreError:
                pass
            except RPCError as error:
                if error.status not in AGAIN:
                    raise
            self.repeated += 1
            await asyncio.sleep(0.1)
