"""Tasks that wait for a worker, or are out with one: found by type, taken out of their queue and put back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from tenuto.engine.resident import Resident
from tenuto.graph.execution import GraphExecution
from tenuto.graph.views import task_view
from tenuto.model.graph import OPEN_STATUSES
from tenuto.model.json_values import Json
from tenuto.model.search import And, Compare, Condition, In, IsNull, SearchQuery
from tenuto.store.protocol import TaskIndexRow

if TYPE_CHECKING:
    from tenuto.server.services import Services

#: Tasks that are read at a time.
PAGE = 1_000
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
        for row in rows:
            await _offer(services, row)
        start += len(rows)
        if len(rows) < PAGE:
            return start


async def _offer(services: Services, row: TaskIndexRow) -> None:
    def offer(resident: Resident, graph: GraphExecution) -> None:
        for task in graph.state.open.values():
            due = task.available_at <= services.clock.now()
            if task.task_id == row.task_id and task.status == "SCHEDULED" and task.kind == "SIMPLE" and due:
                services.graphs.queues.offer(resident, task, graph.task_def(task), graph.state.started.priority)

    await _visit(services, row.workflow_id, offer)


async def withdraw(services: Services, workflow_id: str, task_id: str) -> None:
    """Take a task out of its queue. It still waits, but nobody gets it before it is requeued or its workflow has been
    out of memory."""

    def retract(resident: Resident, graph: GraphExecution) -> None:
        for task in graph.state.open.values():
            if task.task_id == task_id and task.status == "SCHEDULED":
                services.graphs.queues.retract(task)

    await _visit(services, workflow_id, retract)


async def _visit(services: Services, workflow_id: str, work: Callable[[Resident, GraphExecution], None]) -> None:
    """Do `work` with an execution if there is one that is open."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def visit(resident: Resident | None) -> None:
        if resident is not None and resident.graph is not None and not resident.removed:
            work(resident, resident.graph)
        if not done.done():
            done.set_result(None)

    services.graphs.engine.residents.visit(workflow_id, visit)
    await done


def _of(task_type: str, statuses: tuple[str, ...]) -> Condition:
    return And((Compare("task_type", "=", task_type), In("status", statuses)))


async def _rows(services: Services, condition: Condition, start: int, size: int) -> list[TaskIndexRow]:
    await services.graphs.recorded()
    query = SearchQuery(condition=condition, sort=[("scheduled_time", False)], start=start, size=size)
    return (await services.store.search_tasks(query)).rows
