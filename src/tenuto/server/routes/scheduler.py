"""Schedules: configured, paused, looked at."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import Response

from tenuto.model.json_values import Json
from tenuto.server.bulk_results import BulkResponse
from tenuto.server.errors import ApiError, bad_request, not_found
from tenuto.server.http import Call, empty, json_response
from tenuto.server.routing import Family
from tenuto.server.scheduler_runs import ScheduleExecution
from tenuto.server.scheduler_times import BadCron, Cron
from tenuto.server.schedules import Milliseconds, Schedules, WorkflowSchedule, check_schedule
from tenuto.server.shown import shown

schedules = Family("Scheduler", "SCHEDULER")

#: Moments that can be asked for at once, names in one bulk request.
MOST_MOMENTS, MOST_NAMES = 1_000, 1_000


@schedules.post("/scheduler/schedules", body=WorkflowSchedule)
async def save(call: Call) -> Response:
    """Create or replace a schedule."""
    schedule = await call.decode(WorkflowSchedule)
    check_schedule(schedule)
    await _schedules(call).save(schedule, call.caller.name, call.services.now_ms())
    return empty()


class ListQuery(Struct, rename="camel"):
    workflow_name: str = ""


@schedules.get("/scheduler/schedules", query=ListQuery, answer=list[WorkflowSchedule])
async def everything(call: Call) -> Response:
    """All schedules, or those of one workflow."""
    name = call.query(ListQuery).workflow_name
    found = [each for each in _schedules(call).all() if not name or each.start_workflow_request.name == name]
    return json_response([_view(call, schedule) for schedule in found])


class SearchQuery(Struct, rename="camel"):
    workflow_name: str = ""
    schedule_name: str = ""
    paused: bool | None = None
    free_text: str = "*"
    start: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    size: Annotated[int, Meta(ge=0, le=5000)] = 100
    sort: str = ""


_SORTABLE = {
    "name": lambda schedule: schedule.name,
    "schedulename": lambda schedule: schedule.name,
    "workflowname": lambda schedule: schedule.start_workflow_request.name,
    "createtime": lambda schedule: schedule.create_time or 0,
    "updatedtime": lambda schedule: schedule.updated_time or 0,
    "nextruntime": lambda schedule: schedule.next_run_time or 0,
}


@schedules.get("/scheduler/schedules/search", query=SearchQuery)
async def search(call: Call) -> Response:
    """Schedules by name, workflow and state; names may be parts of names."""
    query = call.query(SearchQuery)
    text = query.free_text.strip("*").lower()
    found = [
        schedule
        for schedule in _schedules(call).all()
        if query.workflow_name.lower() in schedule.start_workflow_request.name.lower()
        and query.schedule_name.lower() in schedule.name.lower()
        and query.paused in (None, schedule.paused)
        and any(text in (each or "").lower() for each in (schedule.name, schedule.description))
    ]
    for name, descending in reversed(_sort_terms(query.sort)):
        if name.lower() in _SORTABLE:
            found.sort(key=_SORTABLE[name.lower()], reverse=descending)
    page = found[query.start : query.start + query.size]
    return json_response({"totalHits": len(found), "results": [_view(call, schedule) for schedule in page]})


@schedules.get("/scheduler/schedules/{name}", answer=WorkflowSchedule)
async def one(call: Call) -> Response:
    """One schedule."""
    return json_response(_view(call, _existing(call)))


@schedules.delete("/scheduler/schedules/{name}")
async def delete(call: Call) -> Response:
    """Delete a schedule. What it has started goes on."""
    name = _existing(call).name
    await _schedules(call).delete(name)
    await call.services.configuration.tags.forget("SCHEDULE", name)
    return empty()


class PauseQuery(Struct):
    reason: str = ""


@schedules.put("/scheduler/schedules/{name}/pause", query=PauseQuery)
@schedules.get("/scheduler/schedules/{name}/pause", query=PauseQuery, access="UPDATE")
async def pause(call: Call) -> Response:
    """Let a schedule start nothing until it is resumed."""
    await call.services.scheduler.pause(call.path_params["name"], call.query(PauseQuery).reason)
    return empty()


@schedules.put("/scheduler/schedules/{name}/resume")
@schedules.get("/scheduler/schedules/{name}/resume", access="UPDATE")
async def resume(call: Call) -> Response:
    """Let a paused schedule go on."""
    await call.services.scheduler.resume(call.path_params["name"])
    return empty()


class MomentsQuery(Struct, rename="camel"):
    cron_expression: str
    zone_id: str = "UTC"
    schedule_start_time: Milliseconds = 0
    schedule_end_time: Milliseconds = 0
    limit: Annotated[int, Meta(ge=1, le=MOST_MOMENTS)] = 5


@schedules.get("/scheduler/nextFewSchedules", query=MomentsQuery, answer=list[int])
async def next_moments(call: Call) -> Response:
    """The next moments at which a cron expression comes due."""
    query = call.query(MomentsQuery)
    cron = Cron(query.cron_expression, query.zone_id)
    moments: list[int] = []
    after = max(call.services.now_ms(), query.schedule_start_time - 1)
    try:
        while len(moments) < query.limit:
            due = cron.next_after(after)
            if due is None or (query.schedule_end_time and due > query.schedule_end_time):
                break
            moments.append(due)
            after = due
    except BadCron as error:
        raise bad_request(str(error)) from None
    return json_response(moments)


# -- all of them -------------------------------------------------------------------------------------------------------


@schedules.get("/scheduler/admin/pause", access="UPDATE")
async def pause_all(call: Call) -> Response:
    """Let no schedule start anything."""
    await call.services.scheduler.pause_all()
    return json_response({"status": "done"})


@schedules.get("/scheduler/admin/resume", access="UPDATE")
async def resume_all(call: Call) -> Response:
    """Let schedules start workflows again."""
    await call.services.scheduler.resume_all()
    return json_response({"status": "done"})


@schedules.get("/scheduler/admin/requeue", access="UPDATE")
async def requeue(call: Call) -> Response:
    """Look at all schedules now."""
    return json_response({"status": "done", "schedules": call.services.scheduler.requeue()})


@schedules.put("/scheduler/bulk/pause", body=list[str], answer=BulkResponse)
async def bulk_pause(call: Call) -> Response:
    """Pause several schedules."""
    return await _each(call, lambda name: call.services.scheduler.pause(name, None))


@schedules.put("/scheduler/bulk/resume", body=list[str], answer=BulkResponse)
async def bulk_resume(call: Call) -> Response:
    """Resume several schedules."""
    return await _each(call, call.services.scheduler.resume)


async def _each(call: Call, work: Callable[[str], Awaitable[None]]) -> Response:
    names = await call.decode(list[str])
    if len(names) > MOST_NAMES:
        raise bad_request(f"{len(names)} names are too many for one request; the limit is {MOST_NAMES}")
    response = BulkResponse()
    for name in names:
        try:
            await work(name)
        except ApiError as error:
            response.bulk_error_results[name] = error.message
        else:
            response.bulk_successful_results.append(name)
    return json_response(response)


# -- what they started -------------------------------------------------------------------------------------------------


class ExecutionsQuery(Struct, rename="camel"):
    start: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    size: Annotated[int, Meta(ge=0, le=5000)] = 100
    sort: str = ""
    free_text: str = "*"
    query: str = ""


_FIELDS = {
    name.replace("_", ""): name
    for name in ("execution_id", "schedule_name", "workflow_name", "workflow_id", "state", "reason")
}
_TIMES = {"scheduledtime": "scheduled_time", "executiontime": "execution_time"}
_CONDITION = re.compile(r"\s*(\w+)\s*(?:=|:|\bIN\b)\s*(\(.*\)|.*?)\s*", re.IGNORECASE | re.DOTALL)


@schedules.get("/scheduler/search/executions", query=ExecutionsQuery)
async def executions(call: Call) -> Response:
    """What schedules have started, newest first. `query`: `scheduleName=a AND state IN (FAILED,EXECUTED)`."""
    query = call.query(ExecutionsQuery)
    sort = [
        (name, descending)
        for term, descending in _sort_terms(query.sort)
        if (name := (_FIELDS | _TIMES).get(term.lower())) is not None
    ]
    found = await call.services.scheduler.runs.search(_wanted(query.query), query.free_text.strip("*"), sort)
    page: list[ScheduleExecution] = found[query.start : query.start + query.size]
    return json_response({"totalHits": len(found), "results": [shown(execution) for execution in page]})


def _wanted(query: str) -> dict[str, set[str]]:
    """The values that fields must have. Raises ApiError (400)."""
    wanted: dict[str, set[str]] = {}
    for term in re.split(r"\s+AND\s+", query, flags=re.IGNORECASE) if query.strip(" *") else []:
        match = _CONDITION.fullmatch(term)
        if match is None or not match[2]:
            raise bad_request(f"{term!r} is no condition; write field=value or field IN (a,b), joined by AND")
        values = match[2].removeprefix("(").removesuffix(")").split(",") if match[2].startswith("(") else [match[2]]
        name = _FIELDS.get(match[1].lower())
        if name is not None:
            wanted[name] = {value.strip().strip("\"'") for value in values}
    return wanted


def _sort_terms(text: str) -> list[tuple[str, bool]]:
    """(field, descending) pairs of `field:ASC|other:DESC`, or the same with commas."""
    terms = (term.partition(":") for term in re.split(r"[|,]", text) if term.strip())
    return [(name.strip(), direction.strip().upper() == "DESC") for name, _, direction in terms]


def _schedules(call: Call) -> Schedules:
    return call.services.configuration.schedules


def _existing(call: Call) -> WorkflowSchedule:
    name = call.path_params["name"]
    schedule = _schedules(call).get(name)
    if schedule is None:
        raise not_found(f"there is no schedule {name!r}")
    return schedule


def _view(call: Call, schedule: WorkflowSchedule) -> dict[str, Json]:
    return shown(schedule) | {"tags": call.services.configuration.tags.of("SCHEDULE", schedule.name)}
