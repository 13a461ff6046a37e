"""Rows of tasks in the store: what waits there for a worker of some process, or is being done by one.

A task is parked when no worker of this process serves its queue. Its row stays while somebody is at it, as the record
that it was begun, and goes in the commit that holds what came of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from tenuto.model.messages import Query, Update
from tenuto.model.tasks import ActivityTask
from tenuto.store.protocol import TaskKind, TaskRow

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine
    from tenuto.engine.resident import Resident


class WorkflowTaskData(Struct, array_like=True, gc=False):
    """What workflow code has to know beside the history."""

    updates: list[Update]
    events_suggestion: int
    """From so many events on, or so many bytes, the code is told to continue as new."""
    size_suggestion: int


class Parked(Struct):
    """A row, as it is in the store or will be with the current batch."""

    row: TaskRow
    attempt: int = 0
    """Of an activity; 0 if it isn't known."""
    leaving: bool = False
    """Will it be gone with a batch that isn't committed yet?"""


_encoder = msgspec.msgpack.Encoder()
_activity_tasks = msgspec.msgpack.Decoder(ActivityTask)
_workflow_tasks = msgspec.msgpack.Decoder(WorkflowTaskData)
_queries = msgspec.msgpack.Decoder(Query)


def encode(data: ActivityTask | WorkflowTaskData | Query) -> bytes:
    """What a row tells whoever claims it."""
    return _encoder.encode(data)


def decode_activity_task(row: TaskRow) -> ActivityTask:
    """Raises msgspec.DecodeError if a newer version has written it in a way that this one doesn't know."""
    return _activity_tasks.decode(row.data)


def decode_workflow_task(row: TaskRow) -> WorkflowTaskData:
    """As `decode_activity_task`."""
    return _workflow_tasks.decode(row.data)


def decode_query(row: TaskRow) -> Query:
    """As `decode_activity_task`."""
    return _queries.decode(row.data)


def parked(row: TaskRow) -> Parked:
    """A row that was found in the store."""
    if row.kind is not TaskKind.ACTIVITY or not row.data:
        return Parked(row)
    try:
        return Parked(row, decode_activity_task(row).attempt)
    except msgspec.DecodeError:
        return Parked(row)


def restore(rows: Iterable[TaskRow]) -> dict[int, Parked]:
    """The rows of a run that was read from the store, by key."""
    return {row.key: parked(row) for row in rows}


def park(engine: Engine, resident: Resident, key: int, queue: str, kind: TaskKind, data: bytes, attempt: int) -> None:
    """Leave a task to whoever claims it, unless that has been done or nothing of the run is to begin."""
    if key in resident.parked or (key >= 0 and _is_paused(resident)):
        return
    row = resident.row
    task = TaskRow(row.partition, queue, row.workflow_id, row.run_id, key, kind, data)
    resident.parked[key] = Parked(task, attempt)
    engine.batch.tasks.append(task)
    engine.batch.add(resident)  # it must not leave memory before the store has the row
    engine.plan_flush()


def unpark(engine: Engine, resident: Resident, key: int) -> None:
    """The task is done or not wanted any more: its row goes with the current batch. Before that no other can take its
    place: what one commit takes away is gone after it, whatever else it writes."""
    going = resident.parked.get(key)
    if going is None or going.leaving:
        return
    going.leaving = True

    def gone() -> None:
        if resident.parked.get(key) is going:
            del resident.parked[key]
            if key == 0:
                engine.touch(resident)  # code may have to decide about what has come since

    engine.batch.tasks_done.append(going.row)
    engine.batch.effects.append(gone)
    engine.batch.add(resident)
    engine.plan_flush()


def drop(engine: Engine, row: TaskRow) -> None:
    """A row that belongs to nothing any more."""
    engine.batch.tasks_done.append(row)
    engine.plan_flush()


def tidy(engine: Engine, resident: Resident) -> None:
    """Take away the rows of what is over: the activity has closed or goes on with another attempt, nobody waits for
    the query's answer, the run has ended. Of a paused run, also those that nobody has claimed."""
    for key, known in list(resident.parked.items()):
        over = not wanted(engine, resident, key, known.attempt) or _stands_still(resident, known)
        if over and not known.leaving:
            unpark(engine, resident, key)


def _stands_still(resident: Resident, known: Parked) -> bool:
    """Is it of a paused run, and may it be taken back? An attempt that must not run twice may just have been claimed by
    somebody of whom we haven't heard, so it stays."""
    key, execution = known.row.key, resident.execution
    if key < 0 or known.row.claimed_by or execution is None or not execution.state.paused:
        return False
    activity = execution.state.activities.get(key)
    return activity is None or activity.scheduled.retry.maximum_attempts != 1


def _is_paused(resident: Resident) -> bool:
    return resident.execution is not None and resident.execution.state.paused


def wanted(engine: Engine, resident: Resident, key: int, attempt: int) -> bool:
    """Is this task of the run still to be done?"""
    if key < 0:
        return engine.queries.elsewhere.awaits(resident.row.run_id, key)
    execution = resident.execution
    if execution is None or execution.state.closed:
        return False
    if key == 0:
        return execution.state.task_pending or bool(execution.updates_admitted)
    activity = execution.state.activities.get(key)
    return activity is not None and attempt in (0, activity.note.attempt)
