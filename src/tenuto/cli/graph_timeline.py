"""A graph as spans: one a task, its attempts taken together. Pure, like `tenuto.timeline`."""

from __future__ import annotations

from tenuto.graph.execution import GraphExecution
from tenuto.graph.json_payloads import json_payload
from tenuto.graph.views import shown_tasks
from tenuto.model.failures import ApplicationFailure, Failure
from tenuto.model.graph import GraphStatus, Task, TaskStatus
from tenuto.timeline import Kind, Span, State, Timeline

_TASK_STATES: dict[TaskStatus, State] = {
    "SCHEDULED": State.WAITING,
    "IN_PROGRESS": State.RUNNING,
    "COMPLETED": State.COMPLETED,
    "COMPLETED_WITH_ERRORS": State.COMPLETED,
    "SKIPPED": State.COMPLETED,
    "FAILED": State.FAILED,
    "FAILED_WITH_TERMINAL_ERROR": State.FAILED,
    "TIMED_OUT": State.TIMED_OUT,
    "CANCELED": State.CANCELED,
}
_STATES: dict[GraphStatus, State] = {
    "RUNNING": State.RUNNING,
    "PAUSED": State.WAITING,
    "COMPLETED": State.COMPLETED,
    "FAILED": State.FAILED,
    "TIMED_OUT": State.TIMED_OUT,
    "TERMINATED": State.TERMINATED,
}


def build_graph_timeline(graph: GraphExecution) -> Timeline:
    """The timeline of a graph as it stands."""
    state = graph.state
    timeline = Timeline(
        workflow_id=graph.workflow_id,
        run_id=state.started.run_id,
        workflow_type=state.started.workflow_type,
        task_queue="",
        began=state.start_time,
        input=[json_payload(state.input)],
        state=_STATES[state.status],
        outcome=state.status,
        ended=state.end_time or None,
        reason=state.reason,
        graph_version=state.version,
    )
    if state.status == "COMPLETED":
        timeline.result = [json_payload(state.output)]
    elif state.status == "FAILED":
        timeline.failure = Failure(state.reason, info=ApplicationFailure("FAILED"))
    last_reasons: dict[str, str] = {}
    for task in shown_tasks(graph):
        if task.reason:
            last_reasons[task.reference] = task.reason
        if not task.retried:
            timeline.spans.append(_span(task, last_reasons.get(task.reference)))
    return timeline


def _span(task: Task, reason: str | None) -> Span:
    waits_for_retry = task.status == "SCHEDULED" and task.retry_count > 0 and task.available_at > task.scheduled_time
    state = State.BACKING_OFF if waits_for_retry else _TASK_STATES[task.status]
    until = task.memory.get("until") if task.kind == "WAIT" else task.available_at if waits_for_retry else None
    return Span(
        event_id=task.number,
        kind=Kind.TASK,
        name=task.reference,
        id=task.task_id,
        state=state,
        began=task.first_scheduled or task.scheduled_time,
        ended=None if task.open else task.end_time or None,
        attempts=task.retry_count + 1,
        failure=reason,
        until=until,
        identity=task.worker_id,
        summary=_summary(task),
    )


def _summary(task: Task) -> str | None:
    """What kind of task it is, where its name doesn't tell, and the child that it waits for."""
    words = [] if task.task_type == task.reference else [task.task_type]
    if task.sub_workflow_id:
        words.append(task.sub_workflow_id)
    if task.status in ("SKIPPED", "COMPLETED_WITH_ERRORS"):
        words.append(task.status.replace("_", " ").lower())
    return " ".join(words) or None
