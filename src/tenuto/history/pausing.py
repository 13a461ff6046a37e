"""A run that is paused stands still: none of its code runs, no attempt begins, nothing that it waits for comes due.

Attempts that run may end, messages are taken in; the code sees them when the run goes on. What waits (timers,
back-offs, a start delay, limits on waiting) comes later by the time spent paused. The time limits of the run itself
don't: they promise others when it will have ended.
"""

from __future__ import annotations

from tenuto.history.activities import may_start
from tenuto.history.effects import ActivityReady
from tenuto.history.execution import Execution
from tenuto.model import events as ev
from tenuto.model import messages as msg


def pause(execution: Execution, body: msg.Pause, now: int) -> None:
    """Let the run stand still. Asking twice is asking once."""
    if execution.task_started is not None:
        execution.buffered.append(lambda then: pause(execution, body, then))
    elif not execution.state.paused:
        execution.append(
            ev.WorkflowExecutionPaused(execution.next_event_id, now, body.reason, body.identity, body.request_id)
        )


def unpause(execution: Execution, body: msg.Unpause, now: int) -> None:
    """Let the run go on: its code looks at what has happened, attempts that are due begin."""
    if execution.task_started is not None:
        execution.buffered.append(lambda then: unpause(execution, body, then))
        return
    state = execution.state
    if state.paused_time is None:
        return
    # Clocks of two owners may differ, and time doesn't go back.
    now = max(now, state.paused_time)
    held = now - state.paused_time
    for key, activity in state.activities.items():
        if activity.note.next_attempt_time is not None:
            activity.note.next_attempt_time += held
            execution.changed_notes.add(key)
    execution.append(
        ev.WorkflowExecutionUnpaused(execution.next_event_id, now, body.reason, body.identity, body.request_id)
    )
    if not execution.awaits_first_task:
        execution.schedule_task(now)
    for key in state.activities:
        if may_start(execution, key, now):
            execution.effects.append(ActivityReady(key))
    execution.effects.extend(execution.deadlines())
