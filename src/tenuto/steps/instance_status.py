"""How an instance stands: read off what the store has of its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tenuto.converter import DataConverter
from tenuto.history.closing import result_of
from tenuto.history.execution import Execution
from tenuto.history.state import ExecutionState
from tenuto.model import events as ev
from tenuto.model.limits import Limits
from tenuto.model.policies import ExecutionStatus
from tenuto.steps.control import RollbackOutcome, rollback_outcome
from tenuto.store.protocol import StoredExecution

Status = Literal[
    "queued",
    "running",
    "waiting",
    "waitingForPause",
    "paused",
    "errored",
    "terminated",
    "complete",
    "unknown",
]
FINAL: frozenset[Status] = frozenset({"errored", "terminated", "complete"})

_CLOSED: dict[ExecutionStatus, Status] = {
    ExecutionStatus.COMPLETED: "complete",
    ExecutionStatus.FAILED: "errored",
    ExecutionStatus.TIMED_OUT: "errored",
    ExecutionStatus.CANCELED: "terminated",
    ExecutionStatus.TERMINATED: "terminated",
}


@dataclass(frozen=True)
class InstanceError:
    """What an instance failed with: the error's name (that of its class unless it says another) and its message."""

    name: str
    message: str


@dataclass(frozen=True)
class InstanceStatus:
    """How an instance stands. `status` is one of

    queued           it waits for a slot of the concurrency limit, or for a worker to begin it
    running          its code or a step is at work, or is about to
    waiting          all that goes on is a sleep, a wait for an event, or the delay of a retry
    waitingForPause  it is to be paused, and a step is still at work
    paused           nothing of it goes on until it is resumed
    errored, terminated, complete   it has ended
    unknown          none of these

    `output` is what `run` returned, `error` what it failed with, `rollback` how the rollbacks went, if there were any.
    """

    status: Status
    output: Any = None
    error: InstanceError | None = None
    rollback: RollbackOutcome | None = None

    @property
    def is_final(self) -> bool:
        """Has it ended?"""
        return self.status in FINAL


def status_of(stored: StoredExecution, now: int, converter: DataConverter) -> InstanceStatus:
    """How the run stands of which `stored` has all events. `now` is in nanoseconds since the epoch."""
    if stored.row.status is not ExecutionStatus.RUNNING:
        return _ended(stored.row.status, stored.events, converter)
    execution = Execution.restore(stored.events, stored.notes, stored.history_size, Limits(), str)
    state = execution.state
    claimed = {task.key for task in stored.tasks if task.claimed_by}
    running = any(note.started_time is not None for note in _notes(state)) or any(key > 0 for key in claimed)
    if state.paused:
        return InstanceStatus("waitingForPause" if running else "paused")
    if execution.in_line or not state.has_decided:
        return InstanceStatus("queued")
    due = any(note.next_attempt_time is None or note.next_attempt_time <= now for note in _notes(state))
    return InstanceStatus("running" if running or due or state.task_pending else "waiting")


def _notes(state: ExecutionState) -> list[Any]:
    return [activity.note for activity in state.activities.values()]


def _ended(status: ExecutionStatus, events: Sequence[ev.AnyEvent], converter: DataConverter) -> InstanceStatus:
    shown = _CLOSED.get(status, "unknown")
    if not events:
        return InstanceStatus(shown)
    result, failure = result_of(events[-1])
    output = converter.decode(result[0]) if result else None
    error = None
    if failure is not None and shown == "errored":
        error = InstanceError(failure.type_name or "Error", failure.message)
    return InstanceStatus(shown, output, error, rollback_outcome(events[-1], converter))
