"""Rows for the tests of stores, with as little to say as possible."""

from typing import Any

from tenuto.model.events import AnyEvent, WorkflowTaskScheduled, decode_events, encode_events
from tenuto.model.policies import ExecutionStatus
from tenuto.store.protocol import (
    PARTITIONS,
    Commit,
    ExecutionChange,
    ExecutionRow,
    HistoryRow,
    Store,
    TaskIndexRow,
    TaskKind,
    TaskRow,
    WorkflowIndexRow,
)

ALL = range(PARTITIONS)
MINUTE = 60 * 1_000_000_000
HOUR = 60 * MINUTE
P = 3
"""The partition of everything that doesn't say otherwise."""


def run(run_id: str, workflow_id: str = "order", **columns: Any) -> ExecutionRow:
    defaults: dict[str, Any] = {
        "partition": P,
        "workflow_id": workflow_id,
        "run_id": run_id,
        "first_run_id": run_id,
        "workflow_type": "Order",
        "task_queue": "orders",
        "start_time": 100,
    }
    return ExecutionRow(**(defaults | columns))


def closed(run_id: str, at: int, status: ExecutionStatus = ExecutionStatus.COMPLETED) -> ExecutionChange:
    return ExecutionChange(P, run_id, status, at, None, None, 7)


def events(first: int, number: int = 1) -> list[AnyEvent]:
    return [WorkflowTaskScheduled(first + i, 100, "orders", 10.0) for i in range(number)]


def history(run_id: str, first: int, number: int = 1) -> HistoryRow:
    return HistoryRow(P, run_id, first, encode_events(events(first, number)))


def read(row: HistoryRow) -> list[AnyEvent]:
    return decode_events(row.events)


def task(run_id: str, key: int = 0, queue: str = "orders", workflow_id: str = "order", partition: int = P) -> TaskRow:
    kind = TaskKind.ACTIVITY if key else TaskKind.WORKFLOW
    return TaskRow(partition, queue, workflow_id, run_id, key, kind)


class Engine:
    """Holds the lease of `store` and commits under it."""

    def __init__(self, store: Store, name: str = "engine") -> None:
        self.store = store
        self.name = name
        self.epochs: dict[int, int] = {}

    async def lease(self) -> "Engine":
        self.epochs = (await self.store.lease(self.name, now=0, until=MINUTE)).epochs
        return self

    async def commit(self, **rows: Any) -> None:
        await self.store.commit(Commit(epochs={P: self.epochs[P]}, **rows))


def workflow_entry(run_id: str, workflow_id: str = "order", **columns: Any) -> WorkflowIndexRow:
    defaults: dict[str, Any] = {
        "partition": P,
        "workflow_id": workflow_id,
        "run_id": run_id,
        "workflow_type": "Order",
        "version": 1,
        "status": "RUNNING",
        "start_time": 100,
        "update_time": 100,
    }
    return WorkflowIndexRow(**(defaults | columns))


def task_entry(task_id: str, run_id: str = "r1", workflow_id: str = "order", **columns: Any) -> TaskIndexRow:
    defaults: dict[str, Any] = {
        "partition": P,
        "task_id": task_id,
        "workflow_id": workflow_id,
        "run_id": run_id,
        "workflow_type": "Order",
        "task_type": "charge",
        "task_def_name": "charge",
        "reference_name": "charge_ref",
        "status": "SCHEDULED",
        "scheduled_time": 100,
        "update_time": 100,
    }
    return TaskIndexRow(**(defaults | columns))
