"""Waiting for an execution to get somewhere: to its end, to a task that waits for somebody, to a task of a name."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from tenuto.graph.execution import GraphExecution
from tenuto.graph.views import workflow_view
from tenuto.model.graph import Task
from tenuto.model.json_values import Json
from tenuto.server.graph_calls import look

if TYPE_CHECKING:
    from tenuto.server.services import Services

#: Seconds that a request may wait at most.
LONGEST_WAIT = 600.0
#: Sub-workflows, and what other servers own, are looked at again after this time, whatever they do; those of other
#: servers at first sooner.
AGAIN = 0.25
SOON = 0.01
#: How deep sub-workflows are followed.
DEPTH = 32

Strategy: TypeAlias = Literal["TARGET_WORKFLOW", "BLOCKING_WORKFLOW", "BLOCKING_TASK", "BLOCKING_TASK_INPUT"]


class Blocking(Struct, frozen=True):
    """The task that a workflow waits at, rendered, and the workflow that holds it."""

    workflow: dict[str, Json]
    task: dict[str, Json]


class Seen(Struct, frozen=True):
    """What one look at an execution shows."""

    workflow: dict[str, Json]
    """Its view, which takes time to make; empty while the wait goes on."""
    closed: bool
    reached: str
    """The id of the first task that ends the wait."""
    children: list[str]
    """Sub-workflows that run."""


def see(graph: GraphExecution, references: Collection[str], *, whole: bool = False) -> Seen:
    """Look at an execution: is it where somebody waits for it to be? `whole`: show it even if it isn't."""
    tasks = graph.state.tasks.values()
    reached = next((task.task_id for task in tasks if _is_reached(task, references)), "")
    children = [task.sub_workflow_id for task in tasks if task.sub_workflow_id and task.status == "IN_PROGRESS"]
    view = workflow_view(graph) if whole or reached or graph.state.closed else {}
    return Seen(view, graph.state.closed, reached, children)


def _is_reached(task: Task, references: Collection[str]) -> bool:
    waits = task.kind == "HUMAN" or (task.kind == "WAIT" and "until" not in task.memory)
    if waits and task.status == "IN_PROGRESS":
        return True
    if task.reference not in references and task.base not in references:
        return False
    return not task.open or (task.kind == "SIMPLE" and task.status == "IN_PROGRESS")


async def wait(
    services: Services, workflow_id: str, references: Collection[str], timeout: float
) -> tuple[Seen, Blocking | None, bool]:
    """Wait until the execution has ended, or it or a sub-workflow of it waits for somebody, or a task of one of these
    reference names has ended (a worker's: was polled). Returns what it is like then, the task that it waits at, and
    whether the time ran out before. Raises ApiError (404)."""
    changed = asyncio.Event()
    stop = services.graphs.subscribe(workflow_id, changed.set)
    deadline = asyncio.get_running_loop().time() + min(timeout, LONGEST_WAIT)
    pause = SOON
    try:
        while True:
            changed.clear()
            seen = await look(services, workflow_id, lambda graph: see(graph, references))
            blocking = None if seen.closed else await _blocking(services, seen, references, DEPTH)
            left = deadline - asyncio.get_running_loop().time()
            if seen.closed or blocking is not None or left <= 0 or services.stopping.is_set():
                if not seen.workflow:
                    seen = await look(services, workflow_id, lambda graph: see(graph, references, whole=True))
                return seen, blocking, not seen.closed and blocking is None
            if not services.engine.owns(workflow_id):
                left, pause = min(left, pause), min(2 * pause, AGAIN)
            elif seen.children:
                left = min(left, AGAIN)
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await changed.wait()
    finally:
        stop()


async def _blocking(services: Services, seen: Seen, references: Collection[str], depth: int) -> Blocking | None:
    if seen.reached:
        task = next(task for task in seen.workflow["tasks"] if task["taskId"] == seen.reached)
        return Blocking(seen.workflow, task)
    for child_id in seen.children if depth else ():
        child = await services.graphs.look(child_id, lambda graph: see(graph, references))
        if child is not None and not child.closed:
            found = await _blocking(services, child, references, depth - 1)
            if found is not None:
                return found
    return None


def signal_response(
    seen: Seen, blocking: Blocking | None, timed_out: bool, strategy: Strategy, request_id: str
) -> dict[str, Json] | None:
    """The answer in the form that the strategy asks for; None if it asks for a blocking task and there is none."""
    target = seen.workflow
    common: dict[str, Json] = {
        "responseType": strategy,
        "targetWorkflowId": target["workflowId"],
        "targetWorkflowStatus": target["status"],
        "requestId": request_id,
        "signalTimeout": timed_out,
    }
    if strategy in ("BLOCKING_TASK", "BLOCKING_TASK_INPUT"):
        return None if blocking is None else common | _task_run(blocking)
    workflow = blocking.workflow if strategy == "BLOCKING_WORKFLOW" and blocking is not None else target
    return common | _workflow_run(workflow)


_WORKFLOW_FIELDS = (
    "workflowId",
    "correlationId",
    "input",
    "output",
    "priority",
    "variables",
    "tasks",
    "createdBy",
    "createTime",
    "updateTime",
    "status",
    "reasonForIncompletion",
)


def _workflow_run(workflow: dict[str, Json]) -> dict[str, Json]:
    return {name: workflow[name] for name in _WORKFLOW_FIELDS if name in workflow}


def _task_run(blocking: Blocking) -> dict[str, Json]:
    task, workflow = blocking.task, blocking.workflow
    run: dict[str, Json] = {
        "workflowId": task["workflowInstanceId"],
        "input": task["inputData"],
        "output": task["outputData"],
        "taskType": task["taskType"],
        "taskId": task["taskId"],
        "referenceTaskName": task["referenceTaskName"],
        "retryCount": task["retryCount"],
        "taskDefName": task["taskDefName"],
        "workflowType": task["workflowType"],
        "priority": task["workflowPriority"],
        "variables": workflow["variables"],
        "tasks": [task],
        "createTime": task["startTime"],
        "updateTime": task["updateTime"],
        "status": task["status"],
    }
    for name, source in (
        ("correlationId", "correlationId"),
        ("retriedTaskId", "retriedTaskId"),
        ("reasonForIncompletion", "reasonForIncompletion"),
        ("createdBy", "workerId"),
    ):
        if source in task:
            run[name] = task[source]
    return run
