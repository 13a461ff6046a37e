"""Schedules: instances that are started by the clock.

Each workflow that has schedules has a run of its own that sleeps until the next tick and starts an instance, named
after the tick, as its child; it is served by the workers that serve the workflow. Being durable, it starts each
instance once, whatever crashes. If ticks were missed, because nobody served it or it was paused, only the latest of
them is made up for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from msgspec import Struct

from tenuto import workflow
from tenuto.exceptions import ApplicationError, WorkflowAlreadyStartedError
from tenuto.model import commands as cmd
from tenuto.model.policies import ParentClosePolicy, WorkflowIDReusePolicy
from tenuto.replay.calls import ChildCall, ChildWorkflowCancellationType
from tenuto.replay.definition import WorkflowDefinition
from tenuto.steps.options import StartOptions
from tenuto.workflows.context import current

#: Ticks after which the run of a schedule begins anew, so that its history stays short.
TICKS = 200
_BEFORE_ALL, _AFTER_ALL = datetime(1971, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


class Cron(Struct, frozen=True):
    """A cron expression of five fields (minute, hour, day of month, month, day of week), or six with seconds first, as
    clocks show the time in a zone."""

    expression: str
    zone: str = "UTC"

    def after(self, second: int) -> int | None:
        """The first tick after a moment (seconds since the epoch); None if there is none any more."""
        return self._tick(second, reverse=False)

    def until(self, second: int) -> int | None:
        """The latest tick until a moment, which may be a tick itself."""
        return self._tick(second + 1, reverse=True)

    def _tick(self, second: int, *, reverse: bool) -> int | None:
        start = datetime.fromtimestamp(second, UTC)
        if not _BEFORE_ALL < start < _AFTER_ALL:
            return None
        try:
            return int(next(CronSim(self.expression, start.astimezone(_zone(self.zone)), reverse)).timestamp())
        except (StopIteration, OverflowError):
            return None


class Plan(Struct):
    """What is started when."""

    workflow: str
    task_queue: str
    crons: list[Cron]
    options: StartOptions
    concurrency: int | None


def parse_schedules(schedules: Iterable[Any]) -> list[Cron]:
    """Schedules as users give them: "0 9 * * *" (in UTC), ("0 9 * * *", "Europe/Rome"), or a mapping with `cron` and
    `timezone`. Raises ValueError for what can't be read or never comes due."""
    if isinstance(schedules, str | Mapping):
        raise ValueError(f"schedules are a list, such as [{schedules!r}]")
    return [_parsed(schedule) for schedule in schedules]


def _parsed(schedule: Any) -> Cron:
    if isinstance(schedule, Mapping) and schedule.keys() <= {"cron", "timezone"}:
        schedule = schedule.get("cron"), schedule.get("timezone", "UTC")
    parts = [schedule] if isinstance(schedule, str) else schedule
    if not isinstance(parts, tuple | list) or not 1 <= len(parts) <= 2 or not all(isinstance(p, str) for p in parts):
        raise ValueError(f"{schedule!r} is no schedule; write '0 9 * * *' or ('0 9 * * *', 'Europe/Rome')")
    cron = Cron(*parts)
    try:
        _zone(cron.zone)
        found = cron.after(int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()))
    except CronSimError as error:
        raise ValueError(f"the cron expression {cron.expression!r} can't be read: {error}") from None
    except (OSError, ValueError, KeyError):
        raise ValueError(f"{cron.zone!r} is no time zone; use a name such as Europe/Rome or UTC") from None
    if found is None:
        raise ValueError(f"the cron expression {cron.expression!r} never comes due")
    return cron


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def scheduler_id(name: str) -> str:
    """The workflow id of the run that starts instances of a workflow; no instance can have it."""
    return f"schedule:{name}"


def scheduler_type(name: str) -> str:
    return f"{name} schedule"


def instance_id(name: str, tick: int) -> str:
    """What the instance of a tick is called, such as `Publish-20261121T090000Z`."""
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', name)[:80]}-{datetime.fromtimestamp(tick, UTC):%Y%m%dT%H%M%SZ}".lstrip("-")


class SchedulerDefinition(WorkflowDefinition):
    """The code that starts instances of one entrypoint by the clock."""

    def __init__(self, name: str) -> None:
        super().__init__(Scheduler, scheduler_type(name), ())


class Scheduler:
    """The run of the schedules of one workflow."""

    @workflow.run
    async def run(self, plan: Plan, last: int | None = None) -> None:
        """`last` is the tick that was the latest one before, in seconds since the epoch."""
        reached = int(workflow.time()) if last is None else last
        for _ in range(TICKS):
            tick = min((found for cron in plan.crons if (found := cron.after(reached)) is not None), default=None)
            if tick is None:
                return
            await workflow.sleep(max(0.0, tick - workflow.time()))
            now = int(workflow.time())
            reached = max(tick, *(found for cron in plan.crons if (found := cron.until(now)) is not None))
            await _start(plan, reached)
        workflow.continue_as_new(args=[plan, reached])


async def _start(plan: Plan, tick: int) -> None:
    """Start the instance of a tick. One that is there already, from before the schedules changed, is that instance."""
    this = current()
    params = {"scheduled_time": datetime.fromtimestamp(tick, UTC).isoformat()}
    command = cmd.StartChildWorkflow(
        instance_id(plan.workflow, tick),
        plan.workflow,
        plan.task_queue,
        this.converter.encode_all([params, plan.options]),
        ParentClosePolicy.ABANDON,
        WorkflowIDReusePolicy.REJECT_DUPLICATE,
        concurrency=plan.concurrency,
    )
    try:
        await ChildCall(this, command, ChildWorkflowCancellationType.ABANDON).started()
    except WorkflowAlreadyStartedError:
        workflow.logger.info("instance %s is there already", command.workflow_id)
    except ApplicationError as error:
        workflow.logger.error("instance %s could not be started: %s", command.workflow_id, error)
