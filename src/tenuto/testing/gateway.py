"""The requests of a test: whoever waits for a result lets time be skipped, and hears of what fails the test."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from tenuto.engine.batch import Batch
from tenuto.engine.clock import Clock
from tenuto.engine.engine import Engine
from tenuto.engine.gateway import Gateway
from tenuto.engine.ids import id_source
from tenuto.model import messages as msg
from tenuto.model.events import AnyEvent, ExecutionRef
from tenuto.model.limits import Limits
from tenuto.store.protocol import Rank
from tenuto.testing.faults import FaultyStore
from tenuto.testing.skipping import TimeSkipper
from tenuto.testing.verdicts import Verdicts
from tenuto.testing.watched import watch

T = TypeVar("T")

#: Seconds that closed runs are kept: time that is skipped must not make a test's runs old.
RETENTION = 100 * 365 * 24 * 3600.0


class WatchedGateway(Gateway):
    """A gateway whose engine is watched. With a `skipper`, time is skipped while a result is awaited."""

    def __init__(self, store: FaultyStore, clock: Clock, limits: Limits, *, always_replay: bool) -> None:
        super().__init__(store, clock, limits, id_source(clock), retention=RETENTION)
        self.verdicts = Verdicts()
        self.skipper: TimeSkipper | None = None
        self._always_replay = always_replay
        self._next_commit: asyncio.Future[None] | None = None

    async def _start(self, patience: float, rank: Rank) -> Engine:
        engine = await super()._start(patience, rank)
        watch(engine, self.verdicts, always_replay=self._always_replay)
        engine.observers.append(self)
        return engine

    def committed(self, batch: Batch) -> None:
        """Something is on record; see `tenuto.engine.observer`."""
        for resident in batch.residents:
            if resident.closed:
                self.verdicts.mended(resident.row.run_id)
        if self._next_commit is not None and not self._next_commit.done():
            self._next_commit.set_result(None)

    def next_commit(self) -> asyncio.Future[None]:
        """Done with the next commit of this process."""
        if self._next_commit is None or self._next_commit.done():
            self._next_commit = asyncio.get_running_loop().create_future()
        return self._next_commit

    async def closing_event(self, ref: ExecutionRef) -> AnyEvent:
        """As `Gateway.closing_event`; raises as well what fails the test."""
        __tracebackhide__ = True
        return await self.awaited(super().closing_event(ref))

    async def request_checked(self, target: ExecutionRef, body: msg.Body, timeout: float | None = None) -> msg.Answer:
        """As `Gateway.request_checked`; of an update's outcome as `closing_event`."""
        __tracebackhide__ = True
        asking = super().request_checked(target, body, timeout)
        return await (self.awaited(asking) if isinstance(body, msg.PollUpdate) else asking)

    async def awaited(self, work: Coroutine[Any, Any, T], *, skips: bool = True) -> T:
        """What comes of `work`, which waits for a workflow. Raises as well what fails the test. Time is skipped
        meanwhile if `skips` and the environment does."""
        __tracebackhide__ = True  # pytest shows the user's lines, not these
        if self.skipper is None or not skips:
            return await self.verdicts.heeded(work)
        with self.skipper.awaiting():
            return await self.verdicts.heeded(work)
