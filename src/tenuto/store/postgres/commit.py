"""A commit as one statement: of named parts, those that it needs, behind the fence.

All parts see the database as it was before, so what a commit both adds and takes away is settled here. At first it is
taken for granted that the runs it changes, and those that its rows belong to, are as they nearly always are: open and
not to be opened, or closed, a second time. The database refuses the commit if not, and it is repeated with the parts
that look at closed runs too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from tenuto.model.tasks import AttemptNote
from tenuto.store.postgres.documents import deleted_columns, document_columns
from tenuto.store.postgres.driver import REFUSED
from tenuto.store.postgres.index import task_columns, unindexed_columns, workflow_columns
from tenuto.store.postgres.members import lease_lost
from tenuto.store.postgres.purge import forget
from tenuto.store.postgres.sessions import Session
from tenuto.store.postgres.statements import Statement, Statements
from tenuto.store.postgres.texts import escape
from tenuto.store.protocol import Commit, ExecutionChange, ExecutionRow, TaskRow, partition_of

_encode_note = msgspec.msgpack.Encoder().encode
decode_note = msgspec.msgpack.Decoder(AttemptNote).decode

_Key = tuple[int, str]
_Row = Sequence[object]

_STARTED = (
    "partition slot status start_time wake_at history_length workflow_id run_id first_run_id workflow_type task_queue"
    " parent_workflow_id parent_run_id request_id problem memo"
)
_STARTED_CLOSED = _STARTED.replace("start_time", "start_time close_time")


class Plan:
    """What a commit consists of; `slot_of` tells where what started then lies."""

    def __init__(self, commit: Commit, slot_of: Callable[[int], int]) -> None:
        self._parts: list[str] = []
        self._rare_parts: list[str] = []
        self._counted: list[str] = []
        """Parts that must find as many rows as `_values` has under `<part>_expected`."""
        self._values: dict[str, object] = {}
        if commit.started or commit.changed:
            self._add_runs(commit, slot_of)
        self._add_belongings(commit, slot_of)
        if commit.tasks or commit.tasks_done or commit.cancelled:
            self._add_tasks(commit)
        if commit.sent or commit.received or commit.answers:
            self._add_messages(commit)
        if commit.indexed_workflows or commit.indexed_tasks or commit.unindexed_tasks:
            self._add_index(commit, slot_of)
        if commit.documents or commit.deleted_documents:
            self._add_documents(commit)
        self._add_known(commit)
        self.removed = dict.fromkeys((partition, escape(run_id)) for partition, run_id in commit.removed)

    @property
    def is_empty(self) -> bool:
        return not (self._parts or self.removed)

    def statement(self, statements: Statements, *, fenced: bool, thorough: bool) -> Statement:
        """The commit in one statement, which returns whether the fence was passed. Only `thorough`, it finds runs that
        have closed."""
        parts = ["fence" if fenced else "no_fence", *self._parts]
        if not thorough:
            return statements.composed(parts, self._counted)
        parts = ["known" if part == "known_open" else part for part in parts]
        return statements.composed(parts + self._rare_parts, [part for part in parts if part == "known"])

    def values(self, fence: Mapping[str, object]) -> dict[str, object]:
        """The values of the statement's parameters."""
        return self._values | dict(fence)

    def _add(self, prefix: str, names: str, rows: Sequence[_Row], *parts: str) -> None:
        """Parts whose parameters are the columns of `rows`."""
        if rows:
            self._parts += parts
            columns = zip(*rows, strict=True)
            self._values.update(
                (f"{prefix}_{name}", column) for name, column in zip(names.split(), columns, strict=True)
            )

    def _count(self, part: str, number: int) -> None:
        self._counted.append(part)
        self._values[f"{part}_expected"] = number

    def _add_runs(self, commit: Commit, slot_of: Callable[[int], int]) -> None:
        changes = {(change.partition, change.run_id): change for change in commit.changed}
        opened, closed = _started(commit.started, changes, slot_of)
        self._add("s", _STARTED, opened, "insert_executions")
        self._add("z", _STARTED_CLOSED, closed, "insert_closed_executions")
        updates = [_update(change) for change in changes.values() if change.close_time is None]
        self._add("u", "partition run_id status wake_at problem history_length", updates, "update_executions")
        if updates:
            self._count("update_executions", len(updates))
            self._rare_parts += ["delete_reopened", "insert_reopened"]
        closing = [_closing(change) for change in changes.values() if change.close_time is not None]
        names = "partition run_id status close_time wake_at problem history_length"
        self._add("c", names, closing, "delete_closing", "insert_closing")
        if closing:
            self._count("delete_closing", len(closing))
            self._rare_parts.append("update_closed_executions")

    def _add_belongings(self, commit: Commit, slot_of: Callable[[int], int]) -> None:
        history = [
            (row.partition, slot_of(row.run_start), row.first_event_id, escape(row.run_id), row.events)
            for row in commit.history
        ]
        self._add("h", "partition slot first_event_id run_id events", history, "insert_history")
        notes = {(note.run_id, note.key): note for note in commit.notes}.values()
        kept = [(n.partition, n.key, escape(n.run_id), _encode_note(n.note)) for n in notes if n.note is not None]
        self._add("n", "partition key run_id note", kept, "upsert_notes")
        deleted = [(n.partition, n.key, escape(n.run_id)) for n in notes if n.note is None]
        self._add("m", "partition key run_id", deleted, "delete_notes")

    def _add_tasks(self, commit: Commit) -> None:
        done = {(task.run_id, task.key): task for task in commit.tasks_done}
        stops = {(task.run_id, task.key): (task, why) for task, why in commit.cancelled}
        tasks = [
            _task(task, stops[task.run_id, task.key][1] if (task.run_id, task.key) in stops else None)
            for task in commit.tasks
            if (task.run_id, task.key) not in done
        ]
        names = "partition kind key claimed_at run_id workflow_id task_queue claimed_by stop data"
        self._add("t", names, tasks, "insert_tasks")
        stopped = [(t.partition, t.key, escape(t.run_id), escape(why)) for t, why in stops.values()]
        self._add("x", "partition key run_id stop", stopped, "stop_tasks")
        over = [(task.partition, task.key, escape(task.run_id)) for task in done.values()]
        self._add("d", "partition key run_id", over, "delete_tasks")

    def _add_messages(self, commit: Commit) -> None:
        self._add("i", "partition data", commit.sent, "insert_inbox")
        self._add("r", "partition id", commit.received, "delete_inbox")
        last = {request_id: (answer, now) for request_id, answer, now in commit.answers}
        answers = [(partition_of(id), now, escape(id), answer) for id, (answer, now) in last.items()]
        self._add("a", "partition recorded request_id answer", answers, "upsert_answers")

    def _add_index(self, commit: Commit, slot_of: Callable[[int], int]) -> None:
        workflows = {row.run_id: row for row in commit.indexed_workflows}
        self._add_named(workflow_columns(workflows.values(), slot_of), "upsert_workflow_index")
        gone = {task_id for _, task_id in commit.unindexed_tasks}
        tasks = {row.task_id: row for row in commit.indexed_tasks if row.task_id not in gone}
        self._add_named(task_columns(tasks.values(), slot_of), "upsert_task_index")
        self._add_named(unindexed_columns(commit.unindexed_tasks), "delete_task_index")

    def _add_documents(self, commit: Commit) -> None:
        gone = dict.fromkeys(commit.deleted_documents)
        documents = {(d.collection, d.key): d for d in commit.documents if (d.collection, d.key) not in gone}
        self._add_named(document_columns(documents.values()), "upsert_documents")
        self._add_named(deleted_columns(gone), "delete_documents")

    def _add_named(self, columns: Mapping[str, Sequence[object]], part: str) -> None:
        if any(columns.values()):
            self._parts.append(part)
            self._values.update(columns)

    def _add_known(self, commit: Commit) -> None:
        """Rows of runs that aren't there must not be written."""
        started = {(row.partition, row.run_id) for row in commit.started}
        needed = _owners(commit) - started
        if needed:
            self._add("k", "partition run_id", [(partition, escape(id)) for partition, id in needed], "known_open")
            self._values["known_expected"] = len(needed)
            self._count("known_open", len(needed))


async def write(session: Session, statements: Statements, plan: Plan, fence: Mapping[str, object] | None) -> None:
    """Write the plan if the fence with these values is passed. Raises `LeaseLostError` if it is not."""
    try:
        await _write(session, statements, plan, fence, thorough=False)
    except Exception as error:
        if getattr(error, "sqlstate", "") != REFUSED:
            raise
        await _write(session, statements, plan, fence, thorough=True)


async def _write(
    session: Session, statements: Statements, plan: Plan, fence: Mapping[str, object] | None, *, thorough: bool
) -> None:
    if not plan.removed:
        await _execute(session, statements, plan, fence, thorough=thorough)
        return
    async with session.transaction():
        await _execute(session, statements, plan, fence, thorough=thorough)
        await forget(session, statements, list(plan.removed))


async def _execute(
    session: Session, statements: Statements, plan: Plan, fence: Mapping[str, object] | None, *, thorough: bool
) -> None:
    statement = plan.statement(statements, fenced=fence is not None, thorough=thorough)
    rows = await session.fetch(statement, plan.values(fence or {}))
    if not rows[0]["ok"]:
        raise lease_lost()


def _owners(commit: Commit) -> set[_Key]:
    """The runs that rows of this commit belong to."""
    owners = {(row.partition, row.run_id) for row in commit.history}
    owners.update((row.partition, row.run_id) for row in commit.tasks)
    owners.update((row.partition, row.run_id) for row in commit.notes if row.note is not None)
    owners.update((row.partition, row.run_id) for row in commit.indexed_workflows)
    owners.update((row.partition, row.run_id) for row in commit.indexed_tasks)
    return owners


def _started(
    rows: list[ExecutionRow], changes: dict[_Key, ExecutionChange], slot_of: Callable[[int], int]
) -> tuple[list[_Row], list[_Row]]:
    """New runs as they are after the commit, those that are open and those that have closed already: takes out of
    `changes` what concerns them."""
    opened: list[_Row] = []
    closed: list[_Row] = []
    for row in rows:
        now = changes.pop((row.partition, row.run_id), row)
        first = (row.partition, slot_of(row.start_time), int(now.status), row.start_time)
        rest = (
            now.wake_at,
            now.history_length,
            escape(row.workflow_id),
            escape(row.run_id),
            None if row.first_run_id == row.run_id else escape(row.first_run_id),
            escape(row.workflow_type),
            escape(row.task_queue),
            escape(row.parent_workflow_id),
            escape(row.parent_run_id),
            escape(row.request_id),
            escape(now.problem),
            row.memo,
        )
        if now.close_time is None:
            opened.append((*first, *rest))
        else:
            closed.append((*first, now.close_time, *rest))
    return opened, closed


def _update(row: ExecutionChange) -> _Row:
    return (
        row.partition, escape(row.run_id), int(row.status), row.wake_at, escape(row.problem), row.history_length,
    )  # fmt: skip


def _closing(row: ExecutionChange) -> _Row:
    return (
        row.partition, escape(row.run_id), int(row.status), row.close_time, row.wake_at, escape(row.problem),
        row.history_length,
    )  # fmt: skip


def _task(task: TaskRow, stop: str | None) -> _Row:
    return (
        task.partition,
        int(task.kind),
        task.key,
        task.claimed_at,
        escape(task.run_id),
        escape(task.workflow_id),
        escape(task.task_queue),
        escape(task.claimed_by) or None,
        escape(stop),
        task.data,
    )
