"""What the executions that a graph has started tell it."""

from __future__ import annotations

from tenuto.graph import kinds
from tenuto.graph.context import Context
from tenuto.graph.decision import Decision
from tenuto.graph.execution import GraphExecution
from tenuto.graph.json_payloads import payload_json
from tenuto.graph.operations.revive import has_graph_child
from tenuto.model.graph import Task
from tenuto.model.json_values import Json
from tenuto.model.messages import ChildClosed, ChildStarted, ChildStartFailed
from tenuto.model.policies import ExecutionStatus


def child_started(execution: GraphExecution, context: Context, request: ChildStarted) -> None:
    """The child is there; the task says so already."""


def child_not_started(execution: GraphExecution, context: Context, request: ChildStartFailed) -> None:
    """The child could not be started."""
    task = _task(execution, request.initiated_event_id)
    if task is not None:
        decision = Decision(execution, context)
        kinds.of(task).child_not_started(decision, task, request.cause, request.existing_closed)


def child_closed(execution: GraphExecution, context: Context, request: ChildClosed) -> None:
    """The child has ended; its status is given in Conductor's words."""
    task = _task(execution, request.initiated_event_id)
    if task is None or _is_of_another_time(task, request):
        return
    value = payload_json(request.result)
    output: dict[str, Json] = value if isinstance(value, dict) else {} if value is None else {"result": value}
    status = "TERMINATED" if request.status is ExecutionStatus.CANCELED else request.status.name
    reason = "" if request.failure is None else request.failure.message
    kinds.of(task).child_closed(Decision(execution, context), task, status, output, reason)


def _is_of_another_time(task: Task, request: ChildClosed) -> bool:
    """Does the news come from a child that the task had before a rerun? (The run id of a graph is its id.)"""
    return has_graph_child(task) and task.sub_workflow_id != request.run_id


def _task(execution: GraphExecution, number: int) -> Task | None:
    """The open task that started the child; None if it has been given up."""
    task = execution.state.tasks.get(number)
    return task if task is not None and task.open and not execution.state.closed else None
