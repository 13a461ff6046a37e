"""Executions found by what they have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.views import workflow_view
from tenuto.model.json_values import Json
from tenuto.model.search import And, Compare, Condition, In, SearchQuery
from tenuto.server.errors import bad_request

if TYPE_CHECKING:
    from tenuto.server.services import Services

OPEN = In("status", ("RUNNING", "PAUSED"))
#: Names or correlation ids in one request.
LIMIT = 1_000
#: Executions that are read for one answer, or in one page.
MOST_FOUND = 5_000


async def correlated(
    services: Services, names: list[str], correlation_ids: list[str], closed: bool, tasks: bool
) -> dict[str, list[Json]]:
    """The executions of these workflows by correlation id, newest first; open ones only unless `closed`."""
    if len(correlation_ids) > LIMIT or len(names) > LIMIT:
        raise bad_request(f"at most {LIMIT} correlation ids and workflow names may be asked for at once")
    conditions: list[Condition] = [
        In("workflow_type", tuple(names)),
        In("correlation_id", tuple(correlation_ids)),
    ]
    if not closed:
        conditions.append(OPEN)
    await services.graphs.recorded()
    query = SearchQuery(condition=And(tuple(conditions)), sort=[("start_time", True)], size=MOST_FOUND)
    found = await services.store.search_workflows(query)
    if found.total > MOST_FOUND:
        raise bad_request(
            f"{found.total} workflows have these correlation ids, more than {MOST_FOUND}: search for them"
        )
    rows = found.rows
    answer: dict[str, list[Json]] = {key: [] for key in correlation_ids}
    for row in rows:
        view = await services.graphs.look(row.workflow_id, lambda graph: workflow_view(graph, tasks=tasks))
        if view is not None and row.correlation_id is not None:
            answer[row.correlation_id].append(view)
    return answer


async def running_ids(
    services: Services, name: str, version: int | None, start_time: int | None, end_time: int | None
) -> list[str]:
    """The ids of the open executions of a workflow that began between two times (milliseconds, both included)."""
    conditions: list[Condition] = [Compare("workflow_type", "=", name), OPEN]
    if version:
        conditions.append(Compare("version", "=", version))
    if start_time:
        conditions.append(Compare("start_time", ">=", start_time * 1_000_000))
    if end_time:
        conditions.append(Compare("start_time", "<", (end_time + 1) * 1_000_000))
    await services.graphs.recorded()
    ids: list[str] = []
    while True:
        query = SearchQuery(
            condition=And(tuple(conditions)), sort=[("start_time", True)], start=len(ids), size=MOST_FOUND
        )
        rows = (await services.store.search_workflows(query)).rows
        ids += [row.workflow_id for row in rows]
        if len(rows) < MOST_FOUND:
            return list(dict.fromkeys(ids))
