"""Near deadlines, in memory. What lies beyond the horizon stays in the store and is looked up in time."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from msgspec import Struct

from tenuto.engine.clock import SECOND, Cancellable, Clock
from tenuto.history.effects import Deadline

#: Deadlines nearer than this are kept in memory.
HORIZON = 30 * SECOND


class Wake(Struct, frozen=True, order=True, gc=False):
    """Look at a run at `at`. Without a deadline: load it and see which deadline it was."""

    at: int
    workflow_id: str
    run_id: str
    kind: int = 0
    key: int | str = 0


class Timers:
    """A heap of wake-ups with one alarm for the earliest. One that is no longer needed is ignored when it comes."""

    def __init__(self, clock: Clock, wake: Callable[[list[Wake]], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._heap: list[tuple[int, int, Wake]] = []
        self._armed: set[Wake] = set()
        self._count = 0
        self._alarm: Cancellable | None = None
        self._alarm_at = 0

    def add(self, workflow_id: str, run_id: str, deadline: Deadline, horizon: int) -> None:
        """Watch for `deadline` if it lies before `horizon`."""
        if deadline.at < horizon:
            self.push(Wake(deadline.at, workflow_id, run_id, deadline.kind, deadline.key))

    def push(self, wake: Wake) -> None:
        if wake in self._armed:
            return
        self._armed.add(wake)
        self._count += 1
        heapq.heappush(self._heap, (wake.at, self._count, wake))
        self._set_alarm()

    def clear(self) -> None:
        self._heap.clear()
        self._armed.clear()
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _set_alarm(self) -> None:
        if not self._heap:
            return
        earliest = self._heap[0][0]
        if self._alarm is not None:
            if self._alarm_at <= earliest:
                return
            self._alarm.cancel()
        self._alarm_at = earliest
        self._alarm = self._clock.call_at(earliest, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = self._clock.now()
        due: list[Wake] = []
        while self._heap and self._heap[0][0] <= now:
            wake = heapq.heappop(self._heap)[2]
            self._armed.discard(wake)
            due.append(wake)
        self._set_alarm()
        if due:
            self._wake(due)
