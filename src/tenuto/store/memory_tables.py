"""The tables of a memory store: the same rows as everywhere, in dictionaries.

What goes in is copied and what comes out is a copy, or a caller could change what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Set

import msgspec

from tenuto.model.errors import StoreError
from tenuto.model.events import ExecutionRef
from tenuto.model.graph import decode_stored
from tenuto.model.search import SearchQuery
from tenuto.model.tasks import AttemptNote
from tenuto.store.memory_documents import Documents
from tenuto.store.memory_members import Members
from tenuto.store.memory_search import SearchIndex
from tenuto.store.protocol import (
    Claim,
    Commit,
    Due,
    ExecutionChange,
    ExecutionFilter,
    ExecutionRow,
    Hint,
    InboxRow,
    SearchPage,
    StoredExecution,
    TaskKind,
    TaskRow,
    WorkflowIndexRow,
)

ANSWERS_KEPT = 3600 * 1_000_000_000
"""How long an answer waits for its client, in nanoseconds."""

_CHANGEABLE = ("status", "close_time", "wake_at", "problem", "history_length")
_encode_note = msgspec.msgpack.Encoder().encode
_decode_note = msgspec.msgpack.Decoder(AttemptNote).decode


class Run:
    """One run with all that belongs to it."""

    def __init__(self, number: int, row: ExecutionRow) -> None:
        self.number = number
        self.row = msgspec.structs.replace(row)
        self.history: dict[int, bytes] = {}
        self.notes: dict[int, bytes] = {}

    def change(self, change: ExecutionChange) -> None:
        for name in _CHANGEABLE:
            setattr(self.row, name, getattr(change, name))


class Tables:
    """All rows, and who owns them. Nothing here waits, so whatever is done is done at once."""

    def __init__(self) -> None:
        self.members = Members()
        self.watchers: list[Callable[[Hint], None]] = []
        self.runs: dict[str, Run] = {}
        self.by_workflow: dict[str, list[str]] = {}
        self.tasks: dict[tuple[str, int], TaskRow] = {}
        #: Why tasks that have been claimed are to be stopped.
        self.stops: dict[tuple[str, int], str] = {}
        self.inbox: dict[int, InboxRow] = {}
        self.answers: dict[str, tuple[bytes, int]] = {}
        self.index = SearchIndex()
        self.documents = Documents()
        self._runs_started = 0
        self._messages_sent = 0

    def write(self, commit: Commit) -> None:
        """All of it; raises `StoreError` and writes nothing if it contradicts what is stored."""
        self._check(commit)
        for row in commit.started:
            self._runs_started += 1
            self.runs[row.run_id] = Run(self._runs_started, row)
            self.by_workflow.setdefault(row.workflow_id, []).append(row.run_id)
        for change in commit.changed:
            if change.run_id in self.runs:
                self.runs[change.run_id].change(change)
        for events in commit.history:
            self.runs[events.run_id].history[events.first_event_id] = events.events
        self._write_notes(commit)
        for task in commit.tasks:
            self.tasks.setdefault((task.run_id, task.key), task)
        for task, reason in commit.cancelled:
            self.stops[task.run_id, task.key] = reason
        for task in commit.tasks_done:
            self.tasks.pop((task.run_id, task.key), None)
            self.stops.pop((task.run_id, task.key), None)
        for partition, data in commit.sent:
            self._messages_sent += 1
            self.inbox[self._messages_sent] = InboxRow(self._messages_sent, partition, data)
        for _, id in commit.received:
            self.inbox.pop(id, None)
        for request_id, answer, now in commit.answers:
            self.answers[request_id] = (answer, now)
        self.index.write(commit)
        self.documents.write(commit)
        if commit.removed:
            removed = {run_id for _, run_id in commit.removed} & self.runs.keys()
            self._forget([self.runs[run_id].row for run_id in removed])

    def _check(self, commit: Commit) -> None:
        known = {row.run_id for row in commit.started}
        if len(known) < len(commit.started) or known & self.runs.keys():
            raise StoreError("A run of this commit is recorded already.")
        needed = {row.run_id for row in commit.history} | {row.run_id for row in commit.tasks}
        needed |= {row.run_id for row in commit.notes if row.note is not None}
        needed |= {row.run_id for row in commit.indexed_workflows} | {row.run_id for row in commit.indexed_tasks}
        if unknown := needed - known - self.runs.keys():
            raise StoreError(f"There is no run {unknown.pop()}.")
        places = {(row.run_id, row.first_event_id) for row in commit.history}
        if len(places) < len(commit.history) or any(
            run_id in self.runs and event_id in self.runs[run_id].history for run_id, event_id in places
        ):
            raise StoreError("Events of this commit are recorded already.")

    def _write_notes(self, commit: Commit) -> None:
        for row in commit.notes:
            if row.note is not None:
                self.runs[row.run_id].notes[row.key] = _encode_note(row.note)
            elif row.run_id in self.runs:
                self.runs[row.run_id].notes.pop(row.key, None)

    def load(self, ref: ExecutionRef, closed_history: bool) -> StoredExecution | None:
        run_id = ref.run_id or next(reversed(self.by_workflow.get(ref.workflow_id, [])), "")
        run = self.runs.get(run_id)
        if run is None or run.row.workflow_id != ref.workflow_id:
            return None
        whole = closed_history or run.row.close_time is None
        stored = StoredExecution(
            msgspec.structs.replace(run.row),
            [],
            sum(map(len, run.history.values())),
            {key: _decode_note(note) for key, note in run.notes.items()},
            tasks=[task for task in self.tasks.values() if task.run_id == run_id],
        )
        for _, data in sorted(run.history.items()) if whole else ():
            decode_stored(data, stored.events, stored.graph_events)
        return stored

    def due(self, partitions: Set[int], before: int, after: Due | None) -> list[Due]:
        rows = (run.row for run in self.runs.values())
        found = [
            Due(row.workflow_id, row.run_id, row.wake_at)
            for row in rows
            if row.wake_at is not None and row.wake_at < before and row.partition in partitions
        ]
        if after is not None:
            behind = (after.wake_at, after.run_id)
            found = [due for due in found if (due.wake_at, due.run_id) > behind]
        return sorted(found, key=lambda due: (due.wake_at, due.run_id))

    def received(self, partitions: Set[int], known: Set[int]) -> list[InboxRow]:
        return [
            msgspec.structs.replace(row)
            for row in self.inbox.values()
            if row.id not in known and row.partition in partitions
        ]

    def waiting(self, partitions: Set[int], task_queue: str) -> list[TaskRow]:
        kinds = (TaskKind.WORKFLOW, TaskKind.ACTIVITY)
        return [
            task
            for task in self.tasks.values()
            if task.task_queue == task_queue
            and task.partition in partitions
            and task.kind in kinds
            and not task.claimed_by
        ]

    def claim(self, owner: str, task_queue: str, kinds: Collection[TaskKind], limit: int, now: int) -> list[TaskRow]:
        free = [
            task
            for task in self.tasks.values()
            if task.task_queue == task_queue and task.kind in kinds and not task.claimed_by
        ]
        claimed = [msgspec.structs.replace(task, claimed_by=owner, claimed_at=now) for task in free[:limit]]
        self.tasks.update({(task.run_id, task.key): task for task in claimed})
        return claimed

    def held(self, owner: str, task: TaskRow) -> str | None:
        key = (task.run_id, task.key)
        row = self.tasks.get(key)
        if row is None or row.claimed_by != owner or row.claimed_at != task.claimed_at:
            return None
        return self.stops.get(key, "")

    def claims(self, partitions: Set[int], since: int) -> list[Claim]:
        found = [
            Claim(task, not self.members.alive(task.claimed_by))
            for task in self.tasks.values()
            if task.claimed_by and task.partition in partitions
        ]
        return [claim for claim in found if claim.lost or claim.task.claimed_at >= since]

    def hint(self, hint: Hint) -> None:
        if hint != Hint():
            for watcher in list(self.watchers):
                watcher(hint)

    def find(self, filter: ExecutionFilter) -> list[ExecutionRow]:
        runs = [run for run in self.runs.values() if matches(run.row, filter)]
        runs.sort(key=lambda run: (run.row.start_time, run.number), reverse=True)
        return [msgspec.structs.replace(run.row) for run in runs]

    def search_workflows(self, query: SearchQuery) -> SearchPage[WorkflowIndexRow]:
        return self.index.search_workflows(query, lambda run_id: self.runs[run_id].number)

    def purge(self, closed_before: int, now: int, limit: int) -> int:
        closed = [
            (run.row.close_time, run.number, run.row)
            for run in self.runs.values()
            if run.row.close_time is not None and run.row.close_time < closed_before
        ]
        gone = [row for _, _, row in sorted(closed, key=lambda entry: entry[:2])[:limit]]
        self._forget(gone)
        self.answers = {id: entry for id, entry in self.answers.items() if entry[1] >= now - ANSWERS_KEPT}
        return len(gone)

    def _forget(self, gone: list[ExecutionRow]) -> None:
        for row in gone:
            del self.runs[row.run_id]
            self.by_workflow[row.workflow_id].remove(row.run_id)
            if not self.by_workflow[row.workflow_id]:
                del self.by_workflow[row.workflow_id]
        run_ids = {row.run_id for row in gone}
        self.tasks = {key: task for key, task in self.tasks.items() if key[0] not in run_ids}
        self.stops = {key: reason for key, reason in self.stops.items() if key[0] not in run_ids}
        self.index.forget(run_ids)
        self.documents.forget({row.workflow_id for row in gone} - self.by_workflow.keys())


def matches(row: ExecutionRow, filter: ExecutionFilter) -> bool:
    """Does the filter ask for this run? Bounds of times are exclusive."""
    return (
        filter.workflow_id in (None, row.workflow_id)
        and row.workflow_id.startswith(filter.workflow_id_prefix or "")
        and (filter.workflow_types is None or row.workflow_type in filter.workflow_types)
        and (filter.statuses is None or row.status in filter.statuses)
        and filter.task_queue in (None, row.task_queue)
        and filter.stuck in (None, row.problem is not None)
        and _between(filter.started_after, row.start_time, filter.started_before)
        and _between(filter.closed_after, row.close_time, filter.closed_before)
        and filter.parent_workflow_id in (None, row.parent_workflow_id)
    )


def _between(after: int | None, time: int | None, before: int | None) -> bool:
    if time is None:
        return after is None and before is None
    return (after is None or time > after) and (before is None or time < before)
