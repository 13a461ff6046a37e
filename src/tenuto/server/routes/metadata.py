"""Definitions of workflows and tasks: registered, listed, removed."""

from __future__ import annotations

import msgspec
from msgspec import Struct
from starlette.responses import Response

from tenuto.cage.checking import check_javascript, check_jq
from tenuto.cage.errors import CageUnavailable, ScriptError
from tenuto.graph import validation
from tenuto.graph.definitions import (
    DefinitionError,
    TaskDef,
    WorkflowDef,
    decode_task_def,
    decode_workflow_def,
    to_json,
)
from tenuto.model.json_values import Json
from tenuto.server.bulk_results import BulkResponse, failed
from tenuto.server.errors import ApiError, bad_request, conflict, fault, not_found
from tenuto.server.http import Call, empty, json_response
from tenuto.server.routing import Family
from tenuto.server.services import Services

metadata = Family("Workflow definitions", "METADATA")
task_metadata = Family("Task definitions", "TASK_METADATA")

#: Definitions in one request.
LARGEST_BATCH = 1_000


class OverwriteQuery(Struct):
    overwrite: bool = False


class VersionQuery(Struct):
    version: int | None = None


@metadata.post("/metadata/workflow", query=OverwriteQuery, body=WorkflowDef, target="")
async def register_workflow(call: Call) -> Response:
    """Register a new workflow definition."""
    definition = read_workflow(await call.json())
    call.require("METADATA", "UPDATE" if _is_known(call, definition.name) else "CREATE", definition.name)
    await check_workflow(call.services, definition)
    stamped = _stamped(call, definition, call.services.graphs.catalog.workflow(definition.name, definition.version))
    if not await call.services.graphs.catalog.put_workflow(stamped, overwrite=call.query(OverwriteQuery).overwrite):
        raise conflict(f"workflow definition {definition.name} version {definition.version} exists already")
    return empty()


@metadata.put("/metadata/workflow", body=list[WorkflowDef], answer=BulkResponse, target="")
async def upsert_workflows(call: Call) -> Response:
    """Register or replace workflow definitions; what can't be registered is listed with the reason."""
    items = await call.json()
    if not isinstance(items, list) or len(items) > LARGEST_BATCH:
        raise bad_request(f"the body must be an array of at most {LARGEST_BATCH} workflow definitions")
    response = BulkResponse()
    for index, item in enumerate(items):
        name = str(item.get("name") or f"[{index}]") if isinstance(item, dict) else f"[{index}]"
        try:
            definition = read_workflow(item)
            call.require("METADATA", "UPDATE" if _is_known(call, definition.name) else "CREATE", definition.name)
            await check_workflow(call.services, definition)
            known = call.services.graphs.catalog.workflow(definition.name, definition.version)
            await call.services.graphs.catalog.put_workflow(_stamped(call, definition, known), overwrite=True)
        except ApiError as error:
            response.bulk_error_results[name] = failed(error)
        else:
            response.bulk_successful_results.append(name)
    return json_response(response)


@metadata.post("/metadata/workflow/validate", body=WorkflowDef, access="READ")
async def validate_workflow(call: Call) -> Response:
    """Check a workflow definition without registering it."""
    await check_workflow(call.services, read_workflow(await call.json()))
    return empty()


@metadata.get("/metadata/workflow", answer=list[WorkflowDef], target="")
async def workflows(call: Call) -> Response:
    """All versions of all workflow definitions."""
    return json_response([to_json(each) for each in _all_versions(call)])


def _all_versions(call: Call) -> list[WorkflowDef]:
    catalog = call.services.graphs.catalog.workflows()
    return [catalog[name][version] for name in _readable(call) for version in sorted(catalog[name])]


def _readable(call: Call) -> list[str]:
    """The names of the workflows that the caller may see, in order."""
    return [name for name in sorted(call.services.graphs.catalog.workflows()) if call.may("METADATA", "READ", name)]


def _is_known(call: Call, name: str) -> bool:
    return name in call.services.graphs.catalog.workflows()


@metadata.get("/metadata/workflow/names", answer=list[str], target="")
async def workflow_names(call: Call) -> Response:
    """The names of all workflow definitions."""
    return json_response(_readable(call))


@metadata.get("/metadata/workflow/names-and-versions", target="")
async def names_and_versions(call: Call) -> Response:
    """The versions of all workflow definitions, by name."""
    summaries: dict[str, list[dict[str, Json]]] = {}
    for definition in _all_versions(call):
        summaries.setdefault(definition.name, []).append(_summary(definition))
    return json_response(summaries)


@metadata.get("/metadata/workflow/latest-versions", answer=list[WorkflowDef], target="")
async def latest_versions(call: Call) -> Response:
    """The latest version of every workflow definition."""
    catalog = call.services.graphs.catalog.workflows()
    return json_response([to_json(catalog[name][max(catalog[name])]) for name in _readable(call)])


@metadata.get("/metadata/workflow/{name}", query=VersionQuery, answer=WorkflowDef, target="name")
async def workflow(call: Call) -> Response:
    """A workflow definition, the latest one without a version."""
    name, version = call.path_params["name"], call.query(VersionQuery).version
    definition = call.services.graphs.catalog.workflow(name, version or None)
    if definition is None:
        which = f" version {version}" if version else ""
        raise not_found(f"there is no workflow definition {name!r}{which}")
    return json_response(to_json(definition))


@metadata.get("/metadata/workflow/{name}/versions", target="name")
async def versions(call: Call) -> Response:
    """The versions of one workflow definition."""
    name = call.path_params["name"]
    known = call.services.graphs.catalog.workflows().get(name)
    if known is None:
        raise not_found(f"there is no workflow definition {name!r}")
    return json_response([_summary(known[version]) for version in sorted(known)])


def _summary(definition: WorkflowDef) -> dict[str, Json]:
    summary: dict[str, Json] = {"name": definition.name, "version": definition.version}
    if definition.create_time is not None:
        summary["createTime"] = definition.create_time
    if definition.update_time is not None:
        summary["updateTime"] = definition.update_time
    return summary


@metadata.delete("/metadata/workflow/{name}/{version}", target="name")
async def remove_workflow(call: Call) -> Response:
    """Remove a workflow definition; what runs by it goes on."""
    name, version = call.path_params["name"], call.path_params["version"]
    if not version.isdigit():
        raise bad_request(f"the version in the path must be a number, not {version!r}")
    if not await call.services.graphs.catalog.delete_workflow(name, int(version)):
        raise not_found(f"there is no workflow definition {name!r} version {version}")
    if not _is_known(call, name):
        await call.services.configuration.tags.forget("WORKFLOW_DEF", name)
    return empty()


@task_metadata.post("/metadata/taskdefs", body=list[TaskDef], target="")
async def register_tasks(call: Call) -> Response:
    """Register or replace task definitions: all of them, or none if one is wrong."""
    items = await call.json()
    if not isinstance(items, list) or not items or len(items) > LARGEST_BATCH:
        raise bad_request(f"the body must be an array of 1 to {LARGEST_BATCH} task definitions")
    definitions = [read_task(item, f"[{index}]") for index, item in enumerate(items)]
    for definition in definitions:
        known = call.services.graphs.catalog.task(definition.name) is not None
        call.require("TASK_METADATA", "UPDATE" if known else "CREATE", definition.name)
    for definition in definitions:
        await call.services.graphs.catalog.put_task(_stamped_task(call, definition))
    return empty()


@task_metadata.put("/metadata/taskdefs", body=TaskDef, target="")
async def update_task(call: Call) -> Response:
    """Replace a task definition that is there."""
    definition = read_task(await call.json(), "")
    call.require("TASK_METADATA", "UPDATE", definition.name)
    if call.services.graphs.catalog.task(definition.name) is None:
        raise not_found(f"there is no task definition {definition.name!r} to replace; POST creates one")
    await call.services.graphs.catalog.put_task(_stamped_task(call, definition))
    return empty()


@task_metadata.get("/metadata/taskdefs", answer=list[TaskDef], target="")
async def task_definitions(call: Call) -> Response:
    """All task definitions."""
    known = call.services.graphs.catalog.tasks()
    readable = [name for name in sorted(known) if call.may("TASK_METADATA", "READ", name)]
    return json_response([to_json(known[name]) for name in readable])


@task_metadata.get("/metadata/taskdefs/{type}", answer=TaskDef, target="type")
async def task_definition(call: Call) -> Response:
    """One task definition."""
    definition = call.services.graphs.catalog.task(call.path_params["type"])
    if definition is None:
        raise not_found(f"there is no task definition {call.path_params['type']!r}")
    return json_response(to_json(definition))


@task_metadata.delete("/metadata/taskdefs/{type}", target="type")
async def remove_task(call: Call) -> Response:
    """Remove a task definition; what runs by it goes on."""
    if not await call.services.graphs.catalog.delete_task(call.path_params["type"]):
        raise not_found(f"there is no task definition {call.path_params['type']!r}")
    await call.services.configuration.tags.forget("TASK_DEF", call.path_params["type"])
    return empty()


def read_workflow(value: Json) -> WorkflowDef:
    """A workflow definition that was sent. Raises ApiError (400) naming the path of what is wrong."""
    try:
        return decode_workflow_def(value)
    except DefinitionError as error:
        raise _refused([fault(error.path, error.message)]) from None


def read_task(value: Json, place: str) -> TaskDef:
    """A task definition that was sent, and checked. Raises ApiError (400) naming the path of what is wrong."""
    try:
        definition = decode_task_def(value)
    except DefinitionError as error:
        raise _refused([fault(f"{place}.{error.path}".strip("."), error.message)]) from None
    problems = validation.validate_task_def(definition)
    if problems:
        raise _refused(
            [fault(f"{place}.{each.path}".strip("."), each.message, each.invalid_value) for each in problems]
        )
    return definition


async def check_workflow(services: Services, definition: WorkflowDef) -> None:
    """Raise ApiError (400), naming all places, if a definition can't run."""
    find = services.graphs.catalog.workflow
    faults = [
        fault(each.path, each.message, each.invalid_value) for each in validation.validate_workflow(definition, find)
    ]
    if not faults:
        faults = await _script_faults(services, definition)
    if faults:
        raise _refused(faults)


async def _script_faults(services: Services, definition: WorkflowDef) -> list[dict[str, Json]]:
    faults: list[dict[str, Json]] = []
    for script in validation.scripts_of(definition):
        try:
            if script.language == "jq":
                await check_jq(services.cage, script.text)
            else:
                await check_javascript(services.cage, script.text, body=script.body)
        except ScriptError as error:
            faults.append(fault(script.path, str(error), script.text[:200]))
        except CageUnavailable as error:
            raise ApiError(503, f"scripts can't be checked now: {error}", retryable=True) from None
    return faults


def _refused(faults: list[dict[str, Json]]) -> ApiError:
    places = "; ".join(f"{each['path']}: {each['message']}" if each["path"] else each["message"] for each in faults[:5])
    return ApiError(400, f"Validation failed, check below errors for detail. {places}", faults=faults)


def _stamped(call: Call, definition: WorkflowDef, known: WorkflowDef | None) -> WorkflowDef:
    now = call.services.now_ms()
    return msgspec.structs.replace(
        definition,
        create_time=known.create_time if known is not None else now,
        update_time=now,
        created_by=known.created_by if known is not None else call.caller.name or None,
    )


def _stamped_task(call: Call, definition: TaskDef) -> TaskDef:
    known = call.services.graphs.catalog.task(definition.name)
    now = call.services.now_ms()
    return msgspec.structs.replace(
        definition,
        create_time=known.create_time if known is not None else now,
        update_time=now,
        created_by=known.created_by if known is not None else call.caller.name or None,
    )
