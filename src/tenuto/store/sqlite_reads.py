"""What is read from a SQLite store. Each function does one verb, on a connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from tenuto.model.events import AnyEvent, ExecutionRef
from tenuto.model.graph import GraphEvent, decode_stored
from tenuto.model.policies import ExecutionStatus
from tenuto.model.tasks import AttemptNote
from tenuto.store.protocol import (
    PARTITIONS,
    Due,
    ExecutionFilter,
    ExecutionRow,
    InboxRow,
    StoredExecution,
    TaskKind,
    TaskRow,
)
from tenuto.store.sqlite_commit import decode_note
from tenuto.store.sqlite_statements import SQL

_Row = tuple[Any, ...]
_STATUSES = {int(status): status for status in ExecutionStatus}
_FIRST, _LAST = -(2**63), 2**63 - 1
_json = msgspec.json.Encoder()


def load(
    connection: sqlite3.Connection, refs: Sequence[ExecutionRef], closed_history: bool
) -> list[StoredExecution | None]:
    by_run, latest, rows = _find_rows(connection, refs)
    loaded = _fill(connection, rows, closed_history)
    answer: list[StoredExecution | None] = []
    for ref in refs:
        id = latest.get(ref.workflow_id) if ref.run_id is None else by_run.get(ref.run_id)
        found = None if id is None else loaded[id]
        answer.append(found if found and found.row.workflow_id == ref.workflow_id else None)
    return answer


def rows(connection: sqlite3.Connection, refs: Sequence[ExecutionRef]) -> list[ExecutionRow | None]:
    by_run, latest, found = _find_rows(connection, refs)
    answer: list[ExecutionRow | None] = []
    for ref in refs:
        id = latest.get(ref.workflow_id) if ref.run_id is None else by_run.get(ref.run_id)
        row = None if id is None else found[id]
        answer.append(row if row and row.workflow_id == ref.workflow_id else None)
    return answer


def _find_rows(
    connection: sqlite3.Connection, refs: Sequence[ExecutionRef]
) -> tuple[dict[str, int], dict[str, int], dict[int, ExecutionRow]]:
    """Ids of the runs by run id, those of the latest by workflow id, and all their rows by id."""
    rows: dict[int, ExecutionRow] = {}
    by_run: dict[str, int] = {}
    latest: dict[str, int] = {}
    run_ids = {ref.run_id for ref in refs if ref.run_id is not None}
    for id, *columns in select(connection, "executions_by_run", run_ids):
        rows[id] = row = _execution(columns)
        by_run[row.run_id] = id
    workflow_ids = {ref.workflow_id for ref in refs if ref.run_id is None}
    for id, *columns in select(connection, "executions_by_workflow", workflow_ids):
        rows[id] = row = _execution(columns)
        latest[row.workflow_id] = id
    return by_run, latest, rows


def _fill(
    connection: sqlite3.Connection, rows: dict[int, ExecutionRow], closed_history: bool
) -> dict[int, StoredExecution]:
    """The runs with all that belongs to them."""
    whole = [id for id, row in rows.items() if closed_history or row.close_time is None]
    events: dict[int, list[AnyEvent]] = {id: [] for id in rows}
    graph_events: dict[int, list[GraphEvent]] = {id: [] for id in rows}
    sizes = dict.fromkeys(rows, 0)
    for id, data in select(connection, "history_of", whole):
        decode_stored(data, events[id], graph_events[id])
        sizes[id] += len(data)
    for id, size in select(connection, "history_size_of", rows.keys() - set(whole)):
        sizes[id] = size
    notes: dict[int, dict[int, AttemptNote]] = {id: {} for id in rows}
    for id, key, note in select(connection, "notes_of", rows):
        notes[id][key] = decode_note(note)
    return {id: StoredExecution(row, events[id], sizes[id], notes[id], graph_events[id]) for id, row in rows.items()}


def select(connection: sqlite3.Connection, name: str, keys: Iterable[object]) -> Iterator[_Row]:
    """The rows of the statement of this name for all of `keys`."""
    cells = list(keys)
    if cells:
        for text, parameters in SQL[name].for_rows(cells):
            yield from connection.execute(text, parameters).fetchall()


def _execution(columns: Sequence[Any]) -> ExecutionRow:
    """The row whose columns are those of the fragment `columns`."""
    run_id = columns[2]
    return ExecutionRow(
        partition=columns[0],
        workflow_id=columns[1],
        run_id=run_id,
        first_run_id=columns[3] or run_id,
        workflow_type=columns[4],
        task_queue=columns[5],
        start_time=columns[6],
        parent_workflow_id=columns[7],
        parent_run_id=columns[8],
        memo=columns[9],
        request_id=columns[10],
        status=_STATUSES[columns[11]],
        close_time=columns[12],
        wake_at=columns[13],
        problem=columns[14],
        history_length=columns[15],
    )


def due(
    connection: sqlite3.Connection,
    partitions: Sequence[int],
    before: int,
    after: Due | None,
    limit: int,
) -> list[Due]:
    parameters = _of(partitions) | {
        "before": before,
        "wake_at": after.wake_at if after else _FIRST,
        "run_id": after.run_id if after else "",
        "limit": limit,
    }
    return [Due(*row) for row in connection.execute(SQL["due"].text, parameters).fetchall()]


def receive(
    connection: sqlite3.Connection, partitions: Sequence[int], known: Collection[int], limit: int
) -> list[InboxRow]:
    parameters = _of(partitions) | {"known": _array(list(known)), "limit": limit}
    rows = connection.execute(SQL["receive"].text, parameters).fetchall()
    return [InboxRow(*row) for row in rows]


def answers(connection: sqlite3.Connection, request_ids: Sequence[str]) -> dict[str, bytes]:
    return dict(select(connection, "answers", request_ids))


def waiting_tasks(
    connection: sqlite3.Connection, partitions: Sequence[int], task_queue: str, limit: int
) -> list[TaskRow]:
    parameters = _of(partitions) | {"task_queue": task_queue, "limit": limit}
    rows = connection.execute(SQL["waiting_tasks"].text, parameters).fetchall()
    return [
        TaskRow(partition, queue, workflow_id, run_id, key, TaskKind.ACTIVITY if key else TaskKind.WORKFLOW)
        for partition, queue, workflow_id, run_id, key in rows
    ]


def find(connection: sqlite3.Connection, filter: ExecutionFilter, limit: int, offset: int) -> list[ExecutionRow]:
    statement = SQL["find" + _way(filter)].text
    parameters = _filter(filter) | {"limit": limit, "offset": offset}
    return [_execution(row) for row in connection.execute(statement, parameters).fetchall()]


def count(connection: sqlite3.Connection, filter: ExecutionFilter) -> dict[ExecutionStatus, int]:
    statement = SQL["count" + _way(filter)].text
    rows = connection.execute(statement, _filter(filter)).fetchall()
    return {_STATUSES[status]: number for status, number in rows}


def _of(partitions: Sequence[int]) -> dict[str, object]:
    """Parameters that restrict a statement to `partitions`."""
    if len(set(partitions)) == PARTITIONS:
        return {"every_partition": True, "partitions": None}
    return {"every_partition": False, "partitions": _array(partitions)}


def _way(filter: ExecutionFilter) -> str:
    """Which statement finds what the filter asks for with the least reading."""
    if filter.workflow_id is not None or filter.workflow_id_prefix:
        return "_workflow"
    if filter.stuck:
        return "_stuck"
    if filter.statuses == (ExecutionStatus.RUNNING,):
        return "_open"
    return ""


def _filter(filter: ExecutionFilter) -> dict[str, object]:
    first, behind = _workflow_range(filter)
    return {
        "first_workflow": first,
        "behind_workflow": behind,
        "types": _array(filter.workflow_types),
        "statuses": _array(filter.statuses),
        "task_queue": filter.task_queue,
        "stuck": filter.stuck,
        "started_after": _FIRST if filter.started_after is None else filter.started_after,
        "started_before": _LAST if filter.started_before is None else filter.started_before,
        "closed_after": filter.closed_after,
        "closed_before": filter.closed_before,
        "parent": filter.parent_workflow_id,
    }


def _workflow_range(filter: ExecutionFilter) -> tuple[str, str]:
    """The workflow ids that the filter admits: from the first, to before the second."""
    prefix = filter.workflow_id_prefix or ""
    exact = filter.workflow_id
    if exact is None:
        return prefix, prefix + chr(0x10FFFF)
    return (exact, exact + "\0") if exact.startswith(prefix) else ("", "")


def _array(values: Sequence[object] | None) -> str | None:
    return None if values is None else _json.encode(values).decode()
