"""What happens when a deadline is reached. A deadline that no longer holds changes nothing."""

from __future__ import annotations

from tenuto.history import activities, closing, inbound
from tenuto.history.effects import Deadline, DeadlineKind
from tenuto.history.execution import Execution
from tenuto.model import events as ev


def reach(execution: Execution, deadline: Deadline, now: int) -> None:
    """Let happen what is due at `deadline`."""
    if execution.state.closed:
        return
    match deadline.kind:
        case DeadlineKind.TIMER:
            assert isinstance(deadline.key, str)
            fire_timer(execution, deadline.key, now)
        case DeadlineKind.ACTIVITY:
            assert isinstance(deadline.key, int)
            activities.check_deadline(execution, deadline.key, now)
        case DeadlineKind.RUN:
            closing.check_run_timeout(execution, now)
        case DeadlineKind.WORKFLOW_TASK:
            inbound.first_task_due(execution, now)


def fire_timer(execution: Execution, timer_id: str, now: int) -> None:
    """Fire the timer if it is running and its time has come."""
    timer = execution.state.timers.get(timer_id)
    if timer is None or now < timer.fires or execution.state.paused:
        return
    if execution.task_started is not None:
        execution.buffered.append(lambda then: fire_timer(execution, timer_id, then))
        return
    execution.append(ev.TimerFired(execution.next_event_id, now, timer_id, timer.started.event_id))
    execution.schedule_task(now)
