"""Operations on many executions. Each is done by itself; what fails is listed with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec import Struct
from starlette.responses import Response

from tenuto.graph.views import workflow_view
from tenuto.model import graph_messages as gm
from tenuto.model.errors import RPCError
from tenuto.server.bulk_results import BulkResponse
from tenuto.server.errors import ApiError, bad_request
from tenuto.server.graph_calls import ask, look
from tenuto.server.http import Call, json_response
from tenuto.server.operations import restart
from tenuto.server.routing import Family

bulk = Family("Bulk operations", "WORKFLOW")

#: Ids in one request.
LIMIT = 1_000
#: Executions that are asked together.
AT_A_TIME = 100


class BulkQuery(Struct, rename="camel"):
    use_latest_definitions: bool = False
    reason: str = ""
    archive_workflow: bool = True
    include_tasks: bool = True
    trigger_failure_workflow: bool = False


async def _each(call: Call, work: Callable[[str], Awaitable[object]]) -> Response:
    """Do `work` for every id in the body."""
    ids = await call.decode(list[str])
    if len(ids) > LIMIT:
        raise bad_request(f"{len(ids)} workflow ids are too many for one request; the limit is {LIMIT}")
    response = BulkResponse()
    for start in range(0, len(ids), AT_A_TIME):
        some = ids[start : start + AT_A_TIME]
        for workflow_id, done in zip(some, await asyncio.gather(*(_outcome(work(id)) for id in some)), strict=True):
            if isinstance(done, Exception):
                response.bulk_error_results[workflow_id] = str(done)
            else:
                response.bulk_successful_results.append(workflow_id if done is None else done)
    return json_response(response)


async def _outcome(work: Awaitable[object]) -> object:
    """What comes of it, or why nothing does."""
    try:
        return await work
    except (ApiError, RPCError) as error:
        return error


def _asks(call: Call, body: gm.GraphBody) -> Callable[[str], Awaitable[object]]:
    async def work(workflow_id: str) -> None:
        await ask(call.services, workflow_id, body)

    return work


@bulk.put("/workflow/bulk/pause", body=list[str], answer=BulkResponse)
async def pause(call: Call) -> Response:
    """Pause executions."""
    return await _each(call, _asks(call, gm.GraphPause()))


@bulk.put("/workflow/bulk/resume", body=list[str], answer=BulkResponse)
async def resume(call: Call) -> Response:
    """Resume paused executions."""
    return await _each(call, _asks(call, gm.GraphResume()))


@bulk.post("/workflow/bulk/restart", query=BulkQuery, body=list[str], answer=BulkResponse)
async def restart_all(call: Call) -> Response:
    """Begin executions that have ended anew."""
    latest = call.query(BulkQuery).use_latest_definitions

    async def work(workflow_id: str) -> None:
        await restart(call.services, workflow_id, latest)

    return await _each(call, work)


@bulk.post("/workflow/bulk/retry", body=list[str], answer=BulkResponse)
async def retry(call: Call) -> Response:
    """Go on from the failed tasks of executions."""
    return await _each(call, _asks(call, gm.GraphRetry()))


@bulk.post("/workflow/bulk/terminate", query=BulkQuery, body=list[str], answer=BulkResponse)
async def terminate(call: Call) -> Response:
    """End executions now."""
    query = call.query(BulkQuery)
    return await _each(call, _asks(call, gm.GraphTerminate(query.reason, query.trigger_failure_workflow)))


async def _remove(call: Call) -> Response:
    archive = call.query(BulkQuery).archive_workflow
    return await _each(call, _asks(call, gm.GraphRemove(archive=archive)))


@bulk.delete("/workflow/bulk/remove", query=BulkQuery, body=list[str], answer=BulkResponse)
async def remove(call: Call) -> Response:
    """Forget executions."""
    return await _remove(call)


@bulk.post("/workflow/bulk/delete", query=BulkQuery, body=list[str], answer=BulkResponse)
async def delete(call: Call) -> Response:
    """Forget executions, as some clients ask for it."""
    return await _remove(call)


@bulk.delete("/workflow/bulk/terminate-remove", query=BulkQuery, body=list[str], answer=BulkResponse)
async def terminate_and_remove(call: Call) -> Response:
    """End executions and forget them."""
    query = call.query(BulkQuery)
    body = gm.GraphRemove(reason=query.reason, archive=query.archive_workflow)
    return await _each(call, _asks(call, body))


@bulk.post("/workflow/bulk/search", query=BulkQuery, body=list[str], answer=BulkResponse, access="READ")
async def search(call: Call) -> Response:
    """Executions by their ids."""
    tasks = call.query(BulkQuery).include_tasks

    async def work(workflow_id: str) -> object:
        return await look(call.services, workflow_id, lambda graph: workflow_view(graph, tasks=tasks))

    return await _each(call, work)
