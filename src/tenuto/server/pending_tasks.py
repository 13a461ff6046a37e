"""Tasks that wait for a worker, or are out with one: found by type, taken out of their queue and put back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tenuto.graph.execution import GraphExecution
from tenuto.graph.views import task_view
from tenuto.model.events import ExecutionRef
from tenuto.model.graph import OPEN_STATUSES
from tenuto.model.graph_messages import GraphQueueing
from tenuto.model.json_values import Json
from tenuto.model.search import And, Compare, Condition, In, IsNull, SearchQuery
from tenuto.store.protocol import TaskIndexRow

if TYPE_CHECKING:
    from tenuto.server.services import Services

#: Tasks that are read at a time.
PAGE = 1_000
#: Executions that are asked at a time.
TOGETHER = 100
#: Statuses of what has not ended.
PENDING = tuple(sorted(OPEN_STATUSES))


async def find(services: Services, task_type: str, statuses: tuple[str, ...], start: int, size: int) -> list[Json]:
    """The tasks of a type that have one of these statuses, oldest first."""
    rows = await _rows(services, _of(task_type, statuses), start, size)
    by_workflow: dict[str, set[str]] = {}
    for row in rows:
        by_workflow.setdefault(row.workflow_id, set()).add(row.task_id)

    def views(graph: GraphExecution) -> dict[str, Json]:
        wanted = by_workflow[graph.workflow_id]
        return {task.task_id: task_view(graph, task) for task in graph.state.tasks.values() if task.task_id in wanted}

    found: dict[str, Json] = {}
    for workflow_id in by_workflow:
        found |= await services.graphs.look(workflow_id, views) or {}
    return [found[row.task_id] for row in rows if row.task_id in found]


async def count(services: Services, task_type: str, statuses: tuple[str, ...], domain: str) -> int:
    """How many tasks of a type have one of these statuses; `domain` "" means those that are routed to none."""
    routed = Compare("domain", "=", domain) if domain else IsNull("domain")
    condition = And((_of(task_type, statuses), routed))
    await services.graphs.recorded()
    return (await services.store.search_tasks(SearchQuery(condition=condition, size=0))).total


async def requeue(services: Services, task_type: str) -> int:
    """Put every task of a type that waits for a worker into its queue, should it be missing there; returns how many
    wait."""
    start = 0
    while True:
        rows = await _rows(services, _of(task_type, ("SCHEDULED",)), start, PAGE)
        for first in range(0, len(rows), TOGETHER):
            await asyncio.gather(*(_requeue(services, row) for row in rows[first : first + TOGETHER]))
        start += len(rows)
        if len(rows) < PAGE:
            return start


async def _requeue(services: Services, row: TaskIndexRow) -> None:
    await services.gateway.request_checked(ExecutionRef(row.workflow_id), GraphQueueing(row.task_id))


async def withdraw(services: Services, workflow_id: str, task_id: str) -> None:
    """Take a task out of its queue. It still waits, but nobody gets it before it is requeued or its workflow has been
    out of memory."""
    await services.gateway.request_checked(ExecutionRef(workflow_id), GraphQueueing(task_id, withdraw=True))


def _of(task_type: str, statuses: tuple[str, ...]) -> Condition:
    return And((Compare("task_type", "=", task_type), In("status", statuses)))


async def _rows(services: Services, condition: Condition, start: int, size: int) -> list[TaskIndexRow]:
    await services.graphs.recorded()
    query = SearchQuery(condition=condition, sort=[("scheduled_time", False)], start=start, size=size)
    return (await services.store.search_tasks(query)).rows
