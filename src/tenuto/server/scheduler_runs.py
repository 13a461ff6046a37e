"""What schedules have started: on record, the newest only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal
from uuid import NAMESPACE_OID, uuid5

from msgspec import Struct
from msgspec.structs import replace

from tenuto.model.errors import PayloadError, RPCError, RPCStatusCode
from tenuto.model.json_values import Json
from tenuto.server.collection import key_of
from tenuto.server.errors import ApiError
from tenuto.server.recent_documents import RecentDocuments
from tenuto.server.schedules import WorkflowSchedule
from tenuto.server.starts import StartWorkflowRequest, start

if TYPE_CHECKING:
    from tenuto.server.services import Services

#: Executions that are kept.
KEPT = 10_000

_TRANSIENT = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED)


class ScheduleExecution(Struct, rename="camel", kw_only=True):
    """One moment of one schedule; times are milliseconds since the epoch."""

    execution_id: str
    schedule_name: str
    scheduled_time: int
    execution_time: int
    workflow_name: str
    state: Literal["POLLED", "FAILED", "EXECUTED"]
    start_workflow_request: StartWorkflowRequest
    zone_id: str = "UTC"
    workflow_id: str | None = None
    reason: str | None = None
    stack_trace: str | None = None


class ScheduleRuns:
    """Starts what schedules ask for."""

    def __init__(self, services: Services) -> None:
        self._services = services
        #: What runs have come to since the server started, by state.
        self.counts: Counter[str] = Counter()
        self.records = RecentDocuments(services, "schedule_executions", ScheduleExecution, KEPT)

    async def run(self, schedule: WorkflowSchedule, moment: int) -> None:
        """Start the schedule's workflow for a moment. Done again for the same moment, it starts no second one. A start
        that is refused is on record as FAILED. Raises StoreError, or RPCError if there is no engine."""
        now = self._services.now_ms()
        cron = schedule.cron_of(moment)
        execution_id = _id("execution", schedule, moment)
        request = replace(
            schedule.start_workflow_request,
            input=schedule.start_workflow_request.input
            | {
                "_startedByScheduler": schedule.name,
                "_scheduledTime": moment,
                "_executedTime": now,
                "_executionId": execution_id,
                "_schedulerCron": cron.expression,
            },
            created_by=schedule.start_workflow_request.created_by or schedule.created_by,
        )
        execution = ScheduleExecution(
            execution_id=execution_id,
            schedule_name=schedule.name,
            scheduled_time=moment,
            execution_time=now,
            workflow_name=request.name,
            state="EXECUTED",
            start_workflow_request=request,
            zone_id=cron.zone,
        )
        try:
            execution.workflow_id = await start(self._services, request, workflow_id=_id("workflow", schedule, moment))
        except (ApiError, RPCError, PayloadError) as error:
            if isinstance(error, RPCError) and error.status in _TRANSIENT:
                raise
            execution.state, execution.reason = "FAILED", str(error)
        await self.records.put([self.records.document(key_of(schedule.name, f"{moment:020d}"), execution)])
        self.counts[execution.state] += 1

    async def search(
        self, wanted: dict[str, set[str]], text: str, sort: Iterable[tuple[str, bool]]
    ) -> list[ScheduleExecution]:
        """The executions whose fields have one of the wanted values and that hold a text; newest first, unless sorted
        by (field, descending) pairs."""
        found = [each for each in await self.records.all() if _fits(each, wanted, text)]
        found.sort(key=lambda each: (each.execution_time, each.scheduled_time), reverse=True)
        for name, descending in reversed(list(sort)):
            found.sort(key=lambda each: _sortable(getattr(each, name)), reverse=descending)
        return found


def _id(what: str, schedule: WorkflowSchedule, moment: int) -> str:
    return str(uuid5(NAMESPACE_OID, f"schedule {what}\x00{schedule.name}\x00{schedule.create_time}\x00{moment}"))


def _fits(execution: ScheduleExecution, wanted: dict[str, set[str]], text: str) -> bool:
    if any(str(getattr(execution, name)) not in values for name, values in wanted.items()):
        return False
    texts = (execution.schedule_name, execution.workflow_name, execution.workflow_id, execution.reason, execution.state)
    return not text or any(text.lower() in (each or "").lower() for each in texts)


def _sortable(value: Json) -> Any:
    return (value is not None, value)
