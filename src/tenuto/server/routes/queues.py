"""Queues: how long they are, who polls them, and how what waits in them is seen to."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field
from starlette.responses import Response

from tenuto.model.graph import TaskStatus
from tenuto.model.graph_messages import GraphDecide, TaskUpdate
from tenuto.model.json_values import Json
from tenuto.server import pending_tasks
from tenuto.server.errors import bad_request, not_found
from tenuto.server.graph_calls import ask
from tenuto.server.http import Call, empty, json_response, text_response
from tenuto.server.routing import Family, Text

task_queues = Family("Task queues", "TASK")
event_queues = Family("Event queues", "QUEUE")
admin = Family("Administration", "ADMIN")

STATUSES: dict[str, TaskStatus] = {
    "IN_PROGRESS": "IN_PROGRESS",
    "FAILED": "FAILED",
    "FAILED_WITH_TERMINAL_ERROR": "FAILED_WITH_TERMINAL_ERROR",
    "COMPLETED": "COMPLETED",
    "CANCELED": "CANCELED",
}


# -- queues of tasks ---------------------------------------------------------------------------------------------------


class SizesQuery(Struct, rename={"task_types": "taskType"}):
    task_types: list[str] = field(default_factory=list)


@task_queues.get("/tasks/queue/sizes", query=SizesQuery, answer=dict[str, int])
async def sizes(call: Call) -> Response:
    """How many tasks wait in the queues of these types; `domain:type` for those of a domain."""
    names = call.query(SizesQuery).task_types
    return json_response({name: _size(call, *_parted(name)) for name in names})


class SizeQuery(Struct, rename="camel"):
    task_type: str
    domain: str = ""


@task_queues.get("/tasks/queue/size", query=SizeQuery, answer=int)
async def size(call: Call) -> Response:
    """How many tasks wait in a queue."""
    query = call.query(SizeQuery)
    return json_response(_size(call, query.task_type, query.domain))


def _size(call: Call, task_type: str, domain: str) -> int:
    return call.services.graphs.queues.sizes().get((task_type, domain), 0)


def _parted(queue: str) -> tuple[str, str]:
    """Task type and domain of a queue's name."""
    domain, _, task_type = queue.rpartition(":")
    return task_type, domain


def _all_sizes(call: Call) -> dict[str, int]:
    sizes = call.services.graphs.queues.sizes()
    return {f"{domain}:{name}" if domain else name: number for (name, domain), number in sorted(sizes.items())}


async def _verbose(call: Call) -> dict[str, Json]:
    """All queues, in the one shard that each has."""
    queues: dict[str, Json] = {}
    for queue, number in _all_sizes(call).items():
        task_type, domain = _parted(queue)
        out = await pending_tasks.count(call.services, task_type, ("IN_PROGRESS",), domain)
        queues[queue] = {"a": {"size": number, "uacked": out}}
    return queues


@task_queues.get("/tasks/queue/all", answer=dict[str, int])
async def all_sizes(call: Call) -> Response:
    """How many tasks wait, by queue."""
    return json_response(_all_sizes(call))


@task_queues.get("/tasks/queue/all/verbose")
async def all_verbose(call: Call) -> Response:
    """How many tasks wait and how many are out, by queue."""
    return json_response(await _verbose(call))


class PollDataQuery(Struct, rename="camel"):
    task_type: str


@task_queues.get("/tasks/queue/polldata", query=PollDataQuery)
async def poll_data(call: Call) -> Response:
    """Who polled a task type last."""
    return json_response(_poll_data(call, call.query(PollDataQuery).task_type))


@task_queues.get("/tasks/queue/polldata/all")
async def all_poll_data(call: Call) -> Response:
    """Who polled last, of all task types."""
    return json_response(_poll_data(call, None))


def _poll_data(call: Call, task_type: str | None) -> list[Json]:
    return [
        {"queueName": data.queue_name, "workerId": data.worker_id, "lastPollTime": data.last_poll_time // 1_000_000}
        | ({"domain": data.domain} if data.domain else {})
        for data in call.services.graphs.queues.poll_data(task_type)
    ]


@task_queues.post("/tasks/queue/requeue/{type}", answer=Text)
async def requeue(call: Call) -> Response:
    """See that all waiting tasks of a type are in their queue; answers how many there are."""
    return text_response(str(await pending_tasks.requeue(call.services, call.path_params["type"])))


@task_queues.delete("/tasks/queue/{type}/{taskId}")
async def withdraw(call: Call) -> Response:
    """Take a task out of its queue until it is requeued."""
    task_id = call.path_params["taskId"]
    workflow_id = await call.services.workflow_of(task_id)
    if workflow_id is None:
        raise not_found(f"there is no task with the id {task_id!r}")
    await pending_tasks.withdraw(call.services, workflow_id, task_id)
    return empty()


class InProgressQuery(Struct, rename="camel"):
    start_key: str = ""
    count: Annotated[int, Meta(ge=1, le=5000)] = 100


@task_queues.get("/tasks/in_progress/{type}", query=InProgressQuery)
async def in_progress(call: Call) -> Response:
    """The tasks of a type that are out with workers, oldest first; `startKey` is how many to pass over."""
    query = call.query(InProgressQuery)
    if query.start_key and not (query.start_key.isascii() and query.start_key.isdigit() and len(query.start_key) < 19):
        raise bad_request("startKey must be a number")
    start = int(query.start_key or 0)
    found = await pending_tasks.find(call.services, call.path_params["type"], ("IN_PROGRESS",), start, query.count)
    return json_response(found)


# -- queues of events --------------------------------------------------------------------------------------------------


@event_queues.get("/queue/size", answer=dict[str, int])
async def event_sizes(call: Call) -> Response:
    """How many messages wait, by event queue."""
    return json_response(call.services.events.sizes())


@event_queues.get("/queue", answer=dict[str, str])
async def names(call: Call) -> Response:
    """The queues by which messages complete or fail tasks without an event handler: this server has none."""
    return json_response({})


@event_queues.post("/queue/update/{workflowId}/{reference}/{status}", body=dict[str, Json], access="UPDATE")
async def update_by_reference(call: Call) -> Response:
    """Say what became of the open task with a reference name."""
    return await _update(call, reference=call.path_params["reference"])


@event_queues.post("/queue/update/{workflowId}/task/{taskId}/{status}", body=dict[str, Json], access="UPDATE")
async def update_by_id(call: Call) -> Response:
    """Say what became of a task."""
    return await _update(call, task_id=call.path_params["taskId"])


async def _update(call: Call, *, reference: str = "", task_id: str = "") -> Response:
    status = STATUSES.get(call.path_params["status"])
    if status is None:
        raise bad_request(f"the status must be one of {', '.join(STATUSES)}, not {call.path_params['status']!r}")
    body = TaskUpdate(status, reference=reference, task_id=task_id, output=await call.json_object(), merge_output=True)
    await ask(call.services, call.path_params["workflowId"], body)
    return empty()


# -- administration ----------------------------------------------------------------------------------------------------


class PageQuery(Struct):
    start: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    count: Annotated[int, Meta(ge=0, le=5000)] = 100


@admin.get("/admin/task/{type}", query=PageQuery)
async def pending(call: Call) -> Response:
    """The tasks of a type that have not ended, oldest first."""
    query, statuses = call.query(PageQuery), pending_tasks.PENDING
    found = await pending_tasks.find(call.services, call.path_params["type"], statuses, query.start, query.count)
    return json_response(found)


class QueuesQuery(Struct):
    verbose: bool = False


@admin.get("/admin/queues", query=QueuesQuery)
async def queues(call: Call) -> Response:
    """How long all queues are."""
    tasks: Json = await _verbose(call) if call.query(QueuesQuery).verbose else _all_sizes(call)
    return json_response({"tasks": tasks, "events": call.services.events.sizes()})


@admin.post("/admin/sweep/requeue/{workflowId}", answer=Text)
async def sweep(call: Call) -> Response:
    """Have a workflow decide what comes next, which it does by itself too."""
    workflow_id = call.path_params["workflowId"]
    await ask(call.services, workflow_id, GraphDecide())
    return text_response(f"true.{workflow_id}")


@admin.post("/admin/consistency/verifyAndRepair/{workflowId}", answer=Text)
async def verify(call: Call) -> Response:
    """Have a workflow decide what comes next; there is nothing that could be inconsistent."""
    await ask(call.services, call.path_params["workflowId"], GraphDecide())
    return text_response("true")
