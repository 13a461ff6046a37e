"""Puts an engine's clock forward while somebody waits and nothing runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from tenuto.activities.context import current
from tenuto.engine.clock import SECOND
from tenuto.engine.engine import Engine
from tenuto.testing.clock import SkippingClock
from tenuto.testing.faults import FaultyStore
from tenuto.testing.idleness import QUIET, busy, leaves_tasks, next_moment

logger = logging.getLogger("tenuto.testing")

#: Seconds between two looks while something runs that takes long, or while nothing is due.
PAUSE = 0.001
#: Seconds in which nothing is due, after which the log says so.
PATIENCE = 2.0
#: Looks in successive turns of the loop, before pauses are made.
BRISK = 200


class TimeSkipper:
    """Time is skipped while a result is awaited (`awaiting`) or somebody sleeps (`sleep`)."""

    def __init__(
        self, engine: Engine, store: FaultyStore, clock: SkippingClock, describe: Callable[[], Awaitable[str]]
    ) -> None:
        """`describe` tells what the workflows wait for, should they wait for ever."""
        self._engine = engine
        self._describe = describe
        self._store = store
        self._clock = clock
        self._awaiting = 0
        self._disabled = 0
        #: When those who sleep wake up.
        self._sleepers: list[int] = []
        #: Attempts of activities among those who sleep.
        self._resting = 0
        self._wanted = asyncio.Event()
        #: Loop time.
        self._stalled_since: float | None = None
        self._warned = False
        engine.spawn(self._run(), "time skipper")

    @contextmanager
    def awaiting(self) -> Iterator[None]:
        """Somebody waits for what comes of a workflow."""
        self._awaiting += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._awaiting -= 1

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Only who sleeps lets time be skipped."""
        self._disabled += 1
        try:
            yield
        finally:
            self._disabled -= 1
            self._wanted.set()

    async def sleep(self, seconds: float) -> None:
        """Let time pass, and all happen that is due until then."""
        until = self._clock.now() + int(seconds * SECOND)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        alarm = self._clock.call_at(until, lambda: None if over.done() else over.set_result(None))
        resting = int(current.get(None) is not None)
        self._sleepers.append(until)
        self._resting += resting
        self._wanted.set()
        try:
            await over
        finally:
            alarm.cancel()
            self._sleepers.remove(until)
            self._resting -= resting

    @property
    def _may_skip(self) -> bool:
        return bool(self._sleepers or (self._awaiting and not self._disabled))

    async def _run(self) -> None:
        while True:
            self._wanted.clear()
            if not self._may_skip:
                await self._wanted.wait()
            rested = await self._rest()
            if not self._may_skip or await self._skip(rested):
                self._stalled_since = None
            else:
                await self._stall()

    async def _stall(self) -> None:
        """Nothing is due, while somebody waits for a result: perhaps others will do something."""
        now = asyncio.get_running_loop().time()
        if self._stalled_since is None:
            self._stalled_since = now
        stalled = now - self._stalled_since
        if stalled > PATIENCE and not self._warned:
            self._warned = True
            done = await self._describe()
            logger.warning("nothing will happen any more unless the test does something\n%s", done)
        await asyncio.sleep(PAUSE if stalled < 0.1 else 10 * PAUSE)

    def _look(self) -> tuple[bool, int, int]:
        """Two looks are equal if nothing happened between them."""
        self._clock.ring()
        return busy(self._engine, self._store, self._resting), self._store.calls["commit"], self._clock.rung

    async def _rest(self) -> tuple[bool, int, int]:
        """Wait until nothing is under way; returns the last look."""
        quiet = looks = 0
        latest = self._look()
        while quiet < QUIET:
            looks += 1
            # The first turns cost nothing; what takes longer than they do is worth a pause.
            await asyncio.sleep(0 if quiet or looks < BRISK else PAUSE)
            before, latest = latest, self._look()
            quiet = quiet + 1 if latest == before and not latest[0] else 0
        return latest

    async def _skip(self, rested: tuple[bool, int, int]) -> bool:
        """Go to the next moment at which something happens, unless something has since the look `rested`. False if
        there is none."""
        moment = await next_moment(self._engine, self._store)
        moments = [*self._sleepers, *([] if moment is None else [moment])]
        if self._look() != rested or leaves_tasks(self._engine):
            return True
        if not moments or not self._may_skip:
            return False
        self._clock.skip_to(min(moments))
        return True
