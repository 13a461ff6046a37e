"""Schedules: which workflow is to be started, and when."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from tenuto.engine.clock import Clock
from tenuto.server.collection import Collection, checked_name
from tenuto.server.errors import ApiError, bad_request, fault
from tenuto.server.scheduler_times import BadCron, Cron, check_cron
from tenuto.server.starts import StartWorkflowRequest
from tenuto.store.protocol import Store

#: Cron expressions of one schedule.
MOST_CRONS = 100
Milliseconds = Annotated[int, Meta(ge=0)]


class CronSchedule(Struct, rename="camel", kw_only=True):
    cron_expression: str
    zone_id: str | None = None


class WorkflowSchedule(Struct, rename="camel", kw_only=True):
    """A schedule; times are milliseconds since the epoch. With `cron_schedules`, `cron_expression` doesn't count."""

    name: str
    start_workflow_request: StartWorkflowRequest
    cron_expression: str | None = None
    cron_schedules: list[CronSchedule] | None = None
    zone_id: str = "UTC"
    run_catchup_schedule_instances: bool = False
    paused: bool = False
    paused_reason: str | None = None
    schedule_start_time: Milliseconds | None = None
    schedule_end_time: Milliseconds | None = None
    description: str | None = None
    create_time: int | None = None
    updated_time: int | None = None
    created_by: str | None = None
    updated_by: str | None = None
    next_run_time: int | None = None
    """The moment that comes next, and is not forgotten should nobody be there to see it. None: never again."""

    def crons(self) -> list[Cron]:
        if self.cron_schedules:
            return [Cron(each.cron_expression, each.zone_id or self.zone_id) for each in self.cron_schedules]
        return [Cron(self.cron_expression or "", self.zone_id)]

    def next_after(self, moment: int) -> int | None:
        """The first moment after this one at which the schedule comes due."""
        # The very millisecond of the start counts.
        after = max(moment, (self.schedule_start_time or 0) - 1)
        found = [due for cron in self.crons() if (due := cron.next_after(after)) is not None]
        due = min(found, default=None)
        return None if due is None or self._is_over(due) else due

    def _is_over(self, moment: int) -> bool:
        return bool(self.schedule_end_time) and moment > (self.schedule_end_time or 0)

    def cron_of(self, moment: int) -> Cron:
        """Which of its expressions came due then."""
        crons = self.crons()
        return next((cron for cron in crons if cron.next_after(moment - 1) == moment), crons[0])


class SchedulerState(Struct, kw_only=True):
    """Of all schedules together."""

    paused: bool = False


class Schedules(Collection[WorkflowSchedule]):
    """The schedules, by name."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock, "schedules", WorkflowSchedule)

    async def save(self, schedule: WorkflowSchedule, by: str, now: int) -> WorkflowSchedule:
        """Create or replace a schedule; `now` in milliseconds. Its next moment is computed from now on."""

        def saved(before: WorkflowSchedule | None) -> WorkflowSchedule:
            created = (now, schedule.created_by or by) if before is None else (before.create_time, before.created_by)
            return replace(
                schedule,
                create_time=created[0],
                created_by=created[1],
                updated_time=now,
                updated_by=schedule.updated_by or by,
                next_run_time=schedule.next_after(now),
            )

        return await self.change(schedule.name, saved)


def check_schedule(schedule: WorkflowSchedule) -> None:
    """Raises ApiError (400) that names what is wrong with a schedule."""
    checked_name(schedule.name, "a schedule")
    if schedule.cron_schedules:
        if len(schedule.cron_schedules) > MOST_CRONS:
            raise _wrong("cronSchedules", f"at most {MOST_CRONS} cron expressions are possible")
    elif not (schedule.cron_expression or "").strip():
        raise _wrong("cronExpression", "is missing; give cronExpression or cronSchedules")
    paths = [f"cronSchedules[{number}]." for number in range(len(schedule.cron_schedules or []))] or [""]
    for path, cron in zip(paths, schedule.crons(), strict=True):
        try:
            check_cron(cron.expression, cron.zone)
        except BadCron as error:
            field = "zoneId" if "time zone" in str(error) else "cronExpression"
            raise _wrong(f"{path}{field}", str(error)) from None
    start, end = schedule.schedule_start_time, schedule.schedule_end_time
    if start and end and start > end:
        raise _wrong("scheduleEndTime", f"{end} is before scheduleStartTime {start}")
    if not schedule.start_workflow_request.name.strip() and schedule.start_workflow_request.workflow_def is None:
        raise _wrong("startWorkflowRequest.name", "is missing: which workflow is to be started?")


def _wrong(path: str, message: str) -> ApiError:
    error = bad_request(f"the schedule is not valid: {path}: {message}")
    error.faults = [fault(path, message)]
    return error
