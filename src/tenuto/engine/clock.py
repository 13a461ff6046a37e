"""Time, as the engine sees it. Tests pass a clock that they move at will."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

SECOND = 1_000_000_000


class Cancellable(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """A source of time and of wake-ups. Times are nanoseconds since the epoch."""

    def now(self) -> int:
        """The current time; never goes back."""
        ...

    def call_at(self, when: int, callback: Callable[[], None]) -> Cancellable:
        """Call `callback` on the running event loop once `when` has come."""
        ...


class SystemClock:
    """The machine's clock, kept from going back."""

    def __init__(self) -> None:
        self._latest = 0

    def now(self) -> int:
        now = time.time_ns()
        if now > self._latest:
            self._latest = now
        return self._latest

    def call_at(self, when: int, callback: Callable[[], None]) -> asyncio.TimerHandle:
        delay = max(0.0, (when - self.now()) / SECOND)
        return asyncio.get_running_loop().call_later(delay, callback)
