"""Tasks that look at, end or update other executions: GET_WORKFLOW, TERMINATE_WORKFLOW, UPDATE_TASK."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, get_args

from tenuto.graph.views import workflow_view
from tenuto.model.errors import RPCError
from tenuto.model.graph import TaskStatus
from tenuto.model.graph_messages import GraphTerminate, TaskUpdate
from tenuto.model.json_values import Json, decode_json, encode_json
from tenuto.model.system_tasks import SystemTask, SystemTaskResult
from tenuto.server.errors import ApiError
from tenuto.server.graph_calls import ask, look

if TYPE_CHECKING:
    from tenuto.server.services import Services

#: Executions that one task may end.
LIMIT = 100


class WorkflowTasks:
    """Runs them."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._kinds: dict[str, Callable[[dict[str, Json]], Awaitable[dict[str, Json]]]] = {
            "GET_WORKFLOW": self._get,
            "TERMINATE_WORKFLOW": self._terminate,
            "UPDATE_TASK": self._update,
        }
        self.types = frozenset(self._kinds)

    async def run(self, task: SystemTask) -> SystemTaskResult:
        """What the task comes to; what it asks for and can't have fails it."""
        try:
            return SystemTaskResult("COMPLETED", await self._kinds[task.task_type](task.input))
        except (RPCError, ApiError, ValueError) as error:
            return SystemTaskResult("FAILED", {}, f"{task.task_type}: {error}")

    async def _get(self, input: dict[str, Json]) -> dict[str, Json]:
        """Input `id` and `includeTasks`; the output is the workflow."""
        tasks = bool(input.get("includeTasks"))
        view = await look(self._services, _text(input, "id"), lambda graph: workflow_view(graph, tasks=tasks))
        workflow: dict[str, Json] = decode_json(encode_json(view))
        return workflow

    async def _terminate(self, input: dict[str, Json]) -> dict[str, Json]:
        """Input `workflowId`, one or a list, and `terminationReason`; the output says which were ended."""
        given = input.get("workflowId")
        ids = given if isinstance(given, list) else [_text(input, "workflowId")]
        if len(ids) > LIMIT:
            raise ValueError(f"workflowId names {len(ids)} workflows; at most {LIMIT} can be ended by one task")
        body = GraphTerminate(str(input.get("terminationReason") or ""), bool(input.get("triggerFailureWorkflow")))
        for workflow_id in ids:
            await ask(self._services, str(workflow_id), body)
        return {"workflowId": given, "terminationReason": body.reason}

    async def _update(self, input: dict[str, Json]) -> dict[str, Json]:
        """Input `taskStatus`, `taskOutput`, `mergeOutput`, and `taskId`, or `workflowId` with `taskRefName`."""
        status = _text(input, "taskStatus")
        if status not in get_args(TaskStatus):
            raise ValueError(f"taskStatus {status!r} is no status of a task")
        output = input.get("taskOutput") or {}
        if not isinstance(output, dict):
            raise ValueError("taskOutput must be an object")
        task_id = str(input.get("taskId") or "")
        workflow_id = input.get("workflowId") or (await self._services.workflow_of(task_id) if task_id else None)
        if not workflow_id:
            raise ValueError("it needs workflowId with taskRefName, or the taskId of a task that there is")
        reference = "" if task_id else _text(input, "taskRefName")
        update = TaskUpdate(
            status,  # type: ignore[arg-type]
            task_id=task_id,
            reference=reference,
            output=output,
            merge_output=bool(input.get("mergeOutput")),
        )
        await ask(self._services, str(workflow_id), update)
        return {"workflowId": workflow_id, "taskStatus": status}


def _text(input: dict[str, Json], name: str) -> str:
    value = input.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"the input needs {name}")
    return value
