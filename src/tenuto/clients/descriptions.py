"""Executions as listings and descriptions show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tenuto.converter import DataConverter
from tenuto.given import UNSET
from tenuto.graph.execution import GraphExecution
from tenuto.history.execution import Execution
from tenuto.model.events import Memo, decode_memo
from tenuto.model.graph import Task
from tenuto.model.limits import Limits
from tenuto.model.policies import ExecutionStatus
from tenuto.store.protocol import ExecutionRow, StoredExecution


@dataclass(frozen=True)
class WorkflowExecution:
    """One run, as listings show it. `problem` says why it does not go on, if it is stuck or `paused`."""

    id: str
    run_id: str
    workflow_type: str
    task_queue: str
    status: ExecutionStatus
    start_time: datetime
    close_time: datetime | None
    history_length: int
    parent_id: str | None
    parent_run_id: str | None
    first_run_id: str
    problem: str | None
    paused: bool
    _memo: Memo = field(repr=False)
    _converter: DataConverter = field(repr=False)

    async def memo(self) -> Mapping[str, Any]:
        """The memo that the run was started with, decoded."""
        return {key: self._converter.decode(value) for key, value in self._memo.items()}

    async def memo_value(self, key: str, default: Any = UNSET, *, type_hint: Any = None) -> Any:
        """One value of the memo. Raises KeyError if there is none and no default."""
        if key in self._memo:
            return self._converter.decode(self._memo[key], type_hint)
        if default is UNSET:
            raise KeyError(f"the memo has no value {key!r}")
        return default


@dataclass(frozen=True)
class PendingActivity:
    """An activity that has not closed. `state` is scheduled, started, or backing_off (until `next_attempt_time`)."""

    activity_id: str
    activity_type: str
    state: str
    attempt: int
    scheduled_time: datetime
    started_time: datetime | None
    next_attempt_time: datetime | None
    last_failure: str | None
    heartbeat_details: Sequence[Any]
    cancel_requested: bool


@dataclass(frozen=True)
class WorkflowExecutionDescription(WorkflowExecution):
    """One run with what it waits for. `workflow_task_attempt` above 1 means that its code keeps failing with
    `workflow_task_failure`; `paused_time` is when the run was paused, None if it isn't."""

    pending_activities: Sequence[PendingActivity] = ()
    pending_timers: Sequence[tuple[str, datetime]] = ()
    pending_children: Sequence[str] = ()
    workflow_task_attempt: int = 1
    workflow_task_failure: str | None = None
    paused_time: datetime | None = None


@dataclass(frozen=True)
class WorkflowExecutionCount:
    """How many runs match, in all and by status."""

    count: int
    by_status: Mapping[ExecutionStatus, int]


def utc(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def row_fields(row: ExecutionRow, converter: DataConverter) -> dict[str, Any]:
    return {
        "id": row.workflow_id,
        "run_id": row.run_id,
        "workflow_type": row.workflow_type,
        "task_queue": row.task_queue,
        "status": row.status,
        "start_time": utc(row.start_time),
        "close_time": None if row.close_time is None else utc(row.close_time),
        "history_length": row.history_length,
        "parent_id": row.parent_workflow_id,
        "parent_run_id": row.parent_run_id,
        "first_run_id": row.first_run_id,
        "problem": row.problem,
        "paused": row.paused,
        "_memo": decode_memo(row.memo),
        "_converter": converter,
    }


def describe(stored: StoredExecution, converter: DataConverter) -> WorkflowExecutionDescription:
    fields = row_fields(stored.row, converter)
    if stored.graph_events:
        return _describe_graph(stored, fields)
    if not stored.events:
        return WorkflowExecutionDescription(**fields)
    execution = Execution.restore(stored.events, stored.notes, stored.history_size, Limits(), lambda: "")
    state = execution.state
    fields["history_length"] = state.last_event_id
    activities = []
    for pending in state.activities.values():
        note = pending.note
        running = note.started_time is not None
        activities.append(
            PendingActivity(
                activity_id=pending.scheduled.activity_id,
                activity_type=pending.scheduled.activity_type,
                state="started" if running else "backing_off" if note.next_attempt_time else "scheduled",
                attempt=note.attempt,
                scheduled_time=utc(pending.scheduled.time),
                started_time=utc(note.started_time) if note.started_time is not None else None,
                next_attempt_time=utc(note.next_attempt_time) if note.next_attempt_time else None,
                last_failure=note.last_failure.brief() if note.last_failure else None,
                heartbeat_details=converter.decode_all(note.heartbeat_details),
                cancel_requested=bool(pending.cancel_requested_event_id),
            )
        )
    failure = execution.task_failure
    return WorkflowExecutionDescription(
        **fields,
        pending_activities=activities,
        pending_timers=[(timer_id, utc(timer.fires)) for timer_id, timer in state.timers.items()],
        pending_children=[child.initiated.workflow_id for child in state.children.values()],
        workflow_task_attempt=state.task_attempt,
        workflow_task_failure=failure.brief() if failure else None,
        paused_time=None if state.paused_time is None else utc(state.paused_time),
    )


def _describe_graph(stored: StoredExecution, fields: dict[str, Any]) -> WorkflowExecutionDescription:
    """A graph: its open tasks are what it waits for."""
    graph = GraphExecution.restore(stored.graph_events, stored.history_size)
    fields["history_length"] = graph.state.last_event_id
    open_tasks = list(graph.state.open.values())
    return WorkflowExecutionDescription(
        **fields,
        pending_activities=[_pending_task(task) for task in open_tasks],
        pending_children=[task.sub_workflow_id for task in open_tasks if task.sub_workflow_id],
    )


def _pending_task(task: Task) -> PendingActivity:
    running = task.status == "IN_PROGRESS"
    state = "started" if running else "backing_off" if task.retry_count and task.available_at else "scheduled"
    return PendingActivity(
        activity_id=task.reference,
        activity_type=task.def_name,
        state=state,
        attempt=task.retry_count + 1,
        scheduled_time=utc(task.scheduled_time),
        started_time=utc(task.start_time) if task.start_time else None,
        next_attempt_time=utc(task.available_at) if state == "backing_off" else None,
        last_failure=task.reason or None,
        heartbeat_details=(),
        cancel_requested=False,
    )
