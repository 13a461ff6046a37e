"""Time and chance, as a sequence in memory sees them. Tests pass an InstantClock."""

from __future__ import annotations

import asyncio
import random
import time
from time import perf_counter
from typing import Protocol

__all__ = ["Clock", "InstantClock", "SystemClock"]


class Clock(Protocol):
    """A source of time, of pauses and of chance. All times are seconds."""

    def time(self) -> float:
        """The time of day, since the epoch."""
        ...

    def elapsed(self) -> float:
        """A time to measure durations with; never goes back."""
        ...

    def sleep(self, seconds: float) -> None: ...

    async def async_sleep(self, seconds: float) -> None: ...

    def random(self) -> float:
        """A number from 0 up to 1, for jitter."""
        ...


class SystemClock:
    """The machine's time."""

    def time(self) -> float:
        return time.time()

    #: Twice per node: without a method of ours in between.
    elapsed = staticmethod(perf_counter)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def async_sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def random(self) -> float:
        return random.random()


class InstantClock:
    """For tests: sleeping takes no time, and is remembered in `slept`. Chance always gives the middle."""

    def __init__(self, start: float = 1_767_225_600.0) -> None:
        self.slept: list[float] = []
        self._now = start

    def time(self) -> float:
        return self._now

    def elapsed(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._now += seconds

    async def async_sleep(self, seconds: float) -> None:
        self.sleep(seconds)
        await asyncio.sleep(0)

    def random(self) -> float:
        return 0.5
