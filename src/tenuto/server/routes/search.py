"""Searches for workflows and tasks. They find all that was acknowledged before they were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from tenuto.graph.execution import GraphExecution
from tenuto.graph.views import task_view, workflow_view
from tenuto.model.json_values import Json
from tenuto.model.search import And, Compare, Condition, In, SearchQuery
from tenuto.server.errors import bad_request
from tenuto.server.http import Call, json_response
from tenuto.server.routing import Family
from tenuto.server.search_query import Kind, QueryError, search_query
from tenuto.server.summaries import task_summary, workflow_summary
from tenuto.store.protocol import SearchPage, TaskIndexRow, WorkflowIndexRow

workflow_search = Family("Search for workflows", "WORKFLOW")
task_search = Family("Search for tasks", "TASK")

#: Results of one search.
LARGEST_PAGE = 5_000
#: Executions that are read at once.
READ_AT_ONCE = 100


class SearchParameters(Struct, rename="camel", kw_only=True):
    """`start` and `size` say which of the results are wanted; the newest come first where `sort` says nothing."""

    start: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    size: Annotated[int, Meta(ge=0, le=LARGEST_PAGE)] = 100
    sort: str = ""
    free_text: str = "*"
    query: str = ""


class WorkflowSearchParameters(SearchParameters, rename="camel", kw_only=True):
    """`classifier`: of this class only. `top_level_only`: without sub-workflows."""

    classifier: str = ""
    top_level_only: bool = False


@workflow_search.get("/workflow/search", query=WorkflowSearchParameters)
async def search(call: Call) -> Response:
    """Workflows that match a query, as summaries."""
    page = await _workflows(call)
    return json_response({"totalHits": page.total, "results": [workflow_summary(row) for row in page.rows]})


@workflow_search.get("/workflow/search-v2", query=WorkflowSearchParameters)
async def search_whole(call: Call) -> Response:
    """Workflows that match a query."""
    page = await _workflows(call)
    return json_response({"totalHits": page.total, "results": await _whole(call, _ids(page.rows))})


@workflow_search.get("/workflow/search-by-tasks", query=SearchParameters)
async def search_by_tasks(call: Call) -> Response:
    """The workflows, as summaries, of the tasks that match a query; `start` and `size` count tasks."""
    page = await _tasks(call)
    ids = _ids(page.rows)
    condition = In("workflow_id", tuple(ids))
    found = await call.services.store.search_workflows(SearchQuery(condition=condition, size=len(ids)))
    rows = {row.workflow_id: row for row in found.rows}
    summaries = [workflow_summary(rows[workflow_id]) for workflow_id in ids if workflow_id in rows]
    return json_response({"totalHits": page.total - len(page.rows) + len(summaries), "results": summaries})


@workflow_search.get("/workflow/search-by-tasks-v2", query=SearchParameters)
async def search_whole_by_tasks(call: Call) -> Response:
    """The workflows of the tasks that match a query; `start` and `size` count tasks."""
    page = await _tasks(call)
    found = await _whole(call, _ids(page.rows))
    return json_response({"totalHits": page.total - len(page.rows) + len(found), "results": found})


@task_search.get("/tasks/search", query=SearchParameters)
async def search_tasks(call: Call) -> Response:
    """Tasks that match a query, as summaries."""
    page = await _tasks(call)
    return json_response({"totalHits": page.total, "results": [task_summary(row) for row in page.rows]})


@task_search.get("/tasks/search-v2", query=SearchParameters)
async def search_whole_tasks(call: Call) -> Response:
    """Tasks that match a query."""
    page = await _tasks(call)
    shown: dict[str, Json] = {}
    wanted = {row.task_id for row in page.rows}
    for graph in await _read(call, _ids(page.rows)):
        shown |= {task.task_id: task_view(graph, task) for task in graph.state.tasks.values() if task.task_id in wanted}
    results = [shown[row.task_id] for row in page.rows if row.task_id in shown]
    return json_response({"totalHits": page.total, "results": results})


async def _workflows(call: Call) -> SearchPage[WorkflowIndexRow]:
    given = call.query(WorkflowSearchParameters)
    query = _asked("workflow", given)
    more: list[Condition] = []
    if given.classifier:
        more.append(Compare("classifier", "=", given.classifier))
    if given.top_level_only:
        more.append(Compare("parent_workflow_id", "=", ""))
    if more:
        known = [] if query.condition is None else [query.condition]
        query = msgspec.structs.replace(query, condition=And((*known, *more)))
    await call.services.graphs.recorded()
    return await call.services.store.search_workflows(query)


async def _tasks(call: Call) -> SearchPage[TaskIndexRow]:
    query = _asked("task", call.query(SearchParameters))
    await call.services.graphs.recorded()
    return await call.services.store.search_tasks(query)


def _asked(kind: Kind, given: SearchParameters) -> SearchQuery:
    try:
        return search_query(
            kind, query=given.query, free_text=given.free_text, sort=given.sort, start=given.start, size=given.size
        )
    except QueryError as error:
        raise bad_request(str(error)) from None


def _ids(rows: Sequence[WorkflowIndexRow] | Sequence[TaskIndexRow]) -> list[str]:
    """The workflows of the rows, each once."""
    return list(dict.fromkeys(row.workflow_id for row in rows))


async def _whole(call: Call, workflow_ids: list[str]) -> list[Json]:
    return [workflow_view(graph) for graph in await _read(call, workflow_ids)]


async def _read(call: Call, workflow_ids: list[str]) -> list[GraphExecution]:
    """The executions; without what was removed since they were found."""
    found: list[GraphExecution] = []
    for start in range(0, len(workflow_ids), READ_AT_ONCE):
        page = await call.services.graphs.load(workflow_ids[start : start + READ_AT_ONCE])
        found += [graph for graph in page if graph is not None]
    return found
