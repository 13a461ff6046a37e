"""What is read from a PostgreSQL store. Each function does one verb; `fetch` runs a statement by its name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any

from tenuto.model.events import AnyEvent, ExecutionRef
from tenuto.model.graph import GraphEvent, decode_stored
from tenuto.model.policies import ExecutionStatus
from tenuto.store.documents import behind
from tenuto.store.postgres.commit import decode_note
from tenuto.store.postgres.texts import escape, unescape
from tenuto.store.protocol import (
    Due,
    ExecutionFilter,
    ExecutionRow,
    InboxRow,
    StoredExecution,
    TaskKind,
    TaskRow,
    partition_of,
)

Fetch = Callable[[str, dict[str, object]], Awaitable[list[Any]]]

_STATUSES = {int(status): status for status in ExecutionStatus}
_KINDS = {int(kind): kind for kind in TaskKind}
_FIRST, _LAST = -(2**63), 2**63 - 1


async def load(fetch: Fetch, refs: Sequence[ExecutionRef], closed_history: bool) -> list[StoredExecution | None]:
    places = await _find(fetch, "places", refs)
    records: dict[str, Any] = {}
    for slot in {place["slot"] for place in places if place is not None}:
        there = {
            (place["partition"], place["run_id"]) for place in places if place is not None and place["slot"] == slot
        }
        named: dict[str, object] = {
            "slot": slot,
            "partition": [partition for partition, _ in there],
            "run_id": [run_id for _, run_id in there],
            "whole": closed_history,
        }
        records.update((record["run_id"], record) for record in await fetch("load", named))
    found = [None if place is None else records.get(place["run_id"]) for place in places]
    # Each is a run of its own, for a caller may change it.
    return [None if record is None else _stored(record) for record in found]


async def rows(fetch: Fetch, refs: Sequence[ExecutionRef]) -> list[ExecutionRow | None]:
    found = await _find(fetch, "rows", refs)
    return [None if record is None else execution_row(record) for record in found]


async def _find(fetch: Fetch, what: str, refs: Sequence[ExecutionRef]) -> list[Any | None]:
    """A record for each of `refs`: with `rows` its row, with `places` where its run lies."""
    by_run = {(partition_of(ref.workflow_id), ref.run_id) for ref in refs if ref.run_id is not None}
    latest = {ref.workflow_id for ref in refs if ref.run_id is None}
    found: dict[tuple[str, str | None], Any] = {}
    if by_run:
        named: dict[str, object] = {
            "partition": [partition for partition, _ in by_run],
            "run_id": [escape(run_id) for _, run_id in by_run],
        }
        for record in await fetch(f"{what}_by_run", named):
            found[unescape(record["workflow_id"]), unescape(record["run_id"])] = record
    if latest:
        named = {
            "partition": [partition_of(workflow_id) for workflow_id in latest],
            "workflow_id": [escape(workflow_id) for workflow_id in latest],
        }
        for record in await fetch(f"{what}_by_workflow", named):
            found[unescape(record["workflow_id"]), None] = record
    return [found.get((ref.workflow_id, ref.run_id)) for ref in refs]


def _stored(record: Any) -> StoredExecution:
    events: list[AnyEvent] = []
    graph_events: list[GraphEvent] = []
    for data in record["events"] or ():
        decode_stored(data, events, graph_events)
    row = execution_row(record)
    notes = zip(record["note_keys"] or (), record["notes"] or (), strict=True)
    names = ("task_keys", "kinds", "queues", "claimed_by", "claimed_at", "data")
    tasks = [
        TaskRow(
            row.partition, unescape(queue), row.workflow_id, row.run_id, key, _KINDS[kind], data,
            unescape(claimed_by) or "", claimed_at,
        )
        for key, kind, queue, claimed_by, claimed_at, data in zip(*(record[name] or () for name in names), strict=True)
    ]  # fmt: skip
    notes_by_key = {key: decode_note(note) for key, note in notes}
    return StoredExecution(row, events, record["size"], notes_by_key, graph_events, tasks)


def execution_row(record: Any) -> ExecutionRow:
    """The row of a record that has the fragment `columns`."""
    run_id = unescape(record["run_id"])
    return ExecutionRow(
        partition=record["partition"],
        workflow_id=unescape(record["workflow_id"]),
        run_id=run_id,
        first_run_id=unescape(record["first_run_id"]) or run_id,
        workflow_type=unescape(record["workflow_type"]),
        task_queue=unescape(record["task_queue"]),
        start_time=record["start_time"],
        parent_workflow_id=unescape(record["parent_workflow_id"]),
        parent_run_id=unescape(record["parent_run_id"]),
        memo=record["memo"],
        request_id=unescape(record["request_id"]),
        status=_STATUSES[record["status"]],
        close_time=record["close_time"],
        wake_at=record["wake_at"],
        problem=unescape(record["problem"]),
        history_length=record["history_length"],
    )


async def due(fetch: Fetch, partitions: Sequence[int], before: int, after: Due | None, limit: int) -> list[Due]:
    named: dict[str, object] = {
        "partitions": partitions,
        "before": before,
        "wake_at": after.wake_at if after else _FIRST,
        "run_id": escape(after.run_id) if after else "",
        "limit": limit,
    }
    return [Due(unescape(id), unescape(run_id), wake_at) for id, run_id, wake_at in await fetch("due", named)]


async def receive(fetch: Fetch, partitions: Sequence[int], known: Collection[int], limit: int) -> list[InboxRow]:
    named: dict[str, object] = {"partitions": partitions, "known": list(known), "limit": limit}
    return [InboxRow(*record) for record in await fetch("receive", named)]


async def answers(fetch: Fetch, request_ids: Sequence[str]) -> dict[str, bytes]:
    named: dict[str, object] = {
        "partition": [partition_of(id) for id in request_ids],
        "request_id": [escape(id) for id in request_ids],
    }
    return {unescape(id): answer for id, answer in await fetch("answers", named)}


async def waiting_tasks(fetch: Fetch, partitions: Sequence[int], task_queue: str, limit: int) -> list[TaskRow]:
    named: dict[str, object] = {
        "partitions": partitions,
        "kinds": [int(TaskKind.WORKFLOW), int(TaskKind.ACTIVITY)],
        "task_queue": escape(task_queue),
        "limit": limit,
    }
    return [task_row(record) for record in await fetch("waiting_tasks", named)]


def task_row(record: Any) -> TaskRow:
    """The row of a record that has the fragment `task_columns`."""
    return TaskRow(
        record["partition"],
        unescape(record["task_queue"]),
        unescape(record["workflow_id"]),
        unescape(record["run_id"]),
        record["key"],
        _KINDS[record["kind"]],
        record["data"],
        unescape(record["claimed_by"]) or "",
        record["claimed_at"],
    )


async def find(fetch: Fetch, filter: ExecutionFilter, limit: int, offset: int) -> list[ExecutionRow]:
    named = _filter(filter) | {"limit": limit, "offset": offset}
    return [execution_row(record) for record in await fetch("find" + _way(filter), named)]


async def count(fetch: Fetch, filter: ExecutionFilter) -> dict[ExecutionStatus, int]:
    return {_STATUSES[status]: number for status, number in await fetch("count" + _way(filter), _filter(filter))}


def _way(filter: ExecutionFilter) -> str:
    """Which statement finds what the filter asks for with the least reading."""
    if filter.workflow_id is not None or filter.workflow_id_prefix:
        return "_workflow"
    if filter.stuck:
        return "_stuck"
    return "_open" if filter.statuses == (ExecutionStatus.RUNNING,) else ""


def _filter(filter: ExecutionFilter) -> dict[str, object]:
    first, end = _workflow_range(filter)
    return {
        "first_workflow": first,
        "behind_workflow": end,
        "types": _texts(filter.workflow_types),
        "statuses": None if filter.statuses is None else [int(status) for status in filter.statuses],
        "task_queue": escape(filter.task_queue),
        "stuck": filter.stuck,
        "started_after": _FIRST if filter.started_after is None else filter.started_after,
        "started_before": _LAST if filter.started_before is None else filter.started_before,
        "closed_after": filter.closed_after,
        "closed_before": filter.closed_before,
        "parent": escape(filter.parent_workflow_id),
    }


def _workflow_range(filter: ExecutionFilter) -> tuple[str, str | None]:
    """The stored workflow ids that the filter admits: from the first, to before the second."""
    prefix = filter.workflow_id_prefix or ""
    exact = filter.workflow_id
    if exact is None:
        return escape(prefix), behind(escape(prefix))
    if not exact.startswith(prefix):
        return "", ""
    return escape(exact), escape(exact + "\x00")


def _texts(values: Iterable[str] | None) -> list[str] | None:
    return None if values is None else [escape(value) for value in values]
