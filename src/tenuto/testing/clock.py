"""Clocks for tests: one that stands still until a test moves it, and one that can be put forward."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from tenuto.engine.clock import SECOND, SystemClock

__all__ = ["ManualClock", "SkippingClock"]

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


class SkippingClock:
    """The machine's clock, which can be put forward; implements `tenuto.engine.clock.Clock`.

    Time passes as it does elsewhere, and `skip_to` leaves out what lies between. Lives on one event loop."""

    def __init__(self) -> None:
        self._system = SystemClock()
        self._skipped = 0
        self._alarms: list[tuple[int, int, Alarm]] = []
        self._asked = 0
        self._timer: asyncio.TimerHandle | None = None
        #: How many wake-ups have been called, or will be with the loop's next turn.
        self.rung = 0

    def now(self) -> int:
        """The current time in nanoseconds since the epoch."""
        return self._system.now() + self._skipped

    def call_at(self, when: int, callback: Callable[[], None]) -> Alarm:
        """Call `callback` on the running event loop once `when` has come."""
        alarm = Alarm(when, callback, asyncio.get_running_loop())
        self._asked += 1
        heapq.heappush(self._alarms, (when, self._asked, alarm))
        self.ring()
        return alarm

    def skip_to(self, when: int) -> None:
        """Let it be `when` (nanoseconds since the epoch) at once; what has come due is called with the loop's next
        turn. A time that has passed changes nothing."""
        self._skipped += max(0, when - self.now())
        self.ring()

    def ring(self) -> None:
        """Call with the loop's next turn what is due and has not been called yet: the loop is always a little late."""
        now = self.now()
        while self._alarms and (self._alarms[0][0] <= now or self._alarms[0][2].callback is None):
            alarm = heapq.heappop(self._alarms)[2]
            self.rung += 1
            alarm.loop.call_soon(alarm.ring)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._alarms:
            when, _, alarm = self._alarms[0]
            self._timer = alarm.loop.call_later((when - now) / SECOND, self.ring)

    def close(self) -> None:
        """Call nobody any more."""
        self._alarms.clear()
        if self._timer is not None:
            self._timer.cancel()
