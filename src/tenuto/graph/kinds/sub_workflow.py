"""SUB_WORKFLOW: another execution, of a graph or of durable code, whose end is the end of the task."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, uuid5

from tenuto.graph.definitions import DefinitionError, WorkflowTask, decode_workflow_def, to_json
from tenuto.graph.json_payloads import json_payload
from tenuto.graph.kinds.kind import Kind
from tenuto.model import messages as msg
from tenuto.model.events import ParentRef
from tenuto.model.graph import Task, TaskStatus
from tenuto.model.graph_messages import GraphStart, GraphTerminate
from tenuto.model.json_values import Json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision

STATUSES: dict[str, TaskStatus] = {
    "COMPLETED": "COMPLETED",
    "FAILED": "FAILED",
    "TERMINATED": "CANCELED",
    "TIMED_OUT": "TIMED_OUT",
}


class SubWorkflow(Kind):
    def make_input(self, decision: Decision, node: WorkflowTask, task: Task, old: dict[str, Json]) -> dict[str, Json]:
        """What is to be started, and with which input."""
        given: dict[str, Json] = {} if node.sub_workflow_param is None else to_json(node.sub_workflow_param)
        definition = given.pop("workflowDefinition", None)
        if isinstance(definition, str):
            definition = decision.value(definition, task)
        parameters: dict[str, Json] = decision.value(given, task)
        return {
            "subWorkflowName": parameters.get("name") or (definition or {}).get("name") or node.name,
            "subWorkflowVersion": parameters.get("version"),
            "subWorkflowTaskToDomain": parameters.get("taskToDomain"),
            "subWorkflowDefinition": definition,
            "workflowInput": decision.input_of(node, task, old.get("workflowInput")),
            "priority": parameters.get("priority"),
            "idempotencyKey": parameters.get("idempotencyKey"),
            "idempotencyStrategy": parameters.get("idempotencyStrategy"),
        }

    def begin(self, decision: Decision, task: Task) -> None:
        execution = decision.execution
        child_id = str(uuid5(NAMESPACE_OID, f"{execution.workflow_id}:{task.task_id}:{execution.next_event_id}"))
        parent = ParentRef(execution.workflow_id, decision.state.started.run_id, task.number)
        body = self._start_message(decision, task, child_id, parent)
        if body is None:
            return
        memory: dict[str, Json] = {"code": True} if isinstance(body, msg.Start) else {}
        decision.start(task, sub_workflow_id=child_id, output={"subWorkflowId": child_id}, memory=memory)
        decision.send(child_id, body)

    def _start_message(
        self, decision: Decision, task: Task, child_id: str, parent: ParentRef
    ) -> GraphStart | msg.Start | None:
        """What starts the child. None, and the task has failed, if there is nothing to start."""
        name, version = str(task.input["subWorkflowName"]), task.input["subWorkflowVersion"]
        input: dict[str, Json] = task.input["workflowInput"]
        inline = task.input["subWorkflowDefinition"]
        definitions, started = decision.context.definitions, decision.state.started
        try:
            if inline:
                definition = decode_workflow_def(inline)
                snapshot: bytes | None = definitions.snapshot_of(definition)
                version, input = definition.version, input | {"_systemMetadata": {"dynamic": True}}
            else:
                version = int(version) if version not in (None, "") else definitions.latest_version(name)
                snapshot = definitions.snapshot(name, version)
        except (DefinitionError, ValueError) as error:
            decision.end(task, "FAILED_WITH_TERMINAL_ERROR", reason=f"the sub-workflow of {task.reference}: {error}")
            return None
        if snapshot is not None:
            return GraphStart(
                name,
                int(version or 1),
                snapshot,
                input,
                correlation_id=decision.state.correlation_id,
                priority=int(task.input["priority"] or 0),
                task_to_domain=task.input["subWorkflowTaskToDomain"] or started.task_to_domain,
                created_by=started.created_by,
                parent=parent,
                parent_task_id=task.task_id,
            )
        queue = definitions.code(name)
        if queue is not None:
            return msg.Start(name, queue, [json_payload(input)], child_id, parent=parent)
        wanted = f"version {version} of {name}" if version else name
        reason = f"there is no workflow definition {wanted}, and no worker of this process has code of that name"
        decision.end(task, "FAILED", reason=reason)
        return None

    def child_closed(self, decision: Decision, task: Task, status: str, output: dict[str, Json], reason: str) -> None:
        text = ""
        if status != "COMPLETED":
            name = f"{task.input.get('subWorkflowName')}.{task.input.get('subWorkflowVersion') or 'latest'}"
            text = f"Sub workflow {name}/{task.sub_workflow_id}.{status} failure reason: {reason}"
        decision.end(task, STATUSES.get(status, "FAILED"), task.output | output, reason=text)

    def cancel(self, decision: Decision, task: Task) -> None:
        if not task.sub_workflow_id:
            return
        reason = "Parent workflow has been terminated with reason: " + (decision.state.reason or task.reason or "ended")
        if task.memory.get("code"):
            decision.send(task.sub_workflow_id, msg.Terminate(reason))
        else:
            decision.send(task.sub_workflow_id, GraphTerminate(reason, by_parent=True))
