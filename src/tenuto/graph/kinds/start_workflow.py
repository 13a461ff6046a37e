"""START_WORKFLOW: starts another execution and does not wait for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.kinds.kind import Kind
from tenuto.model.graph import Task
from tenuto.model.graph_messages import GraphStart

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class StartWorkflow(Kind):
    def begin(self, decision: Decision, task: Task) -> None:
        request = task.input.get("startWorkflow")
        if not isinstance(request, dict) or not request.get("name"):
            decision.end(
                task, "FAILED", reason="the input needs `startWorkflow`, an object with the name of a workflow"
            )
            return
        name, version = str(request["name"]), request.get("version")
        definitions = decision.context.definitions
        number = int(version) if isinstance(version, int | str) and str(version).isdigit() else None
        snapshot = definitions.snapshot(name, number)
        input = request.get("input") or {}
        if snapshot is None or not isinstance(input, dict):
            wanted = f"version {version} of {name}" if version else name
            problem = "its input must be an object" if snapshot else f"there is no workflow definition {wanted}"
            decision.end(task, "FAILED", reason=problem)
            return
        workflow_id = decision.context.new_id()
        decision.send(
            workflow_id,
            GraphStart(
                name,
                number or definitions.latest_version(name) or 1,
                snapshot,
                input,
                correlation_id=str(request.get("correlationId") or decision.state.correlation_id),
                priority=int(request.get("priority") or 0),
                task_to_domain=request.get("taskToDomain") or decision.state.started.task_to_domain,
                created_by=str(request.get("createdBy") or decision.state.started.created_by),
            ),
        )
        decision.end(task, "COMPLETED", {"workflowId": workflow_id})
