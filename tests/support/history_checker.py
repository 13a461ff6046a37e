"""Is a history well-formed? What must hold of every run, whatever has happened to its engine (reference B1-B3)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tenuto.model import events as ev

#: For every field that names another event: the types that event may have. 0 means "none" where `NONE_ALLOWED` says so.
REFERENCES: dict[type, dict[str, tuple[type, ...]]] = {
    ev.WorkflowTaskStarted: {"scheduled_event_id": (ev.WorkflowTaskScheduled,)},
    ev.WorkflowTaskCompleted: {
        "scheduled_event_id": (ev.WorkflowTaskScheduled,),
        "started_event_id": (ev.WorkflowTaskStarted,),
    },
    ev.WorkflowTaskFailed: {
        "scheduled_event_id": (ev.WorkflowTaskScheduled,),
        "started_event_id": (ev.WorkflowTaskStarted,),
    },
    ev.WorkflowTaskTimedOut: {
        "scheduled_event_id": (ev.WorkflowTaskScheduled,),
        "started_event_id": (ev.WorkflowTaskStarted,),
    },
    ev.ActivityTaskStarted: {"scheduled_event_id": (ev.ActivityTaskScheduled,)},
    ev.ActivityTaskCompleted: {
        "scheduled_event_id": (ev.ActivityTaskScheduled,),
        "started_event_id": (ev.ActivityTaskStarted,),
    },
    ev.ActivityTaskFailed: {
        "scheduled_event_id": (ev.ActivityTaskScheduled,),
        "started_event_id": (ev.ActivityTaskStarted,),
    },
    ev.ActivityTaskTimedOut: {
        "scheduled_event_id": (ev.ActivityTaskScheduled,),
        "started_event_id": (ev.ActivityTaskStarted,),
    },
    ev.ActivityTaskCanceled: {
        "scheduled_event_id": (ev.ActivityTaskScheduled,),
        "started_event_id": (ev.ActivityTaskStarted,),
        "latest_cancel_requested_event_id": (ev.ActivityTaskCancelRequested,),
    },
    ev.ActivityTaskCancelRequested: {"scheduled_event_id": (ev.ActivityTaskScheduled,)},
    ev.TimerFired: {"started_event_id": (ev.TimerStarted,)},
    ev.TimerCanceled: {"started_event_id": (ev.TimerStarted,)},
    ev.StartChildWorkflowExecutionFailed: {"initiated_event_id": (ev.StartChildWorkflowExecutionInitiated,)},
    ev.ChildWorkflowExecutionStarted: {"initiated_event_id": (ev.StartChildWorkflowExecutionInitiated,)},
    **{
        closed: {
            "initiated_event_id": (ev.StartChildWorkflowExecutionInitiated,),
            "started_event_id": (ev.ChildWorkflowExecutionStarted,),
        }
        for closed in (
            ev.ChildWorkflowExecutionCompleted,
            ev.ChildWorkflowExecutionFailed,
            ev.ChildWorkflowExecutionCanceled,
            ev.ChildWorkflowExecutionTimedOut,
            ev.ChildWorkflowExecutionTerminated,
        )
    },
    ev.ExternalWorkflowExecutionSignaled: {"initiated_event_id": (ev.SignalExternalWorkflowExecutionInitiated,)},
    ev.SignalExternalWorkflowExecutionFailed: {"initiated_event_id": (ev.SignalExternalWorkflowExecutionInitiated,)},
    ev.ExternalWorkflowExecutionCancelRequested: {
        "initiated_event_id": (ev.RequestCancelExternalWorkflowExecutionInitiated,)
    },
    ev.RequestCancelExternalWorkflowExecutionFailed: {
        "initiated_event_id": (ev.RequestCancelExternalWorkflowExecutionInitiated,)
    },
    ev.WorkflowExecutionUpdateCompleted: {"accepted_event_id": (ev.WorkflowExecutionUpdateAccepted,)},
}

#: An activity that never ran (it timed out in its queue, or was cancelled there) has no start.
NONE_ALLOWED = {(ev.ActivityTaskTimedOut, "started_event_id"), (ev.ActivityTaskCanceled, "started_event_id")}

#: What ends the thing that an event began; at most one of them per beginning.
ENDINGS: dict[type, tuple[str, str]] = {
    ev.WorkflowTaskStarted: ("workflow task started", "scheduled_event_id"),
    ev.WorkflowTaskCompleted: ("workflow task", "scheduled_event_id"),
    ev.WorkflowTaskFailed: ("workflow task", "scheduled_event_id"),
    ev.WorkflowTaskTimedOut: ("workflow task", "scheduled_event_id"),
    ev.ActivityTaskStarted: ("activity started", "scheduled_event_id"),
    ev.ActivityTaskCompleted: ("activity", "scheduled_event_id"),
    ev.ActivityTaskFailed: ("activity", "scheduled_event_id"),
    ev.ActivityTaskTimedOut: ("activity", "scheduled_event_id"),
    ev.ActivityTaskCanceled: ("activity", "scheduled_event_id"),
    ev.ActivityTaskCancelRequested: ("cancel of activity", "scheduled_event_id"),
    ev.TimerFired: ("timer", "started_event_id"),
    ev.TimerCanceled: ("timer", "started_event_id"),
    ev.ChildWorkflowExecutionStarted: ("child started", "initiated_event_id"),
    ev.StartChildWorkflowExecutionFailed: ("child", "initiated_event_id"),
    ev.ChildWorkflowExecutionCompleted: ("child", "initiated_event_id"),
    ev.ChildWorkflowExecutionFailed: ("child", "initiated_event_id"),
    ev.ChildWorkflowExecutionCanceled: ("child", "initiated_event_id"),
    ev.ChildWorkflowExecutionTimedOut: ("child", "initiated_event_id"),
    ev.ChildWorkflowExecutionTerminated: ("child", "initiated_event_id"),
    ev.ExternalWorkflowExecutionSignaled: ("signal", "initiated_event_id"),
    ev.SignalExternalWorkflowExecutionFailed: ("signal", "initiated_event_id"),
    ev.ExternalWorkflowExecutionCancelRequested: ("external cancel", "initiated_event_id"),
    ev.RequestCancelExternalWorkflowExecutionFailed: ("external cancel", "initiated_event_id"),
    ev.WorkflowExecutionUpdateCompleted: ("update", "accepted_event_id"),
}

ACTIVITY_CLOSED = (
    ev.ActivityTaskCompleted,
    ev.ActivityTaskFailed,
    ev.ActivityTaskTimedOut,
    ev.ActivityTaskCanceled,
)

TASK_CLOSED = (ev.WorkflowTaskCompleted, ev.WorkflowTaskFailed, ev.WorkflowTaskTimedOut)


class BadHistory(AssertionError):
    """The history breaks a rule; the message says where and which."""


def check_history(events: Sequence[ev.AnyEvent]) -> None:
    """Raise `BadHistory` unless `events` is a well-formed history, from its first event on."""
    faults = list(faults_of(events))
    if faults:
        shown = "\n".join(f"  {event.event_id:3} {type(event).__name__} {event}"[:200] for event in events)
        raise BadHistory("; ".join(faults) + f"\n{shown}")


def faults_of(events: Sequence[ev.AnyEvent]) -> list[str]:
    """Every rule that is broken, in words."""
    faults: list[str] = []
    if not events or not isinstance(events[0], ev.WorkflowExecutionStarted):
        return ["the first event is not WorkflowExecutionStarted"]
    if [event.event_id for event in events] != list(range(1, len(events) + 1)):
        faults.append(f"ids are not 1..{len(events)}: {[event.event_id for event in events]}")
        return faults
    faults += _order(events)
    faults += _references(events)
    faults += _unique(events)
    faults += _tasks(events)
    faults += _commands(events)
    faults += _pauses(events)
    return faults


def _order(events: Sequence[ev.AnyEvent]) -> list[str]:
    faults = []
    for event in events[1:]:
        if isinstance(event, ev.WorkflowExecutionStarted):
            faults.append(f"{_name(event)}: a second start")
    for event in events[:-1]:
        if isinstance(event, ev.CLOSING_EVENTS):
            faults.append(f"{_name(event)} is not the last event")
    for before, event in pairwise(events):
        # An activity's start is written late, with the time at which it happened.
        late = isinstance(event, ev.ActivityTaskStarted) or isinstance(before, ev.ActivityTaskStarted)
        if event.time < before.time and not late:
            faults.append(f"{_name(event)} is earlier than the event before it")
        if isinstance(before, ev.ActivityTaskStarted) and (
            not isinstance(event, ACTIVITY_CLOSED) or event.scheduled_event_id != before.scheduled_event_id
        ):
            faults.append(f"{_name(before)} is not followed by the end of its activity")
    return faults


def _references(events: Sequence[ev.AnyEvent]) -> list[str]:
    faults = []
    for event in events:
        for field, kinds in REFERENCES.get(type(event), {}).items():
            target = getattr(event, field)
            if target == 0 and (type(event), field) in NONE_ALLOWED:
                continue
            if not 1 <= target < event.event_id or type(events[target - 1]) not in kinds:
                found = type(events[target - 1]).__name__ if 1 <= target <= len(events) else "nothing"
                faults.append(f"{_name(event)}.{field} is {target}, which is {found}")
        task = getattr(event, "workflow_task_completed_event_id", None)
        if task is not None and not (
            1 <= task < event.event_id and isinstance(events[task - 1], ev.WorkflowTaskCompleted)
        ):
            faults.append(f"{_name(event)}.workflow_task_completed_event_id is {task}, no WorkflowTaskCompleted")
    return faults


def _unique(events: Sequence[ev.AnyEvent]) -> list[str]:
    faults, seen = [], set()
    for event in events:
        kind, field = ENDINGS.get(type(event), ("", ""))
        if not kind:
            continue
        key = (kind, getattr(event, field))
        if key in seen:
            faults.append(f"{_name(event)} ends {kind} {key[1]} a second time")
        seen.add(key)
        if isinstance(event, ev.TimerFired | ev.TimerCanceled):
            started = events[event.started_event_id - 1]
            if isinstance(started, ev.TimerStarted) and started.timer_id != event.timer_id:
                faults.append(f"{_name(event)} is of timer {event.timer_id}, started as {started.timer_id}")
    requests = [e.request_id for e in events if isinstance(e, ev.WorkflowExecutionSignaled) and e.request_id]
    if len(requests) != len(set(requests)):
        faults.append("a signal was recorded twice")
    updates = [e.update_id for e in events if isinstance(e, ev.WorkflowExecutionUpdateAccepted)]
    if len(updates) != len(set(updates)):
        faults.append("an update was accepted twice")
    if sum(isinstance(event, ev.WorkflowExecutionCancelRequested) for event in events) > 1:
        faults.append("a cancel request was recorded twice")
    return faults


def _tasks(events: Sequence[ev.AnyEvent]) -> list[str]:
    """One workflow task at a time; nothing is written between its start and its end."""
    faults = []
    scheduled: int | None = None
    started: int | None = None
    for event in events:
        if started is not None and not isinstance(event, TASK_CLOSED):
            faults.append(f"{_name(event)} stands inside of a workflow task")
        if isinstance(event, ev.WorkflowTaskScheduled):
            if scheduled is not None:
                faults.append(f"{_name(event)}: a task is scheduled already")
            scheduled = event.event_id
        elif isinstance(event, ev.WorkflowTaskStarted):
            if event.scheduled_event_id != scheduled:
                faults.append(f"{_name(event)} starts {event.scheduled_event_id}, scheduled is {scheduled}")
            started = event.event_id
        elif isinstance(event, TASK_CLOSED):
            if (event.scheduled_event_id, event.started_event_id) != (scheduled, started):
                faults.append(f"{_name(event)} closes a task that is not the open one")
            scheduled = started = None
    return faults


def _commands(events: Sequence[ev.AnyEvent]) -> list[str]:
    """Command events stand directly behind the end of the task that gave them; a child that is still open, an update
    that isn't answered and the like may only be left over by a run that has closed."""
    faults = []
    task: int | None = None
    for event in events:
        if isinstance(event, ev.WorkflowTaskCompleted):
            task = event.event_id
        elif type(event) in ev.COMMAND_EVENTS:
            if task is None:
                faults.append(f"{_name(event)} does not follow the task that gave it")
            elif getattr(event, "workflow_task_completed_event_id", task) != task:
                faults.append(f"{_name(event)} names another task than {task}")
        else:
            task = None
    return faults


def _pauses(events: Sequence[ev.AnyEvent]) -> list[str]:
    """While a run is paused its code decides nothing, and no timer fires."""
    faults = []
    paused = False
    for event in events:
        if isinstance(event, ev.WorkflowExecutionPaused | ev.WorkflowExecutionUnpaused):
            if paused is isinstance(event, ev.WorkflowExecutionPaused):
                faults.append(f"{_name(event)} a second time")
            paused = not paused
        elif paused and isinstance(event, ev.WorkflowTaskScheduled | ev.WorkflowTaskStarted | ev.TimerFired):
            faults.append(f"{_name(event)} while the run is paused")
    return faults


def _name(event: ev.AnyEvent) -> str:
    return f"{event.event_id} {type(event).__name__}"
