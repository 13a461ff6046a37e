"""Signals: finish the task that a workflow, or a sub-workflow of it, waits at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from tenuto.graph.execution import GraphExecution
from tenuto.graph.views import shown_tasks
from tenuto.model.graph import TaskStatus
from tenuto.model.graph_messages import TaskUpdate
from tenuto.model.json_values import Json
from tenuto.server.graph_calls import ask, look
from tenuto.server.http import empty, json_response
from tenuto.server.waiting import DEPTH, Strategy, signal_response, wait

if TYPE_CHECKING:
    from tenuto.server.services import Services


async def signal(services: Services, workflow_id: str, status: TaskStatus, output: dict[str, Json]) -> bool:
    """Finish the first WAIT that is open, depth first. False if there is none. Raises ApiError (404)."""
    found = await _find(services, workflow_id, DEPTH)
    if found is None:
        return False
    holder, task_id = found
    await ask(services, holder, TaskUpdate(status, task_id=task_id, output=output, merge_output=True))
    return True


async def _find(services: Services, workflow_id: str, depth: int) -> tuple[str, str] | None:
    task_id, children = await look(services, workflow_id, _waiting)
    if task_id:
        return workflow_id, task_id
    for child_id in children if depth else ():
        found = await _find(services, child_id, depth - 1)
        if found is not None:
            return found
    return None


def _waiting(graph: GraphExecution) -> tuple[str, list[str]]:
    """The task of a workflow that waits, and the sub-workflows that run."""
    tasks = shown_tasks(graph)
    waiting = next((task.task_id for task in tasks if task.kind == "WAIT" and task.open), "")
    return waiting, [task.sub_workflow_id for task in tasks if task.sub_workflow_id and task.status == "IN_PROGRESS"]


async def signalled_view(services: Services, workflow_id: str, strategy: Strategy, timeout: float) -> Response:
    """What the workflow comes to after a signal."""
    seen, blocking, timed_out = await wait(services, workflow_id, (), timeout)
    body = signal_response(seen, blocking, timed_out, strategy, "")
    return empty() if body is None else json_response(body)
