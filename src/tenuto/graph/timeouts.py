"""Timeouts: when a task or a workflow has taken too long, and what its policy makes of that.

Every moment that matters here is also a deadline (`next_deadline`), so the engine comes back exactly then.
"""

from __future__ import annotations

from collections.abc import Iterator

from tenuto.graph import closing, kinds
from tenuto.graph.decision import SECOND, Decision
from tenuto.graph.definitions import TaskDef
from tenuto.graph.execution import GraphExecution
from tenuto.model.graph import Task

NEVER = 2**63 - 1


def check_workflow(decision: Decision) -> bool:
    """Has the workflow run out of time? Then it ends, if its policy says so."""
    ends = _workflow_end(decision.execution)
    if ends is None or decision.now < ends:
        return False
    seconds = decision.state.plan.snapshot.workflow.timeout_seconds
    closing.close(decision, "TIMED_OUT", f"Workflow timed out: it ran longer than {seconds} seconds (timeoutSeconds)")
    return True


def _workflow_end(execution: GraphExecution) -> int | None:
    state = execution.state
    definition = state.plan.snapshot.workflow
    if definition.timeout_seconds <= 0 or definition.timeout_policy != "TIME_OUT_WF":
        return None
    return (state.last_retried_time or state.start_time) + int(definition.timeout_seconds * SECOND)


def check(decision: Decision, task: Task) -> None:
    """Has the task run out of time?"""
    definition = decision.execution.task_def(task)
    for name, at in _ends(decision.execution, task, definition):
        if decision.now >= at:
            _time_out(decision, task, definition, name)
            return


def _ends(execution: GraphExecution, task: Task, definition: TaskDef) -> Iterator[tuple[str, int]]:
    """The timeouts that are running, with their moments."""
    alerting = definition.timeout_policy == "ALERT_ONLY"
    if definition.total_timeout_seconds > 0 and not alerting:
        yield "totalTimeoutSeconds", task.first_scheduled + int(definition.total_timeout_seconds * SECOND)
    if definition.timeout_seconds > 0 and task.start_time and not alerting:
        begin = task.start_time + int(task.start_delay * SECOND)
        yield "timeoutSeconds", begin + int(definition.timeout_seconds * SECOND)
    if task.status == "SCHEDULED":
        if definition.poll_timeout_seconds and not alerting and not kinds.is_engine_task(task.kind):
            begin = max(task.scheduled_time, task.available_at)
            yield "pollTimeoutSeconds", begin + int(definition.poll_timeout_seconds * SECOND)
    elif definition.response_timeout_seconds > 0 and kinds.of(task).answers(execution, task):
        begin = task.update_time + int(task.callback_after * SECOND)
        yield "responseTimeoutSeconds", begin + int(definition.response_timeout_seconds * SECOND)


def _time_out(decision: Decision, task: Task, definition: TaskDef, which: str) -> None:
    seconds = {
        "totalTimeoutSeconds": definition.total_timeout_seconds,
        "timeoutSeconds": definition.timeout_seconds,
        "pollTimeoutSeconds": definition.poll_timeout_seconds,
        "responseTimeoutSeconds": definition.response_timeout_seconds,
    }[which]
    reason = f"Task {task.reference} timed out: {which} of {seconds} passed while it was {task.status}"
    decision.end(task, "TIMED_OUT", reason=reason)
    kinds.of(task).cancel(decision, task)
    if which != "responseTimeoutSeconds" and definition.timeout_policy == "TIME_OUT_WF":
        decision.execution.change_task(task, "timed_out", executed=True)
        closing.close(decision, "TIMED_OUT", closing.reason_of(task, "TIMED_OUT"), task)


def next_deadline(execution: GraphExecution, now: int) -> int | None:
    """The next moment at which this execution has to be looked at, whatever happens before."""
    state = execution.state
    if state.closed or state.queued:
        return None
    if execution.unfinished:
        return now
    moments: list[int] = []
    workflow_end = _workflow_end(execution)
    if workflow_end is not None:
        moments.append(workflow_end)
    if state.status != "PAUSED":
        for task in state.open.values():
            known = execution.quiet_until.get(task.number)
            moments.append(next_moment(execution, task, now) if known is None else known)
    return min((moment for moment in moments if moment < NEVER), default=None)


def next_moment(execution: GraphExecution, task: Task, now: int) -> int:
    """When the task has to be looked at; that may be past already if the process was held up. NEVER if at no time."""
    return min(_moments(execution, task, now), default=NEVER)


def _moments(execution: GraphExecution, task: Task, now: int) -> Iterator[int]:
    if not task.open:
        return
    if task.available_at > now or (task.available_at and _is_due(execution, task)):
        yield task.available_at
    for _, at in _ends(execution, task, execution.task_def(task)):
        yield at
    until = task.memory.get("until")
    if until is not None:
        yield until


def _is_due(execution: GraphExecution, task: Task) -> bool:
    """The time of the task has come, and nobody has noticed yet."""
    if task.status == "SCHEDULED":
        return task.number not in execution.offered
    return task.kind == "SYSTEM" and task.number not in execution.running and not kinds.of(task).waits(task)
