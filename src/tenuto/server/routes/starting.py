"""Executions are started, and perhaps waited for."""

from __future__ import annotations

from math import inf
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from tenuto.model.json_values import Json
from tenuto.server.errors import ApiError, bad_request
from tenuto.server.http import Call, empty, json_response, text_response
from tenuto.server.identity.access import permission
from tenuto.server.routing import Family, Text
from tenuto.server.starts import StartWorkflowRequest, start
from tenuto.server.waiting import Strategy, signal_response, wait
from tenuto.server.workflow_tests import WorkflowTestRequest, try_out

starting = Family("Starting workflows", "WORKFLOW")

#: Seconds that a request waits for a workflow, unless it says otherwise.
DEFAULT_WAIT = 10.0


@starting.post("/workflow", body=StartWorkflowRequest, answer=Text, target="")
async def start_workflow(call: Call) -> Response:
    """Start a workflow; answers its id."""
    return text_response(await _start(call, await call.decode(StartWorkflowRequest)))


async def _start(call: Call, request: StartWorkflowRequest) -> str:
    if request.workflow_def is not None and not call.caller.has(permission("WORKFLOW", "EXECUTE")):
        # A grant is for the definition that is registered, whatever name another one takes.
        raise ApiError(403, f"{call.caller.name} may not start definitions that are not registered", code="FORBIDDEN")
    call.require("WORKFLOW", "EXECUTE", request.name)
    return await start(call.services, request)


class StartQuery(Struct, rename="camel"):
    version: int | None = None
    correlation_id: str | None = None
    priority: Annotated[int, Meta(ge=0, le=99)] = 0


@starting.post("/workflow/{name}", query=StartQuery, body=dict[str, Json], answer=Text, target="")
async def start_by_name(call: Call) -> Response:
    """Start a workflow of a name, with the body as its input; answers its id."""
    query = call.query(StartQuery)
    request = StartWorkflowRequest(
        name=call.path_params["name"],
        version=query.version,
        correlation_id=query.correlation_id,
        input=await call.json_object(),
        priority=query.priority,
    )
    return text_response(await _start(call, request))


@starting.post("/workflow/start/{name}/{version}", body=StartWorkflowRequest, answer=Text, target="")
async def start_version(call: Call) -> Response:
    """Start a version of a workflow; answers its id."""
    request = await call.decode(StartWorkflowRequest)
    request.name, request.version = call.path_params["name"], _version(call)
    return text_response(await _start(call, request))


class ExecuteQuery(Struct, rename="camel"):
    request_id: str = ""
    wait_until_task_ref: str = ""
    wait_for_seconds: Annotated[float, Meta(ge=0)] = 0
    consistency: str = "DURABLE"
    return_strategy: Strategy = "TARGET_WORKFLOW"
    version: int | None = None


@starting.post("/workflow/execute/{name}/{version}", query=ExecuteQuery, body=StartWorkflowRequest, target="")
async def execute_workflow(call: Call) -> Response:
    """Start a workflow and wait until it ends, waits for somebody, or the time is over."""
    query = call.query(ExecuteQuery)
    request = await call.decode(StartWorkflowRequest)
    request.name, request.version = call.path_params["name"], _version(call)
    return await waited(call, await _start(call, request), query)


@starting.post("/workflow/execute/{name}", query=ExecuteQuery, body=dict[str, Json], target="")
async def execute_by_name(call: Call) -> Response:
    """Start a workflow with the body as its input and answer its output."""
    return await _called(call, await call.json_object())


@starting.get("/workflow/execute/{name}", query=ExecuteQuery, access="EXECUTE", target="")
async def execute_by_query(call: Call) -> Response:
    """Start a workflow with the other query parameters, which are texts, as its input, and answer its output."""
    known = {each.encode_name for each in msgspec.structs.fields(ExecuteQuery)}
    return await _called(call, {name: value for name, value in call.query_params.items() if name not in known})


async def _called(call: Call, input: dict[str, Json]) -> Response:
    """Use a workflow as a function; clients send what they wait for as headers, too."""
    query, headers = call.query(ExecuteQuery), call.headers
    request = StartWorkflowRequest(name=call.path_params["name"], version=query.version, input=input)
    wanted = query.wait_until_task_ref or headers.get("waituntiltaskref", "")
    seconds = query.wait_for_seconds or _seconds(headers.get("waitforseconds", ""))
    workflow_id = await _start(call, request)
    seen, _, _ = await wait(call.services, workflow_id, _names(wanted), seconds or DEFAULT_WAIT)
    return json_response(seen.workflow["output"])


def _seconds(text: str) -> float:
    try:
        seconds = float(text or 0)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < inf:
        raise bad_request(f"the header waitForSeconds must be a number from 0, not {text!r}")
    return seconds


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


async def waited(call: Call, workflow_id: str, query: ExecuteQuery) -> Response:
    """What an execution comes to, in the form that the query asks for."""
    seconds = query.wait_for_seconds or DEFAULT_WAIT
    seen, blocking, timed_out = await wait(call.services, workflow_id, _names(query.wait_until_task_ref), seconds)
    body = signal_response(seen, blocking, timed_out, query.return_strategy, query.request_id)
    return empty() if body is None else json_response(body)


def _version(call: Call) -> int | None:
    version = call.path_params["version"]
    if not version.lstrip("-").isdigit():
        raise bad_request(f"the version in the path must be a number, not {version!r}")
    return int(version) or None


@starting.post("/workflow/test", body=WorkflowTestRequest)
async def test_workflow(call: Call) -> Response:
    """Try a workflow out with given outcomes of its tasks; nothing is stored."""
    return json_response(await try_out(call.services, await call.decode(WorkflowTestRequest)))
