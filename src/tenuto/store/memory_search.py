"""The search index of a memory store: rows of runs and of tasks, looked through one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from typing import TypeVar

import msgspec

from tenuto.model.search import TASKS, WORKFLOWS, Searchable, SearchQuery, check_query, contains_text, matches
from tenuto.store.protocol import Commit, SearchPage, TaskIndexRow, WorkflowIndexRow

R = TypeVar("R", WorkflowIndexRow, TaskIndexRow)


class SearchIndex:
    """What searches go through. Rows are copied on their way in and out."""

    def __init__(self) -> None:
        self._workflows: dict[str, WorkflowIndexRow] = {}
        self._tasks: dict[str, TaskIndexRow] = {}

    def write(self, commit: Commit) -> None:
        for workflow in commit.indexed_workflows:
            self._workflows[workflow.run_id] = _copy(workflow)
        for task in commit.indexed_tasks:
            self._tasks[task.task_id] = _copy(task)
        for _, task_id in commit.unindexed_tasks:
            self._tasks.pop(task_id, None)

    def forget(self, run_ids: Set[str]) -> None:
        """Drop what belongs to these runs."""
        for run_id in run_ids:
            self._workflows.pop(run_id, None)
        self._tasks = {id: task for id, task in self._tasks.items() if task.run_id not in run_ids}

    def search_workflows(self, query: SearchQuery, number_of: Callable[[str], int]) -> SearchPage[WorkflowIndexRow]:
        """`number_of` tells by run id which run is newer than which."""
        check_query(query, WORKFLOWS)
        newest_first = sorted(
            self._workflows.values(), key=lambda row: (row.start_time, number_of(row.run_id)), reverse=True
        )
        return _search(newest_first, query, WORKFLOWS)

    def search_tasks(self, query: SearchQuery) -> SearchPage[TaskIndexRow]:
        check_query(query, TASKS)
        return _search(reversed(self._tasks.values()), query, TASKS)

    def task(self, task_id: str) -> TaskIndexRow | None:
        row = self._tasks.get(task_id)
        return None if row is None else _copy(row)


def _search(newest_first: Iterable[R], query: SearchQuery, searchable: Searchable) -> SearchPage[R]:
    condition, text = query.condition, query.free_text
    found = [
        row
        for row in newest_first
        if (condition is None or matches(row, condition)) and (not text or contains_text(row, text, searchable))
    ]
    for field, descending in reversed(query.sort):
        found.sort(key=_sort_key(field), reverse=descending)
    page = found[query.start : query.start + query.size]
    return SearchPage(len(found), [_copy(row) for row in page])


def _sort_key(field: str) -> Callable[[object], tuple[bool, object]]:
    def key(row: object) -> tuple[bool, object]:
        value = getattr(row, field)
        return value is not None, value

    return key


def _copy(row: R) -> R:
    if isinstance(row, TaskIndexRow):
        return msgspec.structs.replace(row, run_start=0)
    return msgspec.structs.replace(
        row,
        run_start=0,
        failed_references=list(row.failed_references),
        failed_tasks=list(row.failed_tasks),
        task_to_domain=dict(row.task_to_domain),
    )
