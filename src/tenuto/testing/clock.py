"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from tenuto.engine.clock import SECOND

__all__ = ["ManualClock"]

#: 2026-01-01 00:00:00 UTC.
DEFAULT_START = 1_767_225_600 * SECOND


class Alarm:
    """A wake-up that was asked for; `cancel` makes nothing of it."""

    __slots__ = ("callback", "loop", "when")

    def __init__(self, when: int, callback: Callable[[], None], loop: asyncio.AbstractEventLoop) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback
        self.loop = loop

    def cancel(self) -> None:
        self.callback = None

    def ring(self) -> None:
        callback, self.callback = self.callback, None
        if callback is not None:
            callback()


class ManualClock:
    """Time for tests; implements `tenuto.engine.clock.Clock`.

    It only passes by `advance`. Whatever has come due then is called on its event loop, in the order of its time, as
    soon as the loop has its turn: give it one (`await asyncio.sleep(0)`) to see the effects."""

    def __init__(self, start: int = DEFAULT_START) -> None:
        self._now = start
        self._alarms: list[tuple[int, int, Alarm]] = []
        self._asked = 0

    def now(self) -> int:
        """The current time in nanoseconds since the epoch."""
        return self._now

    def call_at(self, when: int, callback: Callable[[], None]) -> Alarm:
        """Call `callback` on the running event loop once `when` has come."""
        alarm = Alarm(when, callback, asyncio.get_running_loop())
        self._asked += 1
        heapq.heappush(self._alarms, (when, self._asked, alarm))
        self._ring()
        return alarm

    def advance(self, seconds: float) -> None:
        """Let this much time pass at once. Raises ValueError for a negative number: time never goes back."""
        if seconds < 0:
            raise ValueError(f"time can't go back by {-seconds} s")
        self._now += round(seconds * SECOND)
        self._ring()

    @property
    def next_alarm(self) -> int | None:
        """When the next wake-up is due; None if nobody waits for anything."""
        while self._alarms and self._alarms[0][2].callback is None:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def _ring(self) -> None:
        while self._alarms and self._alarms[0][0] <= self._now:
            alarm = heapq.heappop(self._alarms)[2]
            if alarm.callback is not None and not alarm.loop.is_closed():
                alarm.loop.call_soon(alarm.ring)
