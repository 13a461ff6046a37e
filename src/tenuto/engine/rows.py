"""Keeps an execution's row in step with what a listing and a restart have to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.engine.resident import Resident
from tenuto.history.execution import Execution
from tenuto.model.policies import ExecutionStatus

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine


def close_row(resident: Resident, execution: Execution) -> None:
    """The execution may have closed."""
    row, state = resident.row, execution.state
    if state.closed and row.status is ExecutionStatus.RUNNING:
        row.status, row.close_time, row.wake_at = state.status, state.close_time, None
        row.problem = None
        resident.row_changed = True


def plan_wake(engine: Engine, resident: Resident, execution: Execution) -> None:
    """After something happened to the execution, and what others shall do has been left to them."""
    row = resident.row
    if execution.state.closed:
        return
    # A wake-up that comes too early costs a look; one that comes too late would lose the execution. So the stored one
    # is put back at once, and put off only when the execution leaves memory.
    if row.wake_at == 0 and not resident.is_new:
        return
    needed = wake_time(engine, resident, execution)
    earlier = needed is not None and (row.wake_at is None or needed < row.wake_at)
    if earlier or (resident.is_new and needed != row.wake_at):
        row.wake_at = needed
        resident.row_changed = True


def wake_time(engine: Engine, resident: Resident, execution: Execution) -> int | None:
    """When a restarted engine would have to look at this execution; 0 is at once, None never."""
    state = execution.state
    if execution.in_line or (state.started.concurrency is not None and resident.parked):
        return 0  # whoever has it next has to count it
    if execution.task_failure is not None and not state.paused:
        return 0
    if (
        (state.task_pending or execution.updates_admitted)
        and not state.paused
        and engine.turns.serves(resident.row.task_queue)
    ):
        return 0
    for key, pending in state.activities.items():
        ready = pending.note.next_attempt_time is None
        if state.paused and pending.note.started_time is None:
            continue
        waiting = resident.parked.get(key)
        if ready and (waiting is None or waiting.leaving or engine.dispatch.serves(pending.scheduled.task_queue)):
            return 0  # also if it is yet to be left to others: the store will not have its row with this commit
    return min((deadline.at for deadline in execution.deadlines()), default=None)
