"""HUMAN tasks as people see them: assigned to somebody, claimed, worked on, completed.

The task itself says what there is to do and takes the result; who has it is kept beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from tenuto.graph.execution import GraphExecution
from tenuto.graph.views import task_view
from tenuto.model.errors import ConflictError
from tenuto.model.graph_messages import TaskUpdate
from tenuto.model.json_values import Json, encode_json
from tenuto.model.search import SearchQuery
from tenuto.server.errors import ApiError, conflict, not_found
from tenuto.server.graph_calls import ask
from tenuto.server.human_entries import (
    Assignment,
    Custody,
    HumanTaskSearch,
    HumanTaskUser,
    condition_of,
    entry_of,
    fits,
    may_claim,
)
from tenuto.store.protocol import Document

if TYPE_CHECKING:
    from tenuto.server.services import Services

COLLECTION = "human_tasks"
ATTEMPTS = 20


class HumanTasks:
    """The HUMAN tasks of one store."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def entry(self, task_id: str) -> dict[str, Json]:
        """A task as its people see it. Raises ApiError (404)."""
        task = await self.task(task_id)
        return entry_of(task, (await self._custody(task_id))[0])

    async def task(self, task_id: str) -> dict[str, Json]:
        """A HUMAN task as the API of tasks shows it. Raises ApiError (404)."""
        workflow_id = await self._services.workflow_of(task_id)

        def render(graph: GraphExecution) -> dict[str, Json] | None:
            tasks = graph.state.tasks.values()
            return next((task_view(graph, task) for task in tasks if task.task_id == task_id), None)

        view = None if workflow_id is None else await self._services.graphs.look(workflow_id, render)
        if view is None or view["taskType"] != "HUMAN":
            raise not_found(f"there is no human task with the id {task_id!r}")
        return view

    async def search(self, query: HumanTaskSearch) -> list[dict[str, Json]]:
        """The tasks that a search asks for, latest first; not paged yet."""
        await self._services.graphs.recorded()
        found: list[dict[str, Json]] = []
        start = 0
        while True:
            search = SearchQuery(
                condition=condition_of(query),
                free_text=query.full_text_query.strip("*"),
                sort=[("scheduled_time", True)],
                start=start,
                size=500,
            )
            rows = (await self._services.store.search_tasks(search)).rows
            for row in rows:
                if query.task_input_query not in row.input or query.task_output_query not in row.output:
                    continue
                entry = await self.entry(row.task_id)
                if fits(entry, query):
                    found.append(entry)
            if len(rows) < 500:
                return found
            start += 500

    # -- who has it ----------------------------------------------------------------------------------------------------

    async def claim(self, task_id: str, user: HumanTaskUser, *, override: bool) -> dict[str, Json]:
        """Give a task to a user who wants it. Raises ApiError: 404, 409 if somebody else has it or is to have it."""
        await self._open_task(task_id)

        def claimed(entry: dict[str, Json], custody: Custody) -> Custody:
            holder = custody.claimant
            if holder is not None and holder != user and not override:
                raise conflict(f"the task {task_id} is claimed by {holder.user} already")
            assignee = entry.get("assignee")
            if assignee and not override and not may_claim(assignee, user):
                raise conflict(f"the task {task_id} is assigned to {assignee.get('user')}, not to {user.user}")
            return replace(custody, claimant=user)

        return await self._change(task_id, user.user or "", claimed)

    async def release(self, task_id: str, by: str) -> None:
        """Take a task away from whoever claimed it."""
        await self._open_task(task_id)
        await self._change(task_id, by, lambda entry, custody: replace(custody, claimant=None))

    async def reassign(self, task_id: str, assignments: list[Assignment], by: str) -> None:
        """Say anew whom a task is for; nobody has it then."""
        await self._open_task(task_id)
        changed = Custody(assignments=assignments)
        await self._change(task_id, by, lambda entry, custody: replace(changed))

    async def update(self, task_id: str, output: dict[str, Json], *, complete: bool, by: str) -> None:
        """Add to the output of a task, and complete it if that is all. Raises ApiError: 404, 409 if it has ended."""
        task = await self._open_task(task_id)
        body = TaskUpdate(
            "COMPLETED" if complete else "IN_PROGRESS",
            task_id=task_id,
            output=output,
            merge_output=True,
            worker_id=by,
        )
        await ask(self._services, task["workflowInstanceId"], body)

    async def skip(self, task_id: str, reason: str) -> None:
        """Go on without the task: it ends as completed with what it has. Raises ApiError: 404, 409 if it has ended."""
        task = await self._open_task(task_id)
        body = TaskUpdate("COMPLETED", task_id=task_id, merge_output=True, reason=reason or "skipped")
        await ask(self._services, task["workflowInstanceId"], body)

    async def _open_task(self, task_id: str) -> dict[str, Json]:
        task = await self.task(task_id)
        if task["status"] not in ("SCHEDULED", "IN_PROGRESS"):
            raise conflict(f"the human task {task_id} has ended ({task['status']})")
        return task

    async def _custody(self, task_id: str) -> tuple[Custody, int]:
        """Who has a task, and the revision of the document that says it."""
        document = await self._services.store.document(COLLECTION, task_id)
        if document is None:
            return Custody(), 0
        return msgspec.json.decode(document.data, type=Custody), document.revision

    async def _change(
        self, task_id: str, by: str, change: Callable[[dict[str, Json], Custody], Custody]
    ) -> dict[str, Json]:
        task = await self.task(task_id)
        for _ in range(ATTEMPTS):
            custody, revision = await self._custody(task_id)
            changed = change(entry_of(task, custody), custody)
            changed.updated_by, changed.updated_on = by, self._services.now_ms()
            document = Document(
                COLLECTION,
                task_id,
                encode_json(changed),
                updated=self._services.clock.now(),
                workflow_id=task["workflowInstanceId"],
            )
            try:
                await self._services.store.put_document(document, expected=revision)
            except ConflictError:
                continue
            return entry_of(task, changed)
        raise ApiError(503, f"others change the task {task_id} all the time; try again", retryable=True)
