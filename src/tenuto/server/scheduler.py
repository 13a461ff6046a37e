"""Starts workflows when their schedules come due, by the engine's clock.

The moment that a schedule waits for is on record. When it has come, the workflow is started under an id that follows
from schedule and moment, and only then the next moment goes on record; so a crash in between repeats the start, which
then changes nothing. Of the moments that nobody was there to see, the one on record is made up for, and further ones
only if the schedule asks for that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tenuto.model.errors import RPCError, StoreError
from tenuto.server.collection import Collection
from tenuto.server.errors import ApiError, not_found
from tenuto.server.scheduler_runs import ScheduleRuns
from tenuto.server.schedules import SchedulerState, WorkflowSchedule

if TYPE_CHECKING:
    from tenuto.server.services import Services

logger = logging.getLogger("tenuto.scheduler")

MILLISECOND = 1_000_000
#: Milliseconds after which to look again even if nothing is due: the machine's clock may be set.
LOOK = 60_000
#: Milliseconds after which a start that was not possible is tried again.
AGAIN = 1_000
#: Schedules that are seen to at a time.
TOGETHER = 64

STATE = "state"


class Scheduler:
    """The schedules of one store, at work."""

    def __init__(self, services: Services) -> None:
        self.runs = ScheduleRuns(services)
        self._services = services
        self._wake = asyncio.Event()
        #: Schedules that failed for a reason that passes, and when to try again.
        self._delayed: dict[str, int] = {}

    @property
    def state(self) -> Collection[SchedulerState]:
        return self._services.configuration.scheduler_state

    @property
    def paused(self) -> bool:
        """Whether all schedules are paused together."""
        state = self.state.get(STATE)
        return state is not None and state.paused

    # -- operations ----------------------------------------------------------------------------------------------------

    async def pause(self, name: str, reason: str | None) -> None:
        """Let a schedule start nothing. Raises ApiError (404)."""
        await self._change(name, lambda schedule: replace(schedule, paused=True, paused_reason=reason or None))

    async def resume(self, name: str) -> None:
        """Let a schedule go on with what comes due from now on. Raises ApiError (404)."""
        now = self._services.now_ms()

        def resumed(schedule: WorkflowSchedule) -> WorkflowSchedule:
            if not schedule.paused:
                return schedule
            return replace(schedule, paused=False, paused_reason=None, next_run_time=schedule.next_after(now))

        await self._change(name, resumed)

    async def pause_all(self) -> None:
        await self.state.put(STATE, SchedulerState(paused=True))

    async def resume_all(self) -> None:
        """Let all schedules go on with what comes due from now on, except those that are paused by themselves."""
        if self.paused:
            now = self._services.now_ms()
            for schedule in self._services.configuration.schedules.all():
                if schedule.next_run_time is not None and schedule.next_run_time <= now:
                    await self._move(schedule, now)
        await self.state.put(STATE, SchedulerState(paused=False))

    def requeue(self) -> int:
        """Look at all schedules now; returns how many there are."""
        self._delayed.clear()
        self._wake.set()
        return len(self._services.configuration.schedules)

    async def _change(self, name: str, change: Callable[[WorkflowSchedule], WorkflowSchedule]) -> None:
        def changed(before: WorkflowSchedule | None) -> WorkflowSchedule:
            if before is None:
                raise not_found(f"there is no schedule {name!r}")
            return replace(change(before), updated_time=self._services.now_ms())

        await self._services.configuration.schedules.change(name, changed)

    # -- at work -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """See to all schedules, for ever."""
        await self._services.engine.patiently(self.runs.records.load)
        self._services.configuration.schedules.changed = self._wake.set
        self.state.changed = self._wake.set
        self._services.graphs.moved.append(self._wake.set)
        clock = self._services.clock
        while True:
            self._wake.clear()
            due, next_look = self._due(self._services.now_ms())
            if due and await self._is_out_of_date():
                continue
            if due:
                await asyncio.gather(*(self._see_to(schedule) for schedule in due[:TOGETHER]))
                continue
            alarm = clock.call_at(next_look * MILLISECOND, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                alarm.cancel()

    async def _is_out_of_date(self) -> bool:
        """Read what others have changed: True if it was not known."""
        if not self._services.engine.ownership.peers:
            return False
        schedules = self._services.configuration.schedules
        before = (schedules.all(), self.paused)
        try:
            await self._services.configuration.fresh()
        except StoreError as error:
            logger.warning("schedules can't be read, which is tried again: %s", error)
            await asyncio.sleep(AGAIN / 1000)
            return True
        return (schedules.all(), self.paused) != before

    def _due(self, now: int) -> tuple[list[WorkflowSchedule], int]:
        """The schedules whose moment has come, and when to look again if there are none."""
        next_look = now + LOOK
        due: list[WorkflowSchedule] = []
        if self.paused:
            return due, next_look
        for schedule in self._services.configuration.schedules.all():
            if schedule.paused or schedule.next_run_time is None or not self._is_ours(schedule):
                continue
            at = max(schedule.next_run_time, self._delayed.get(schedule.name, 0))
            if at <= now:
                due.append(schedule)
            else:
                next_look = min(next_look, at)
        due.sort(key=lambda schedule: schedule.next_run_time or 0)
        return due, next_look

    def _is_ours(self, schedule: WorkflowSchedule) -> bool:
        """Of several servers, one sees to a schedule."""
        return self._services.engine.owns(f"schedule {schedule.name}")

    async def _see_to(self, schedule: WorkflowSchedule) -> None:
        moment = schedule.next_run_time
        assert moment is not None
        try:
            await self.runs.run(schedule, moment)
            now = self._services.now_ms()
            await self._move(schedule, moment if schedule.run_catchup_schedule_instances else max(now, moment))
            self._delayed.pop(schedule.name, None)
        except (StoreError, RPCError, ApiError) as error:
            extra = {"action": "schedule_retried", "schedule": schedule.name}
            logger.warning("schedule %s is tried again: %s", schedule.name, error, extra=extra)
            self._delayed[schedule.name] = self._services.now_ms() + AGAIN
        except Exception:  # one schedule must not stop all others
            extra = {"action": "schedule_failed", "schedule": schedule.name}
            logger.exception("schedule %s can't be seen to; it is tried again", schedule.name, extra=extra)
            self._delayed[schedule.name] = self._services.now_ms() + LOOK

    async def _move(self, schedule: WorkflowSchedule, after: int) -> None:
        """The schedule waits for its first moment after this one, unless it was changed meanwhile."""

        def moved(before: WorkflowSchedule | None) -> WorkflowSchedule:
            if before is None or before.next_run_time != schedule.next_run_time:
                raise Changed
            return replace(before, next_run_time=before.next_after(after))

        try:
            # Another server that still waits for this moment repeats the start, and finds out.
            await self._services.configuration.schedules.change(schedule.name, moved, announce=False)
        except Changed:
            await self._services.configuration.schedules.refresh()


class Changed(Exception):
    """Somebody else changed the schedule."""
