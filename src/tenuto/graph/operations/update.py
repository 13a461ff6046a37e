"""What workers say of their tasks."""

from __future__ import annotations

from tenuto.graph.context import Context
from tenuto.graph.decision import SECOND, Decision
from tenuto.graph.execution import GraphExecution
from tenuto.graph.refusal import Refusal
from tenuto.model.errors import RPCStatusCode
from tenuto.model.graph import Task
from tenuto.model.graph_messages import TaskUpdate, TaskUpdated
from tenuto.model.json_values import Json

LONGEST_REASON = 500


def update(execution: GraphExecution, context: Context, request: TaskUpdate) -> TaskUpdated:
    """Take an update in. One that comes too late changes nothing and says so. Raises Refusal (NOT_FOUND) if there is
    no such task."""
    task = find(execution, request)
    decision = Decision(execution, context)
    if request.variables and not execution.state.closed:
        execution.change("variables", variables=request.variables)
    if not task.open or execution.state.closed:
        return _answer(task, ignored=True)
    if request.extend_lease:
        execution.change_task(task, "lease_extended")
        return _answer(task)
    output = task.output | request.output if request.merge_output else request.output
    changes: dict[str, Json] = {}
    if request.worker_id:
        changes["worker_id"] = request.worker_id
    if request.sub_workflow_id:
        changes["sub_workflow_id"] = request.sub_workflow_id
    if request.status not in ("IN_PROGRESS", "SCHEDULED"):
        decision.end(task, request.status, output, request.reason[:LONGEST_REASON], **changes)
        return _answer(task)
    if request.reason:
        changes["reason"] = request.reason[:LONGEST_REASON]
    _put_back(decision, task, output, request.callback_after, changes)
    return _answer(task)


def _put_back(
    decision: Decision, task: Task, output: dict[str, Json], callback_after: float, changes: dict[str, Json]
) -> None:
    """The worker has more to do: the task can be polled again, after `callback_after` seconds."""
    decision.retract(task)
    decision.execution.change_task(
        task,
        "in_progress",
        status="SCHEDULED" if task.kind == "SIMPLE" else "IN_PROGRESS",
        output=output,
        callback_after=callback_after,
        available_at=decision.now + int(callback_after * SECOND),
        **changes,
    )


def find(execution: GraphExecution, request: TaskUpdate) -> Task:
    """The task that an update is about. By reference: the first open one of that name, else one inside of a loop."""
    state = execution.state
    if request.task_id:
        for task in state.tasks.values():
            if task.task_id == request.task_id:
                return task
    else:
        waiting = [task for task in state.open.values() if task.open]
        for task in waiting:
            if task.reference == request.reference:
                return task
        for task in waiting:
            if task.base == request.reference:
                return task
    what = f"task {request.task_id}" if request.task_id else f"open task with the reference name {request.reference!r}"
    raise Refusal(f"there is no {what} in workflow {execution.workflow_id}", RPCStatusCode.NOT_FOUND, "no_task")


def _answer(task: Task, ignored: bool = False) -> TaskUpdated:
    return TaskUpdated(task.task_id, task.task_type, task.domain, not task.open, ignored)
