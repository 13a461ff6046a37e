"""Where clients put payloads that are too large for them to send along."""

from __future__ import annotations

from urllib.parse import quote

from msgspec import Struct
from starlette.responses import Response

from tenuto.server.http import Call, empty, json_response
from tenuto.server.payloads import Operation, PayloadType, payload, write_payload
from tenuto.server.routing import Family

payloads = Family("Payloads", "WORKFLOW")
task_payloads = Family("Payloads of tasks", "TASK")
#: Whoever was told the path of a payload may use it.
contents = Family("Contents of payloads", "")


class LocationQuery(Struct, rename="camel", kw_only=True):
    """`path` is that of the payload to READ; to WRITE one, the server chooses another."""

    operation: Operation
    payload_type: PayloadType
    path: str = ""


class Location(Struct):
    uri: str
    path: str


def _location(call: Call) -> Response:
    query = call.query(LocationQuery)
    path = query.path if query.operation == "READ" and query.path else call.services.new_id()
    return json_response(Location(f"{call.base_url}api/payloads/{quote(path, safe='')}", path))


@payloads.get("/workflow/externalstoragelocation", query=LocationQuery, answer=Location)
async def workflow_location(call: Call) -> Response:
    """Where the payload of a workflow is to be put, or is."""
    return _location(call)


@payloads.get("/workflow/external-storage-location", query=LocationQuery, answer=Location)
async def workflow_location_too(call: Call) -> Response:
    """Where the payload of a workflow is to be put, or is."""
    return _location(call)


@task_payloads.get("/tasks/externalstoragelocation", query=LocationQuery, answer=Location)
async def task_location(call: Call) -> Response:
    """Where the payload of a task is to be put, or is."""
    return _location(call)


@task_payloads.get("/tasks/external-storage-location", query=LocationQuery, answer=Location)
async def task_location_too(call: Call) -> Response:
    """Where the payload of a task is to be put, or is."""
    return _location(call)


@contents.put("/payloads/{path}")
async def put_payload(call: Call) -> Response:
    """Keep a payload, a JSON object, for a day."""
    await write_payload(call.services, call.path_params["path"], await call.body())
    return empty()


@contents.get("/payloads/{path}")
async def get_payload(call: Call) -> Response:
    """A payload."""
    return Response(await payload(call.services, call.path_params["path"]), media_type="application/json")
