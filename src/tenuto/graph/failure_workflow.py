"""The workflow that is started when this one fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.views import workflow_view
from tenuto.model.graph import Task
from tenuto.model.graph_messages import GraphStart
from tenuto.model.json_values import Json, decode_json, encode_json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


def start(decision: Decision, task: Task | None) -> None:
    """Start the failure workflow, if the definition names one; the output says which execution it is, or why not."""
    state, definition = decision.state, decision.state.plan.snapshot.workflow
    name: Json = definition.failure_workflow
    if name and name.startswith("$"):
        name = decision.value(name if name.startswith("${") else "${workflow.input." + name.lstrip("$.") + "}")
    if not name:
        return
    if not isinstance(name, str):
        problem = f"Failure workflow was not started: its name must be a text, not {type(name).__name__}"
        decision.execution.change("output", output=state.output | {"conductor.failure_workflow": problem})
        return
    snapshot = decision.context.definitions.snapshot(name, definition.failure_workflow_version)
    if snapshot is None:
        problem = f"Failure workflow {name} was not started: there is no such workflow definition"
        decision.execution.change("output", output=state.output | {"conductor.failure_workflow": problem})
        return
    version = definition.failure_workflow_version or decision.context.definitions.latest_version(name) or 1
    workflow_id = decision.context.new_id()
    input = state.input | {
        "workflowId": decision.execution.workflow_id,
        "reason": state.reason,
        "failureStatus": state.status,
        "failureTaskId": task.task_id if task is not None else "",
        "failedWorkflow": decode_json(encode_json(workflow_view(decision.execution))),
    }
    decision.send(
        workflow_id,
        GraphStart(
            name,
            version,
            snapshot,
            input,
            correlation_id=state.correlation_id,
            task_to_domain=state.started.task_to_domain,
        ),
    )
    decision.execution.change("failure_workflow", output=state.output | {"conductor.failure_workflow": workflow_id})
