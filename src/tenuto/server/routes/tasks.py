"""Tasks: polled, updated, looked at."""

from __future__ import annotations

import asyncio
from typing import Annotated, cast

from msgspec import Meta, Struct
from starlette.responses import Response

from tenuto.graph.execution import GraphExecution
from tenuto.graph.views import task_view, workflow_view
from tenuto.model.graph import TaskStatus
from tenuto.model.graph_messages import TaskUpdate, TaskUpdated
from tenuto.model.json_values import Json, decode_json
from tenuto.model.messages import Answer
from tenuto.server.errors import bad_request, not_found
from tenuto.server.graph_calls import ask, ask_or_nothing, check, look
from tenuto.server.http import Call, empty, encoded_response, json_response, no_content, text_response
from tenuto.server.routing import Family, Text
from tenuto.server.signals import signal, signalled_view
from tenuto.server.task_logs import LogEntry, read_logs, write_logs
from tenuto.server.task_results import TaskResult, locate, to_update
from tenuto.server.waiting import Strategy

tasks = Family("Tasks", "TASK")

#: Seconds that a poll may wait at most.
LONGEST_POLL = 60.0
#: Tasks that one batch poll may ask for.
LARGEST_BATCH = 1_000

UPDATE_STATUSES = ("IN_PROGRESS", "FAILED", "FAILED_WITH_TERMINAL_ERROR", "COMPLETED", "CANCELED")


class PollQuery(Struct):
    workerid: str = ""
    domain: str = ""
    count: Annotated[int, Meta(ge=1, le=LARGEST_BATCH)] = 1
    timeout: Annotated[int, Meta(ge=0)] = 100


class WorkerQuery(Struct):
    workerid: str = ""


@tasks.get("/tasks/poll/{type}", access="EXECUTE", query=PollQuery)
async def poll(call: Call) -> Response:
    """Take one task of a type; 204 if there is none."""
    query = call.query(PollQuery)
    found = await _poll(call, query, 1)
    return encoded_response(found[0]) if found else no_content()


@tasks.get("/tasks/poll/batch/{type}", access="EXECUTE", query=PollQuery)
async def poll_batch(call: Call) -> Response:
    """Take up to `count` tasks of a type; waits up to `timeout` milliseconds for the first."""
    query = call.query(PollQuery)
    found = await _poll(call, query, query.count)
    return encoded_response(b"[" + b",".join(found) + b"]")


async def _poll(call: Call, query: PollQuery, count: int) -> list[bytes]:
    services = call.services
    timeout = 0.0 if services.stopping.is_set() else min(query.timeout / 1000, LONGEST_POLL)
    queues = services.graphs.queues
    poller = queues.poll(call.path_params["type"], query.domain, query.workerid, count, timeout, services.render_task)
    if timeout <= 0 or poller.found:
        return await poller.future
    await call.body()
    gone = asyncio.create_task(call.until_gone())
    try:
        await asyncio.wait((poller.future, gone), return_when=asyncio.FIRST_COMPLETED)
        if not gone.done():
            return poller.future.result()
    finally:
        gone.cancel()
    queues.leave(poller)
    await _give_back(call, poller.found)
    return []


async def _give_back(call: Call, tasks: list[bytes]) -> None:
    """Whoever waited for these tasks has hung up: let others have them."""
    for task in map(decode_json, tasks):
        update = TaskUpdate("IN_PROGRESS", task_id=task["taskId"], merge_output=True)
        await ask(call.services, task["workflowInstanceId"], update)


@tasks.post("/tasks", body=TaskResult, answer=Text)
async def update(call: Call) -> Response:
    """Say what became of a task."""
    result = await call.decode(TaskResult)
    await _update(call, result)
    return text_response(result.task_id)


@tasks.post("/tasks/update-v2", body=TaskResult)
async def update_and_poll(call: Call) -> Response:
    """Say what became of a task, and take the next one of its type and domain; 204 if there is none."""
    result = await call.decode(TaskResult)
    services = call.services
    workflow_id = await locate(services, result)
    request = await to_update(services, result)
    answer, found = await services.graphs.update_and_poll(
        workflow_id, request, result.worker_id or "", services.render_task
    )
    check(answer)
    await _taken(call, result, answer)
    return encoded_response(found[0]) if found else no_content()


async def _update(call: Call, result: TaskResult) -> None:
    workflow_id = await locate(call.services, result)
    await _taken(call, result, await ask(call.services, workflow_id, await to_update(call.services, result)))


async def _taken(call: Call, result: TaskResult, answer: Answer) -> None:
    """An update was taken in, or came too late."""
    if isinstance(answer, TaskUpdated) and answer.ignored:
        call.services.metrics.updates_ignored.inc()
    if result.logs:
        await write_logs(call.services, result.workflow_instance_id or "", result.task_id, result.logs)


@tasks.post("/tasks/{workflowId}/{reference}/{status}", query=WorkerQuery, body=dict[str, Json], answer=Text)
async def update_by_reference(call: Call) -> Response:
    """Say what became of the open task with a reference name; nothing happens if there is none."""
    answer = await _update_by_reference(call)
    return empty() if answer is None else text_response(answer.task_id)


@tasks.post("/tasks/{workflowId}/{reference}/{status}/sync", query=WorkerQuery, body=dict[str, Json])
async def update_by_reference_sync(call: Call) -> Response:
    """As the update by reference name, answering with the workflow; 404 if nothing was open."""
    answer = await _update_by_reference(call)
    if answer is None:
        raise not_found(f"there is no open task {call.path_params['reference']!r} in this workflow")
    return json_response(await look(call.services, call.path_params["workflowId"], workflow_view))


async def _update_by_reference(call: Call) -> TaskUpdated | None:
    request = TaskUpdate(
        _status(call),
        reference=call.path_params["reference"],
        output=await call.json_object(),
        merge_output=True,
        worker_id=call.query(WorkerQuery).workerid,
    )
    answer = await ask_or_nothing(call.services, call.path_params["workflowId"], request, "no_task")
    assert answer is None or isinstance(answer, TaskUpdated)
    return answer


def _status(call: Call) -> TaskStatus:
    status = call.path_params["status"]
    if status not in UPDATE_STATUSES:
        raise bad_request(f"the status in the path must be one of {', '.join(UPDATE_STATUSES)}, not {status!r}")
    return cast(TaskStatus, status)


class SignalQuery(Struct, rename="camel"):
    return_strategy: Strategy = "TARGET_WORKFLOW"
    timeout_millis: Annotated[int, Meta(ge=0)] = 5000


@tasks.post("/tasks/{workflowId}/{status}/signal", body=dict[str, Json])
async def signal_workflow(call: Call) -> Response:
    """Finish the first task that waits for a signal, here or in a sub-workflow; nothing happens if there is none."""
    await signal(call.services, call.path_params["workflowId"], _status(call), await call.json_object())
    return empty()


@tasks.post("/tasks/{workflowId}/{status}/signal/sync", query=SignalQuery, body=dict[str, Json])
async def signal_workflow_sync(call: Call) -> Response:
    """As the signal, answering with what the workflow comes to; 404 if nothing waited."""
    query = call.query(SignalQuery)
    workflow_id = call.path_params["workflowId"]
    output = await call.json_object()
    if not await signal(call.services, workflow_id, _status(call), output):
        raise not_found(f"no task of workflow {workflow_id} waits for a signal")
    return await signalled_view(call.services, workflow_id, query.return_strategy, query.timeout_millis / 1000)


@tasks.get("/tasks/{taskId}")
async def task(call: Call) -> Response:
    """One task."""
    task_id = call.path_params["taskId"]
    workflow_id = await call.services.workflow_of(task_id)

    def render(graph: GraphExecution) -> Json:
        return next((task_view(graph, task) for task in graph.state.tasks.values() if task.task_id == task_id), None)

    view = None if workflow_id is None else await call.services.graphs.look(workflow_id, render)
    if view is None:
        raise not_found(f"there is no task with the id {task_id!r}")
    return json_response(view)


@tasks.get("/tasks/{taskId}/log", answer=list[LogEntry])
async def logs(call: Call) -> Response:
    """What a task has logged, oldest first; 204 if that is nothing."""
    entries = await read_logs(call.services, call.path_params["taskId"])
    return json_response(entries) if entries else no_content()


@tasks.post("/tasks/{taskId}/log", body=Text)
async def log(call: Call) -> Response:
    """Add a line to the log of a task."""
    text = await call.text()
    task_id = call.path_params["taskId"]
    workflow_id = await call.services.workflow_of(task_id)
    if workflow_id is None:
        raise not_found(f"there is no task with the id {task_id!r}")
    await write_logs(call.services, workflow_id, task_id, [LogEntry(log=text)])
    return empty()
