"""How many tasks of one definition may be out at a time (`concurrentExecLimit`) and go out in a time
(`rateLimitPerFrequency`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from tenuto.engine.clock import SECOND, Cancellable, Clock
from tenuto.graph.definitions import TaskDef


class TaskLimits:
    """Counts hand-outs by definition. `room_again` is called when a limit that was reached allows more."""

    def __init__(self, clock: Clock, room_again: Callable[[str], None]) -> None:
        self._clock = clock
        self._room_again = room_again
        self._definitions: dict[str, TaskDef] = {}
        self._out: dict[str, set[str]] = {}
        self._hand_outs: dict[str, deque[int]] = {}
        self._full: set[str] = set()
        self._alarms: dict[str, Cancellable] = {}

    def learn(self, def_name: str, definition: TaskDef) -> None:
        """What the definition of that name says now."""
        if definition.concurrent_exec_limit or definition.rate_limit_per_frequency:
            self._definitions[def_name] = definition
        else:
            self._definitions.pop(def_name, None)

    def enter(self, def_name: str, task_id: str, *, again: bool = False) -> bool:
        """The task goes out, if the limits allow it; `again`: it is out already, whatever they say."""
        definition = self._definitions.get(def_name)
        if definition is None:
            return True
        out = self._out.setdefault(def_name, set())
        if not again and not self._may_go(def_name, definition, out):
            return False
        out.add(task_id)
        if definition.rate_limit_per_frequency and not again:
            self._hand_outs.setdefault(def_name, deque()).append(self._clock.now())
        return True

    def room(self, def_name: str, *, beside: int = 0) -> bool:
        """Might another task go out now, beside so many that may go out at any moment?"""
        definition = self._definitions.get(def_name)
        limit = 0 if definition is None else definition.concurrent_exec_limit
        if not limit or len(self._out.get(def_name, ())) + beside < limit:
            return True
        self._full.add(def_name)
        return False

    def _may_go(self, def_name: str, definition: TaskDef, out: set[str]) -> bool:
        limit = definition.concurrent_exec_limit
        if limit and len(out) >= limit:
            self._full.add(def_name)
            return False
        rate = definition.rate_limit_per_frequency
        if not rate:
            return True
        window = int((definition.rate_limit_frequency_in_seconds or 1) * SECOND)
        times, now = self._hand_outs.setdefault(def_name, deque()), self._clock.now()
        while times and times[0] + window <= now:
            times.popleft()
        if len(times) < rate:
            return True
        if def_name not in self._alarms:
            self._alarms[def_name] = self._clock.call_at(times[0] + window, partial(self._next_window, def_name))
        return False

    def _next_window(self, def_name: str) -> None:
        self._alarms.pop(def_name, None)
        self._room_again(def_name)

    def leave(self, def_name: str, task_id: str) -> None:
        """The task is not out any more."""
        out = self._out.get(def_name)
        if out is None or task_id not in out:
            return
        out.discard(task_id)
        if not out:
            del self._out[def_name]
        if def_name in self._full:
            self._full.discard(def_name)
            self._room_again(def_name)

    def clear(self) -> None:
        """Forget who is out; what went out lately still counts."""
        self._out.clear()
        self._full.clear()
