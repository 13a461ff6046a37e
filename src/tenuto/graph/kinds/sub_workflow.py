"""SUB_WORKFLOW: another execution, of a graph or of durable code, whose end is the end of the task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.definitions import (
    DefinitionError,
    WorkflowDef,
    WorkflowTask,
    decode_snapshot,
    decode_workflow_def,
    to_json,
)
from tenuto.graph.idempotency import idempotent_id
from tenuto.graph.json_payloads import json_payload
from tenuto.graph.kinds.kind import Kind
from tenuto.graph.schemas import input_problem
from tenuto.graph.start_parameters import BadStart, domains_of, priority_of, strategy_of, text_of, version_of
from tenuto.graph.validation import validate_workflow
from tenuto.model import messages as msg
from tenuto.model.events import ParentRef
from tenuto.model.graph import Task, TaskStatus
from tenuto.model.graph_messages import GraphStart, GraphTerminate
from tenuto.model.json_values import Json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision

#: How many sub-workflows may be inside each other.
NESTING = 100

STATUSES: dict[str, TaskStatus] = {
    "COMPLETED": "COMPLETED",
    "FAILED": "FAILED",
    "TERMINATED": "CANCELED",
    "TIMED_OUT": "TIMED_OUT",
}


class NotThere(Exception):
    """There is nothing of that name to start."""

    def __init__(self, name: str, version: int | None) -> None:
        self.name = name
        wanted = f"version {version} of {name!r}" if version else repr(name)
        super().__init__(
            f"there is no workflow definition {wanted}, and no worker of this process has code of that name"
        )


def _name_of(definition: Json) -> Json:
    return definition.get("name") if isinstance(definition, dict) else None


def _checked(inline: Json) -> WorkflowDef:
    """A definition that came as a value, checked as if it were registered. Raises DefinitionError."""
    definition = decode_workflow_def(inline)
    problems = validate_workflow(definition)
    if problems:
        raise DefinitionError(problems[0].path, problems[0].message)
    return definition


class SubWorkflow(Kind):
    quiet = True

    def make_input(self, decision: Decision, node: WorkflowTask, task: Task, old: dict[str, Json]) -> dict[str, Json]:
        """What is to be started, and with which input."""
        given: dict[str, Json] = {} if node.sub_workflow_param is None else to_json(node.sub_workflow_param)
        definition = given.pop("workflowDefinition", None)
        if isinstance(definition, str):
            definition = decision.value(definition, task)
        parameters: dict[str, Json] = decision.value(given, task)
        return {
            "subWorkflowName": parameters.get("name") or _name_of(definition) or node.name,
            "subWorkflowVersion": parameters.get("version"),
            "subWorkflowTaskToDomain": parameters.get("taskToDomain"),
            "subWorkflowDefinition": definition,
            "workflowInput": decision.input_of(node, task, old.get("workflowInput")),
            "priority": parameters.get("priority"),
            "idempotencyKey": parameters.get("idempotencyKey"),
            "idempotencyStrategy": parameters.get("idempotencyStrategy"),
        }

    def begin(self, decision: Decision, task: Task) -> None:
        try:
            child_id, body = self._start_message(decision, task)
        except (BadStart, DefinitionError) as error:
            decision.end(task, "FAILED_WITH_TERMINAL_ERROR", reason=f"the sub-workflow of {task.reference}: {error}")
            return
        except NotThere as error:
            if decision.looks_up(error.name):
                return
            decision.end(task, "FAILED", reason=str(error))
            return
        memory = task.memory | ({"code": True} if isinstance(body, msg.Start) else {})
        decision.start(task, sub_workflow_id=child_id, output={"subWorkflowId": child_id}, memory=memory)
        decision.send(child_id, body)

    def _start_message(self, decision: Decision, task: Task) -> tuple[str, GraphStart | msg.Start]:
        """The id of the child, and what starts it. Raises BadStart, DefinitionError, NotThere."""
        given, execution, started = task.input, decision.execution, decision.state.started
        if started.depth >= NESTING:
            raise BadStart(f"there are {NESTING} sub-workflows inside each other already; do they start themselves?")
        name, version = text_of(given["subWorkflowName"]), version_of(given["subWorkflowVersion"])
        input = given["workflowInput"]
        definitions = decision.context.definitions
        inline = given["subWorkflowDefinition"]
        if inline:
            definition = _checked(inline)
            snapshot: bytes | None = definitions.snapshot_of(definition)
            name, version, input = definition.name, definition.version, input | {"_systemMetadata": {"dynamic": True}}
        else:
            version = version or definitions.latest_version(name)
            snapshot = definitions.snapshot(name, version)
        parent = ParentRef(execution.workflow_id, started.run_id, task.number)
        key = text_of(given["idempotencyKey"])
        if key:
            child_id = idempotent_id(name, key, int(task.memory.get("number", 0)))
        else:
            child_id = decision.context.new_workflow_id()
        if snapshot is None:
            queue = definitions.code(name)
            if queue is None:
                raise NotThere(name, version)
            return child_id, msg.Start(name, queue, [json_payload(input)], child_id, parent=parent)
        problem = input_problem(decode_snapshot(snapshot).workflow, input, definitions)
        if problem:
            raise BadStart(problem)
        return child_id, GraphStart(
            name,
            version or 1,
            snapshot,
            input,
            correlation_id=decision.state.correlation_id,
            priority=priority_of(given["priority"]),
            task_to_domain=domains_of(given["subWorkflowTaskToDomain"]) or started.task_to_domain,
            created_by=started.created_by,
            idempotency_key=key,
            existing_is_fine=bool(key) and strategy_of(given["idempotencyStrategy"]) == "RETURN_EXISTING",
            parent=parent,
            parent_task_id=task.task_id,
            depth=started.depth + 1,
        )

    def child_not_started(self, decision: Decision, task: Task, cause: str, existing_closed: bool) -> None:
        """There is an execution with the child's id already, which its idempotency key gave it."""
        if existing_closed and task.input.get("idempotencyStrategy") == "FAIL_ON_RUNNING":
            memory = {"number": int(task.memory.get("number", 0)) + 1}
            decision.execution.change_task(task, "next_number", status="SCHEDULED", memory=memory)
            return
        key = task.input.get("idempotencyKey")
        why = f" (idempotencyKey {key!r})" if key else ""
        decision.end(task, "FAILED", {}, f"the sub-workflow could not be started: {cause}{why}", sub_workflow_id="")

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
            parent = ParentRef(decision.execution.workflow_id, decision.state.started.run_id, task.number)
            decision.send(task.sub_workflow_id, GraphTerminate(reason, parent=parent))
