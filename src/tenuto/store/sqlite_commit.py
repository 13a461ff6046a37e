"""One commit as a list of statements. Made by the caller's thread, so that the writer's has little
to do but wait for the disk; no statement reads, but for those that compare the epoch and find what
belongs to a run that is removed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from tenuto.model.errors import LeaseLostError
from tenuto.model.tasks import AttemptNote
from tenuto.store.protocol import Commit, ExecutionChange, ExecutionRow, HistoryRow, NoteRow
from tenuto.store.sqlite_documents import document_cells
from tenuto.store.sqlite_index import task_cells, workflow_cells
from tenuto.store.sqlite_purge import remove
from tenuto.store.sqlite_statements import SQL
from tenuto.store.statements import ABSENT, MOST_ROWS, Parameters

_BEGIN, _COMMIT = SQL["begin"].text, SQL["commit"].text
_CURRENT_EPOCH = SQL["current_epoch"].text

_encode_note = msgspec.msgpack.Encoder().encode
Call = tuple[str, Parameters]


class Plan(Struct):
    """What to execute. `epoch` is what must be current, None if that doesn't matter; with `alone`,
    the only call checks that by itself and is a transaction by itself."""

    calls: list[Call]
    epoch: int | None
    alone: bool = False
    removed: Sequence[str] = ()
    """Run ids of what is to be forgotten after all that."""


def plan_commit(commit: Commit, epoch: int | None) -> Plan:
    """The statements that write `commit` if `epoch` is current."""
    if epoch is not None and _only_history(commit):
        fenced = SQL["insert_history_fenced"].for_rows(_history_cells(commit.history), epoch)
        return Plan(list(fenced), epoch, alone=True)
    calls: list[Call] = []
    for statement, cells in _parts(commit):
        if cells:
            calls.extend(SQL[statement].for_rows(cells))
    return Plan(calls, epoch, removed=[run_id for _, run_id in commit.removed])


def execute(connection: sqlite3.Connection, plan: Plan) -> None:
    """Write it all, or nothing. Raises `LeaseLostError` if the plan's epoch is not current."""
    if plan.alone:
        ((text, parameters),) = plan.calls
        if connection.execute(text, parameters).rowcount == 0:
            raise lease_lost()
        return
    connection.execute(_BEGIN)
    if plan.epoch is not None:
        (current,) = connection.execute(_CURRENT_EPOCH).fetchone()
        if current != plan.epoch:
            raise lease_lost()
    for text, parameters in plan.calls:
        connection.execute(text, parameters)
    if plan.removed:
        remove(connection, plan.removed)
    connection.execute(_COMMIT)


def next_epoch(connection: sqlite3.Connection) -> int:
    """Fence whoever held the partitions before; returns the epoch that is current now."""
    connection.execute(_BEGIN)
    connection.execute(SQL["next_epoch"].text)
    (epoch,) = connection.execute(_CURRENT_EPOCH).fetchone()
    connection.execute(_COMMIT)
    return int(epoch)


def lease_lost() -> LeaseLostError:
    """The error of a commit that was fenced."""
    return LeaseLostError("Another engine has taken over the partitions of this commit; nothing of it was written.")


def rows_in(commit: Commit) -> int:
    """How many rows a commit writes, roughly."""
    return (
        len(commit.history)
        + len(commit.notes)
        + len(commit.sent)
        + len(commit.received)
        + len(commit.answers)
        + len(commit.tasks)
        + len(commit.tasks_done)
        + len(commit.unindexed_tasks)
        + len(commit.documents)
        + len(commit.deleted_documents)
        + 3 * (len(commit.started) + len(commit.changed) + len(commit.indexed_workflows) + len(commit.indexed_tasks))
        + 10 * len(commit.removed)
    )


def _only_history(commit: Commit) -> bool:
    return 0 < len(commit.history) <= MOST_ROWS and not (
        commit.started
        or commit.changed
        or commit.notes
        or commit.tasks
        or commit.tasks_done
        or commit.sent
        or commit.received
        or commit.answers
        or commit.indexed_workflows
        or commit.indexed_tasks
        or commit.unindexed_tasks
        or commit.documents
        or commit.deleted_documents
        or commit.removed
    )


def _parts(commit: Commit) -> Iterable[tuple[str, Parameters]]:
    """Names of statements and the cells of their rows, in the order in which they must run: a run
    before what belongs to it, what is added before what is taken away."""
    changes = {change.run_id: change for change in commit.changed}
    yield "insert_executions", _execution_cells(commit.started, changes)
    yield "update_executions", _change_cells(changes.values())
    yield "insert_history", _history_cells(commit.history)
    notes = {(note.run_id, note.key): note for note in commit.notes}.values()
    yield "upsert_notes", _note_cells(notes)
    yield "delete_notes", flat((n.run_id, n.key) for n in notes if n.note is None)
    yield "insert_tasks", flat((t.run_id, t.task_queue, t.key) for t in commit.tasks)
    yield "delete_tasks", flat((t.run_id, t.key) for t in commit.tasks_done)
    yield "insert_inbox", flat(commit.sent)
    yield "delete_inbox", [id for _, id in commit.received]
    yield "upsert_answers", flat({answer[0]: answer for answer in commit.answers}.values())
    yield "upsert_workflow_index", workflow_cells({w.run_id: w for w in commit.indexed_workflows}.values())
    yield "upsert_task_index", task_cells({t.task_id: t for t in commit.indexed_tasks}.values())
    yield "delete_task_index", [task_id for _, task_id in commit.unindexed_tasks]
    yield "upsert_documents", document_cells({(d.collection, d.key): d for d in commit.documents}.values())
    yield "delete_documents", flat(commit.deleted_documents)


def flat(rows: Iterable[Sequence[object]]) -> Parameters:
    """The cells of `rows`, one after another."""
    return [cell for row in rows for cell in row]


def _execution_cells(rows: list[ExecutionRow], changes: dict[str, ExecutionChange]) -> Parameters:
    """New runs as they are after the commit: takes out of `changes` what concerns them."""
    cells: Parameters = []
    for row in rows:
        first_run_id = ABSENT if row.first_run_id == row.run_id else row.first_run_id
        cells += (row.partition, row.workflow_id, row.run_id, first_run_id, row.workflow_type)
        cells += (row.task_queue, row.start_time)
        cells += (row.parent_workflow_id or ABSENT, row.parent_run_id or ABSENT)
        cells += (bytearray(row.memo), row.request_id)
        cells += _changeable(changes.pop(row.run_id, row))
    return cells


def _change_cells(changes: Iterable[ExecutionChange]) -> Parameters:
    return flat((row.run_id, *_changeable(row)) for row in changes)


def _changeable(row: ExecutionRow | ExecutionChange) -> Sequence[object]:
    return (
        int(row.status),
        ABSENT if row.close_time is None else row.close_time,
        ABSENT if row.wake_at is None else row.wake_at,
        ABSENT if row.problem is None else row.problem,
        row.history_length,
    )


def _history_cells(rows: list[HistoryRow]) -> Parameters:
    """As bytearrays: `sqlite3` binds one, copy included, in half the time of bytes."""
    cells: Parameters = []
    for row in rows:
        cells += (row.run_id, row.first_event_id, bytearray(row.events))
    return cells


def _note_cells(rows: Iterable[NoteRow]) -> Parameters:
    return flat((row.run_id, row.key, _encode_note(row.note)) for row in rows if row.note)


decode_note = msgspec.msgpack.Decoder(AttemptNote).decode
