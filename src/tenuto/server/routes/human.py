"""HUMAN tasks for those who do them, and the templates of their forms."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import Response

from tenuto.model.json_values import Json
from tenuto.server.collection import checked_name, versioned
from tenuto.server.errors import ApiError, bad_request, not_found
from tenuto.server.graph_calls import look
from tenuto.server.http import Call, empty, json_response
from tenuto.server.human_entries import Assignment, HumanTaskSearch, HumanTaskUser
from tenuto.server.human_tasks import HumanTasks
from tenuto.server.human_templates import HumanTaskTemplate, HumanTemplates
from tenuto.server.routes.tags import tag_routes
from tenuto.server.routing import Family
from tenuto.server.shown import shown

human = Family("Human tasks", "HUMAN")

LARGEST_PAGE = 5_000


@human.post("/human/tasks/search", body=HumanTaskSearch, access="READ")
async def search(call: Call) -> Response:
    """Human tasks by state, people, names and texts."""
    query = await call.decode(HumanTaskSearch)
    if not 0 <= query.size <= LARGEST_PAGE or query.start < 0:
        raise bad_request(f"size must be 0 to {LARGEST_PAGE}, and start not negative")
    found = await _tasks(call).search(query)
    page = found[query.start : query.start + query.size]
    return json_response(
        {
            "totalHits": len(found),
            "hits": len(page),
            "start": query.start,
            "pageSizeLimit": LARGEST_PAGE,
            "results": page,
        }
    )


class TemplateQuery(Struct, rename="camel"):
    with_template: bool = False


@human.get("/human/tasks/getTaskDisplayNames")
async def display_names(call: Call) -> Response:
    """The display names of all human tasks that are open."""
    found = await _tasks(call).search(HumanTaskSearch(states=["PENDING", "ASSIGNED", "IN_PROGRESS"]))
    return json_response(sorted({entry["displayName"] for entry in found}))


@human.get("/human/tasks/{taskId}", query=TemplateQuery)
async def one(call: Call) -> Response:
    """One human task."""
    entry = await _tasks(call).entry(call.path_params["taskId"])
    return json_response(_with_template(call, entry, call.query(TemplateQuery).with_template))


@human.get("/human/tasks/{taskId}/conductorTask")
async def conductor_task(call: Call) -> Response:
    """One human task as the API of tasks shows it."""
    return json_response(await _tasks(call).task(call.path_params["taskId"]))


class ClaimQuery(Struct, rename="camel"):
    override_assignment: bool = False
    with_template: bool = False


@human.post("/human/tasks/{taskId}/claim", query=ClaimQuery, access="UPDATE")
async def claim(call: Call) -> Response:
    """Take a task for oneself."""
    return await _claim(call, HumanTaskUser(call.caller.name, "CONDUCTOR_USER"))


@human.post("/human/tasks/{taskId}/externalUser/{userId}", query=ClaimQuery, access="UPDATE")
async def claim_for(call: Call) -> Response:
    """Take a task for somebody whom this server doesn't know."""
    return await _claim(call, HumanTaskUser(call.path_params["userId"], "EXTERNAL_USER"))


async def _claim(call: Call, user: HumanTaskUser) -> Response:
    query = call.query(ClaimQuery)
    entry = await _tasks(call).claim(call.path_params["taskId"], user, override=query.override_assignment)
    return json_response(_with_template(call, entry, query.with_template))


@human.post("/human/tasks/{taskId}/release", access="UPDATE")
async def release(call: Call) -> Response:
    """Give a claimed task back."""
    await _tasks(call).release(call.path_params["taskId"], call.caller.name)
    return empty()


@human.post("/human/tasks/{taskId}/reassign", body=list[Assignment], access="UPDATE")
async def reassign(call: Call) -> Response:
    """Say anew whom a task is for."""
    assignments = await call.decode(list[Assignment])
    await _tasks(call).reassign(call.path_params["taskId"], assignments, call.caller.name)
    return empty()


class UpdateQuery(Struct):
    complete: bool = False


@human.post("/human/tasks/{taskId}/update", query=UpdateQuery, body=dict[str, Json], access="UPDATE")
async def update(call: Call) -> Response:
    """Add to the output of a task; `complete` ends it."""
    await _update(call, call.path_params["taskId"], call.query(UpdateQuery).complete)
    return empty()


class UpdateByReferenceQuery(Struct, rename="camel"):
    workflow_id: str
    task_ref_name: str
    complete: bool = False
    iteration: int | None = None


@human.post("/human/tasks/update/taskRef", query=UpdateByReferenceQuery, body=dict[str, Json], access="UPDATE")
async def update_by_reference(call: Call) -> Response:
    """Add to the output of the latest task with a reference name, or of that in one iteration of a loop."""
    query = call.query(UpdateByReferenceQuery)
    name = query.task_ref_name if query.iteration is None else f"{query.task_ref_name}__{query.iteration}"
    found = await look(
        call.services,
        query.workflow_id,
        lambda graph: [
            task.task_id
            for task in graph.state.tasks.values()
            if task.kind == "HUMAN" and (task.reference == name or (query.iteration is None and task.base == name))
        ],
    )
    if not found:
        raise not_found(f"workflow {query.workflow_id} has no human task {name!r}")
    await _update(call, found[-1], query.complete)
    return empty()


async def _update(call: Call, task_id: str, complete: bool) -> None:
    output = await call.json_object()
    await _tasks(call).update(task_id, output, complete=complete, by=call.caller.name)


class SkipQuery(Struct):
    reason: str = ""


@human.post("/human/tasks/{taskId}/skip", query=SkipQuery, access="UPDATE")
async def skip(call: Call) -> Response:
    """Let the workflow go on without the task being done."""
    await _tasks(call).skip(call.path_params["taskId"], call.query(SkipQuery).reason)
    return empty()


# -- templates ---------------------------------------------------------------------------------------------------------


class SaveQuery(Struct, rename="camel"):
    new_version: bool = False


@human.post("/human/template", query=SaveQuery, body=HumanTaskTemplate)
async def save_template(call: Call) -> Response:
    """Create or replace a version of a template; `newVersion` always makes a new one."""
    return json_response(shown(await _save(call, await call.decode(HumanTaskTemplate))))


@human.post("/human/template/bulk", query=SaveQuery, body=list[HumanTaskTemplate])
async def save_templates(call: Call) -> Response:
    """Create or replace several templates."""
    templates = await call.decode(list[HumanTaskTemplate])
    for template in templates:
        checked_name(template.name, "a template")
    return json_response([shown(await _save(call, template)) for template in templates])


async def _save(call: Call, template: HumanTaskTemplate) -> HumanTaskTemplate:
    checked_name(template.name, "a template")
    new_version = call.query(SaveQuery).new_version
    return await _templates(call).save(template, call.caller.name, call.services.now_ms(), new_version=new_version)


class TemplatesQuery(Struct):
    name: str = ""
    version: Annotated[int, Meta(ge=0)] = 0


@human.get("/human/template", query=TemplatesQuery, answer=list[HumanTaskTemplate])
async def templates(call: Call) -> Response:
    """All templates, of one name or in one version."""
    query = call.query(TemplatesQuery)
    found = [each for each in _templates(call).all() if not query.name or each.name == query.name]
    return json_response([shown(each) for each in found if not query.version or each.version == query.version])


@human.get("/human/template/{name}", answer=HumanTaskTemplate)
async def template(call: Call) -> Response:
    """The template of a human task, by the task's id; or the latest version of a template, by its name."""
    name = call.path_params["name"]
    found = _templates(call).find(name, 0)
    if found is None:
        entry = _with_template(call, await _tasks(call).entry(name), True)
        if "fullTemplate" not in entry["humanTaskDef"]:
            raise not_found(f"the human task {name} has no template")
        return json_response(entry["humanTaskDef"]["fullTemplate"])
    return json_response(shown(found))


@human.get("/human/template/{name}/{version}", answer=HumanTaskTemplate)
async def template_version(call: Call) -> Response:
    """One version of a template; 0 is the latest."""
    return json_response(shown(_existing(call, _version(call))))


@human.delete("/human/template/{name}")
async def delete_template(call: Call) -> Response:
    """Delete all versions of a template."""
    name = _existing(call, 0).name
    for each in _templates(call).versions(name):
        await _templates(call).delete(versioned(name, each.version))
    await call.services.configuration.tags.forget("HUMAN_TEMPLATE", name)
    return empty()


@human.delete("/human/template/{name}/{version}")
async def delete_template_version(call: Call) -> Response:
    """Delete one version of a template."""
    found = _existing(call, _version(call))
    await _templates(call).delete(versioned(found.name, found.version))
    return empty()


def _template_must_exist(call: Call) -> None:
    _existing(call, 0)


tag_routes(human, "/human/template/{name}/tags", "HUMAN_TEMPLATE", must_exist=_template_must_exist)


def _with_template(call: Call, entry: dict[str, Json], wanted: bool) -> dict[str, Json]:
    """The entry, with the template that its definition names if that is wanted."""
    named = entry["humanTaskDef"].get("userFormTemplate")
    if not wanted or not isinstance(named, dict):
        return entry
    version = named.get("version")
    found = _templates(call).find(str(named.get("name")), version if isinstance(version, int) else 0)
    if found is not None:
        entry["humanTaskDef"] = entry["humanTaskDef"] | {"fullTemplate": shown(found)}
    return entry


def _tasks(call: Call) -> HumanTasks:
    return HumanTasks(call.services)


def _templates(call: Call) -> HumanTemplates:
    return call.services.configuration.human_templates


def _existing(call: Call, version: int) -> HumanTaskTemplate:
    name = call.path_params["name"]
    found = _templates(call).find(name, version)
    if found is None:
        which = f" version {version}" if version else ""
        raise not_found(f"there is no template {name!r}{which}")
    return found


def _version(call: Call) -> int:
    text: str = call.path_params["version"]
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise ApiError(400, f"the version in the path must be a number, not {text!r}")
    return int(text)
