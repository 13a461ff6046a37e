"""The actions of event handlers. Each can be run again for the same message and does what it does once."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, uuid5

import msgspec

from tenuto.graph.execution import GraphExecution
from tenuto.model.graph_messages import GraphSetVariables, GraphTerminate, TaskUpdate, TaskUpdated
from tenuto.model.json_values import Json
from tenuto.server.decoding import converted
from tenuto.server.errors import bad_request, not_found
from tenuto.server.event_handlers import Action, StartWorkflowAction, TaskAction, TerminateAction, VariablesAction
from tenuto.server.event_payloads import expanded, filled
from tenuto.server.graph_calls import ask, look
from tenuto.server.starts import StartWorkflowRequest, start

if TYPE_CHECKING:
    from tenuto.server.services import Services

#: Added to the input or output that an action gives: the message, and the queue that it came from.
MESSAGE_ID, EVENT_NAME = "conductor.event.messageId", "conductor.event.name"


class Cause(msgspec.Struct, frozen=True):
    """The message that an action is run for, and the key under which the execution is on record."""

    event: str
    message_id: str
    payload: dict[str, Json]
    key: str

    def marks(self) -> dict[str, Json]:
        return {MESSAGE_ID: self.message_id, EVENT_NAME: self.event}


async def locate(services: Services, action: Action, cause: Cause) -> str | None:
    """The id of the task that an action is about, None if it is about none.

    It is to be on record before the action is run: run again, the action means the same task, not one that got the same
    name meanwhile. Raises ApiError (404)."""
    parameters = _parameters(action, cause)
    if not isinstance(parameters, TaskAction):
        return None
    if parameters.task_id:
        return parameters.task_id
    reference = parameters.task_ref_name or ""
    if not parameters.workflow_id:
        raise bad_request("the message has no value for workflowId")
    task_id = await look(services, parameters.workflow_id, lambda graph: _latest(graph, reference))
    if task_id is None:
        raise not_found(f"workflow {parameters.workflow_id} has no open task {reference!r}")
    return task_id


async def run(services: Services, action: Action, cause: Cause, task_id: str | None) -> dict[str, Json]:
    """Run an action; returns its output. Raises ApiError, RPCError, ExpressionError or StoreError."""
    parameters = _parameters(action, cause)
    match parameters:
        case StartWorkflowAction():
            return await _start(services, parameters, cause)
        case TaskAction():
            return await _update(services, action, parameters, cause, task_id or "")
        case TerminateAction():
            await ask(services, parameters.workflow_id, GraphTerminate(parameters.termination_reason or ""))
            return {"workflowId": parameters.workflow_id}
        case VariablesAction():
            body = GraphSetVariables(parameters.variables, bool(parameters.append_array))
            await ask(services, parameters.workflow_id, body)
            return {"workflowId": parameters.workflow_id, "variables": parameters.variables}
    raise bad_request(f"{action.action} is not supported")


Parameters = StartWorkflowAction | TaskAction | TerminateAction | VariablesAction


def _parameters(action: Action, cause: Cause) -> Parameters | None:
    """The parameters of an action with the message's values in them."""
    parameters: Parameters | None = getattr(action, action.action)
    if parameters is None:
        return None
    payload = expanded(cause.payload) if action.expand_inline_json else cause.payload
    return converted(filled(msgspec.to_builtins(parameters), payload), type(parameters))


async def _start(services: Services, parameters: StartWorkflowAction, cause: Cause) -> dict[str, Json]:
    domains = parameters.task_to_domain
    if domains is None:
        domains = cause.payload.get("taskToDomain")
    request = converted(
        {
            "name": parameters.name,
            "version": parameters.version or None,
            "correlationId": parameters.correlation_id,
            "input": parameters.input | cause.marks(),
            "taskToDomain": domains if isinstance(domains, dict) else {},
            "priority": parameters.priority,
            "createdBy": parameters.created_by,
            "idempotencyKey": parameters.idempotency_key,
            "idempotencyStrategy": parameters.idempotency_strategy,
        },
        StartWorkflowRequest,
    )
    workflow_id = str(uuid5(NAMESPACE_OID, f"event\x00{cause.event}\x00{cause.key}"))
    return {"workflowId": await start(services, request, cause.event, workflow_id)}


async def _update(
    services: Services, action: Action, parameters: TaskAction, cause: Cause, task_id: str
) -> dict[str, Json]:
    workflow_id = parameters.workflow_id or await services.workflow_of(task_id)
    if workflow_id is None:
        raise not_found(f"there is no task with the id {task_id!r}")
    output = {
        "workflowId": workflow_id,
        "taskId": task_id,
        "taskRefName": parameters.task_ref_name,
        **parameters.output,
        **cause.marks(),
    }
    update = TaskUpdate(
        "COMPLETED" if action.action == "complete_task" else "FAILED",
        task_id=task_id,
        output=output,
        reason=parameters.reason_for_incompletion or "",
    )
    answer = await ask(services, workflow_id, update)
    assert isinstance(answer, TaskUpdated)
    return output | ({"ignored": "the task had ended already"} if answer.ignored else {})


def _latest(graph: GraphExecution, reference: str) -> str | None:
    """The id of the open task of a name; of several iterations of a loop, the latest."""
    tasks = [task for task in graph.state.open.values() if task.open]
    named = [task for task in tasks if task.reference == reference] or [
        task for task in tasks if task.base == reference
    ]
    return named[-1].task_id if named else None
