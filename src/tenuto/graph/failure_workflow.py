"""The workflow that is started when this one fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.templates import ExpressionError
from tenuto.graph.views import workflow_view
from tenuto.model.graph import Task
from tenuto.model.graph_messages import GraphStart
from tenuto.model.json_values import decode_json, encode_json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision


class NotStarted(Exception):
    """Why the failure workflow is not there."""


def start(decision: Decision, task: Task | None) -> None:
    """Start the failure workflow, if the definition names one; the output says which execution it is, or why not."""
    state, definition = decision.state, decision.state.plan.snapshot.workflow
    try:
        name = _name(decision, definition.failure_workflow)
        if not name:
            return
        snapshot = decision.context.definitions.snapshot(name, definition.failure_workflow_version)
        if snapshot is None:
            raise NotStarted(f"{name} was not started: there is no such workflow definition")
    except NotStarted as error:
        decision.execution.change(
            "output", output=state.output | {"conductor.failure_workflow": f"Failure workflow {error}"}
        )
        return
    version = definition.failure_workflow_version or decision.context.definitions.latest_version(name) or 1
    workflow_id = decision.context.new_workflow_id()
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


def _name(decision: Decision, given: str | None) -> str | None:
    if not given or not given.startswith("$"):
        return given
    try:
        name = decision.value(given if given.startswith("${") else "${workflow.input." + given.lstrip("$.") + "}")
    except ExpressionError as error:
        raise NotStarted(f"was not started: {error}") from None
    if name and not isinstance(name, str):
        raise NotStarted(f"was not started: its name must be a text, not {type(name).__name__}")
    return name or None
