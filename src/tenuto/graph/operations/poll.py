"""A task is handed out: to a worker, or to the engine's own system tasks."""

from __future__ import annotations

from tenuto.graph.context import Context
from tenuto.graph.decision import Decision
from tenuto.graph.execution import GraphExecution
from tenuto.model.graph import Task


def hand_out(execution: GraphExecution, context: Context, number: int, worker_id: str) -> Task | None:
    """Mark the task as taken by `worker_id`. None if it is not there to be taken any more."""
    task = execution.state.tasks.get(number)
    if task is None or task.status != "SCHEDULED" or execution.state.closed:
        return None
    execution.offered.discard(number)
    Decision(execution, context).start(
        task, "polled", worker_id=worker_id, poll_count=task.poll_count + 1, callback_after=0.0
    )
    return task
