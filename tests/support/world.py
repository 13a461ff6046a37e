"""A world for crash tests: a store that outlives every engine, a clock, a ledger, and engines that come and go."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from tenuto import activity
from tenuto.client import Client
from tenuto.converter import DataConverter
from tenuto.engine.gateway import Gateway
from tenuto.engine.ids import id_source
from tenuto.model.errors import RPCError, RPCStatusCode, StoreError
from tenuto.model.events import AnyEvent, ExecutionRef
from tenuto.model.limits import Limits
from tenuto.model.policies import ExecutionStatus
from tenuto.store.protocol import PARTITIONS, ExecutionFilter, ExecutionRow
from tenuto.store.urls import open_store
from tenuto.testing.clock import ManualClock
from tenuto.testing.faults import FaultyStore, ProcessDiedError
from tenuto.worker import Worker
from tests.support.history_checker import check_history

T = TypeVar("T")


class Ledger:
    """What activities did to the outside world: it outlives every engine, as a bank does."""

    def __init__(self) -> None:
        self.effects: list[tuple[str, str]] = []

    def record(self, what: object) -> None:
        """To be called by an activity: it takes effect now."""
        self.effects.append((str(what), activity.info().idempotency_key))

    @property
    def times(self) -> Counter[str]:
        """How often each thing was done."""
        return Counter(what for what, _ in self.effects)

    @property
    def once(self) -> Counter[str]:
        """The same as a service would count that looks at idempotency keys."""
        return Counter(what for what, _ in set(self.effects))


class World:
    """`url` names the store. Each `live` is the life of one process on it."""

    def __init__(self, url: str, workflows: Sequence[type[Any]], activities: Sequence[Callable[..., Any]]) -> None:
        self.url = url
        self.workflows = workflows
        self.activities = activities
        self.clock = ManualClock()
        self.ledger = Ledger()
        #: What the outside world has been told, step by step: survives every crash.
        self.acknowledged: dict[str, Any] = {}
        self.lives = 0
        self.neighbours = 0
        self._random = random.Random(1)
        # As long as it exists, a memory store of this name does.
        self._anchor = open_store(url)

    @asynccontextmanager
    async def client(self, store: FaultyStore | None = None, **options: Any) -> AsyncIterator[Client]:
        """A process that is a client of the store; with `store` its faults are injected."""
        if store is None:
            store = FaultyStore(open_store(self.url))
        await store.open()
        limits = options.pop("limits", None) or Limits()
        new_id = id_source(self.clock, self._random)
        client = Client(
            Gateway(store, self.clock, limits, new_id, retention=options.pop("retention", 1e6)),
            identity=f"life {self.lives}",
            data_converter=DataConverter(payload_size_limit=limits.payload_size),
            default_workflow_query_reject_condition=None,
        )
        try:
            yield client
        finally:
            await client.close()

    async def live(
        self,
        script: Callable[[World, Client], Awaitable[T]],
        inject: Callable[[FaultyStore], None] = lambda store: None,
        *,
        seconds_per_tick: float = 0.5,
        **worker: Any,
    ) -> tuple[FaultyStore, T | None]:
        """One life: an engine with a worker, and `script` beside it, until the script has ended or the process dies.
        Returns the store, and what the script returned, None after a death."""
        self.lives += 1
        store = FaultyStore(open_store(self.url))
        inject(store)

        async def life() -> T:
            async with (
                self.client(store) as client,
                Worker(client, workflows=self.workflows, activities=self.activities, **worker),
            ):
                await self._share(client)
                return await script(self, client)

        task = asyncio.create_task(life())
        ticker = asyncio.create_task(self._tick(seconds_per_tick))
        try:
            await asyncio.wait_for(asyncio.wait({task}), 10)
        finally:
            ticker.cancel()
            if not task.done():
                task.cancel()
        try:
            return store, await task
        except (ProcessDiedError, asyncio.CancelledError):
            assert store.dead
            return store, None

    async def _share(self, client: Client) -> None:
        """Wait for what the neighbours leave to this process."""
        engine = await client.gateway.acquire()
        try:
            share = PARTITIONS // (self.neighbours + 1)
            while not engine.failed.done() and len(engine.ownership.partitions) < share:  # noqa: ASYNC110
                await asyncio.sleep(0)  # nobody tells of it
        finally:
            await client.gateway.release()

    @asynccontextmanager
    async def neighbour(self, **worker: Any) -> AsyncIterator[Client]:
        """Another process with the same code, that outlives the lives of others."""
        async with (
            self.client() as client,
            Worker(client, workflows=self.workflows, activities=self.activities, **worker),
        ):
            self.neighbours += 1
            yield client
            self.neighbours -= 1

    async def _tick(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(0.001)
            self.clock.advance(seconds)

    # -- looking at what is recorded -----------------------------------------------------------------------------------

    async def runs(self) -> dict[str, list[AnyEvent]]:
        """The histories of all runs, by run id, oldest first; every one of them is well-formed."""
        store = open_store(self.url)
        await store.open()
        try:
            rows: list[ExecutionRow] = await store.find(ExecutionFilter(), 10_000, 0)
            stored = await store.load([ExecutionRef(row.workflow_id, row.run_id) for row in rows], closed_history=True)
        finally:
            await store.close()
        histories = {}
        for row, found in reversed(list(zip(rows, stored, strict=True))):
            assert found is not None
            check_history(found.events)
            closed = row.status is not ExecutionStatus.RUNNING
            assert closed == (row.close_time is not None)
            if closed:
                assert row.wake_at is None
                assert row.history_length == len(found.events)
                assert not found.notes
            histories[row.run_id] = found.events
        return histories

    async def check(self) -> dict[str, list[AnyEvent]]:
        """Histories are well-formed, and nothing took effect that is not on record (cause before effect)."""
        histories = await self.runs()
        scheduled = {
            f"{run_id}:{event.activity_id}"  # type: ignore[union-attr]
            for run_id, events in histories.items()
            for event in events
            if type(event).__name__ == "ActivityTaskScheduled"
        }
        unheard = {key for _, key in self.ledger.effects} - scheduled
        assert not unheard, f"activities ran whose scheduling was never recorded: {unheard}"
        return histories


async def insist(request: Callable[[], Awaitable[T]]) -> T:
    """Repeat an idempotent request until the store takes it."""
    while True:
        try:
            return await request()
        except StoreError:
            await asyncio.sleep(0)
        except RPCError as error:
            if error.status is not RPCStatusCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.001)
