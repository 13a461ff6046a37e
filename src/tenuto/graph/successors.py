"""What comes after a task that has ended."""

from __future__ import annotations

from tenuto.graph.definitions import WorkflowTask
from tenuto.graph.execution import GraphExecution
from tenuto.model.graph import Task


def after(execution: GraphExecution, task: Task) -> WorkflowTask | None:
    """The next task of the definition; None at the end of the workflow, of a branch or of a loop's body, and for tasks
    that are in no definition (branches of a dynamic fork: their JOIN is there already)."""
    if task.parent_task_id and task.node is not None:
        return None  # it was added by a state change
    return execution.state.plan.after(task.base)
