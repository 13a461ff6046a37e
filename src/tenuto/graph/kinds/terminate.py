"""TERMINATE: ends the workflow with a status, a reason and an output of its choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph import closing
from tenuto.graph.kinds.kind import Kind
from tenuto.model.graph import Task

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision

STATUSES = ("COMPLETED", "FAILED", "TERMINATED")


class Terminate(Kind):
    def begin(self, decision: Decision, task: Task) -> None:
        status = task.input.get("terminationStatus")
        if status not in STATUSES:
            reason = f"terminationStatus is {status!r}; it must be one of {', '.join(STATUSES)}"
            decision.end(task, "FAILED", reason=reason)
            return
        output = task.input.get("workflowOutput")
        if not isinstance(output, dict):
            output = {} if output is None else {"output": output}
        reason = task.input.get("terminationReason") or (
            f"Workflow is {status} by TERMINATE task: {task.task_id} ({task.reference})"
        )
        decision.end(task, "COMPLETED", output)
        decision.execution.change_task(task, "settled", executed=True)
        closing.close(decision, status, str(reason), task, output=output)
