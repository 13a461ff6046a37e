"""The state of one execution: a fold over its history.

Only `ExecutionState.apply` changes it, one event at a time, so that the same events always give the same state, whether
they were just written or read back from the store.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenuto.model import events as ev
from tenuto.model.policies import ExecutionStatus
from tenuto.model.tasks import STEPS, AttemptNote

SECOND = 1_000_000_000


def nanoseconds(seconds: float) -> int:
    return int(seconds * SECOND)


class PendingActivity:
    """An activity that has been scheduled and has not closed. `note` holds its attempts, `held` the nanoseconds for
    which its run has been paused since."""

    __slots__ = ("cancel_requested_event_id", "held", "note", "scheduled")

    def __init__(self, scheduled: ev.ActivityTaskScheduled) -> None:
        self.scheduled = scheduled
        self.note = AttemptNote()
        self.cancel_requested_event_id = 0
        self.held = 0


class PendingTimer:
    """A timer that runs. `fires` is when: as it was started, and later by every pause of its run since."""

    __slots__ = ("fires", "started")

    def __init__(self, started: ev.TimerStarted) -> None:
        self.started = started
        self.fires = started.time + nanoseconds(started.start_to_fire_timeout)


class PendingChild:
    """A child that has been asked for and has not closed. `started_event_id` is 0 until it started."""

    __slots__ = ("initiated", "run_id", "started_event_id")

    def __init__(self, initiated: ev.StartChildWorkflowExecutionInitiated) -> None:
        self.initiated = initiated
        self.run_id = ""
        self.started_event_id = 0


class AcceptedUpdate:
    """An update that is part of the history; `completed` is None while its handler runs."""

    __slots__ = ("accepted_event_id", "completed")

    def __init__(self, accepted_event_id: int) -> None:
        self.accepted_event_id = accepted_event_id
        self.completed: ev.WorkflowExecutionUpdateCompleted | None = None


class ExecutionState:
    """What the history says so far."""

    __slots__ = (
        "activities",
        "activity_ids",
        "cancel_requested",
        "children",
        "close_time",
        "closing_event",
        "external_cancels",
        "external_signals",
        "has_decided",
        "has_had_task",
        "held",
        "last_event_id",
        "paused_time",
        "signal_request_ids",
        "signals_received",
        "started",
        "status",
        "steps",
        "task_attempt",
        "task_pending",
        "task_scheduled_event_id",
        "timers",
        "updates",
    )

    started: ev.WorkflowExecutionStarted

    def __init__(self) -> None:
        self.last_event_id = 0
        self.status = ExecutionStatus.RUNNING
        self.closing_event: ev.AnyEvent | None = None
        self.close_time: int | None = None
        #: A workflow task is due: written as scheduled, or (after a failure) only remembered.
        self.task_pending = False
        #: The event that scheduled it, 0 when none is written.
        self.task_scheduled_event_id = 0
        self.task_attempt = 1
        self.has_had_task = False
        #: Has code of it run?
        self.has_decided = False
        #: When the run was paused; None unless it is now.
        self.paused_time: int | None = None
        #: Nanoseconds for which it was paused before.
        self.held = 0
        self.activities: dict[int, PendingActivity] = {}
        self.activity_ids: set[str] = set()
        #: Activities so far that are steps of the workflow's own code.
        self.steps = 0
        self.timers: dict[str, PendingTimer] = {}
        self.children: dict[int, PendingChild] = {}
        self.external_signals: dict[int, ev.SignalExternalWorkflowExecutionInitiated] = {}
        self.external_cancels: dict[int, ev.RequestCancelExternalWorkflowExecutionInitiated] = {}
        self.updates: dict[str, AcceptedUpdate] = {}
        self.cancel_requested = False
        self.signals_received = 0
        self.signal_request_ids: set[str] = set()

    def apply(self, event: ev.AnyEvent) -> None:
        """Take `event` into account."""
        self.last_event_id = event.event_id
        step = _STEPS.get(type(event))
        if step is not None:
            step(self, event)

    @property
    def closed(self) -> bool:
        return self.closing_event is not None

    @property
    def paused(self) -> bool:
        return self.paused_time is not None


def _started(state: ExecutionState, event: ev.WorkflowExecutionStarted) -> None:
    state.started = event


def _task_scheduled(state: ExecutionState, event: ev.WorkflowTaskScheduled) -> None:
    state.task_pending = True
    state.has_had_task = True
    state.task_scheduled_event_id = event.event_id


def _task_completed(state: ExecutionState, event: ev.WorkflowTaskCompleted) -> None:
    state.task_pending = False
    state.has_decided = True
    state.task_scheduled_event_id = 0
    state.task_attempt = 1


def _task_failed(state: ExecutionState, event: ev.WorkflowTaskFailed | ev.WorkflowTaskTimedOut) -> None:
    state.task_pending = True
    state.task_scheduled_event_id = 0
    state.task_attempt += 1


def _activity_scheduled(state: ExecutionState, event: ev.ActivityTaskScheduled) -> None:
    state.activities[event.event_id] = PendingActivity(event)
    state.activity_ids.add(event.activity_id)
    if event.task_queue.endswith(STEPS):
        state.steps += 1


def _activity_cancel_requested(state: ExecutionState, event: ev.ActivityTaskCancelRequested) -> None:
    state.activities[event.scheduled_event_id].cancel_requested_event_id = event.event_id


def _activity_closed(
    state: ExecutionState,
    event: ev.ActivityTaskCompleted | ev.ActivityTaskFailed | ev.ActivityTaskTimedOut | ev.ActivityTaskCanceled,
) -> None:
    activity = state.activities.pop(event.scheduled_event_id)
    state.activity_ids.discard(activity.scheduled.activity_id)


def _timer_started(state: ExecutionState, event: ev.TimerStarted) -> None:
    state.timers[event.timer_id] = PendingTimer(event)


def _timer_closed(state: ExecutionState, event: ev.TimerFired | ev.TimerCanceled) -> None:
    del state.timers[event.timer_id]


def _child_initiated(state: ExecutionState, event: ev.StartChildWorkflowExecutionInitiated) -> None:
    state.children[event.event_id] = PendingChild(event)


def _child_started(state: ExecutionState, event: ev.ChildWorkflowExecutionStarted) -> None:
    child = state.children[event.initiated_event_id]
    child.started_event_id = event.event_id
    child.run_id = event.run_id


def _child_closed(
    state: ExecutionState,
    event: ev.StartChildWorkflowExecutionFailed
    | ev.ChildWorkflowExecutionCompleted
    | ev.ChildWorkflowExecutionFailed
    | ev.ChildWorkflowExecutionCanceled
    | ev.ChildWorkflowExecutionTimedOut
    | ev.ChildWorkflowExecutionTerminated,
) -> None:
    del state.children[event.initiated_event_id]


def _signal_initiated(state: ExecutionState, event: ev.SignalExternalWorkflowExecutionInitiated) -> None:
    state.external_signals[event.event_id] = event


def _signal_closed(
    state: ExecutionState,
    event: ev.ExternalWorkflowExecutionSignaled | ev.SignalExternalWorkflowExecutionFailed,
) -> None:
    del state.external_signals[event.initiated_event_id]


def _cancel_initiated(state: ExecutionState, event: ev.RequestCancelExternalWorkflowExecutionInitiated) -> None:
    state.external_cancels[event.event_id] = event


def _cancel_closed(
    state: ExecutionState,
    event: ev.ExternalWorkflowExecutionCancelRequested | ev.RequestCancelExternalWorkflowExecutionFailed,
) -> None:
    del state.external_cancels[event.initiated_event_id]


def _cancel_requested(state: ExecutionState, event: ev.WorkflowExecutionCancelRequested) -> None:
    state.cancel_requested = True


def _signaled(state: ExecutionState, event: ev.WorkflowExecutionSignaled) -> None:
    state.signals_received += 1
    if event.request_id:
        state.signal_request_ids.add(event.request_id)


def _update_accepted(state: ExecutionState, event: ev.WorkflowExecutionUpdateAccepted) -> None:
    state.updates[event.update_id] = AcceptedUpdate(event.event_id)


def _update_completed(state: ExecutionState, event: ev.WorkflowExecutionUpdateCompleted) -> None:
    state.updates[event.update_id].completed = event


def _paused(state: ExecutionState, event: ev.WorkflowExecutionPaused) -> None:
    state.paused_time = event.time


def _unpaused(state: ExecutionState, event: ev.WorkflowExecutionUnpaused) -> None:
    assert state.paused_time is not None
    held = event.time - state.paused_time
    state.paused_time = None
    state.held += held
    for timer in state.timers.values():
        timer.fires += held
    for activity in state.activities.values():
        activity.held += held


_STATUS_OF: dict[type[ev.Event], ExecutionStatus] = {
    ev.WorkflowExecutionCompleted: ExecutionStatus.COMPLETED,
    ev.WorkflowExecutionFailed: ExecutionStatus.FAILED,
    ev.WorkflowExecutionTimedOut: ExecutionStatus.TIMED_OUT,
    ev.WorkflowExecutionCanceled: ExecutionStatus.CANCELED,
    ev.WorkflowExecutionTerminated: ExecutionStatus.TERMINATED,
    ev.WorkflowExecutionContinuedAsNew: ExecutionStatus.CONTINUED_AS_NEW,
}


def _closed(state: ExecutionState, event: ev.AnyEvent) -> None:
    state.status = _STATUS_OF[type(event)]
    state.closing_event = event
    state.close_time = event.time
    state.paused_time = None
    state.task_pending = False


# The whole fold, event by event. Started, marker-like and task-started events change nothing that a decision needs.
_STEPS: dict[type[ev.Event], Callable[[ExecutionState, Any], None]] = {
    ev.WorkflowExecutionStarted: _started,
    ev.WorkflowTaskScheduled: _task_scheduled,
    ev.WorkflowTaskCompleted: _task_completed,
    ev.WorkflowTaskFailed: _task_failed,
    ev.WorkflowTaskTimedOut: _task_failed,
    ev.ActivityTaskScheduled: _activity_scheduled,
    ev.ActivityTaskCancelRequested: _activity_cancel_requested,
    ev.ActivityTaskCompleted: _activity_closed,
    ev.ActivityTaskFailed: _activity_closed,
    ev.ActivityTaskTimedOut: _activity_closed,
    ev.ActivityTaskCanceled: _activity_closed,
    ev.TimerStarted: _timer_started,
    ev.TimerFired: _timer_closed,
    ev.TimerCanceled: _timer_closed,
    ev.StartChildWorkflowExecutionInitiated: _child_initiated,
    ev.ChildWorkflowExecutionStarted: _child_started,
    ev.StartChildWorkflowExecutionFailed: _child_closed,
    ev.ChildWorkflowExecutionCompleted: _child_closed,
    ev.ChildWorkflowExecutionFailed: _child_closed,
    ev.ChildWorkflowExecutionCanceled: _child_closed,
    ev.ChildWorkflowExecutionTimedOut: _child_closed,
    ev.ChildWorkflowExecutionTerminated: _child_closed,
    ev.SignalExternalWorkflowExecutionInitiated: _signal_initiated,
    ev.ExternalWorkflowExecutionSignaled: _signal_closed,
    ev.SignalExternalWorkflowExecutionFailed: _signal_closed,
    ev.RequestCancelExternalWorkflowExecutionInitiated: _cancel_initiated,
    ev.ExternalWorkflowExecutionCancelRequested: _cancel_closed,
    ev.RequestCancelExternalWorkflowExecutionFailed: _cancel_closed,
    ev.WorkflowExecutionCancelRequested: _cancel_requested,
    ev.WorkflowExecutionSignaled: _signaled,
    ev.WorkflowExecutionUpdateAccepted: _update_accepted,
    ev.WorkflowExecutionUpdateCompleted: _update_completed,
    ev.WorkflowExecutionPaused: _paused,
    ev.WorkflowExecutionUnpaused: _unpaused,
    **dict.fromkeys(_STATUS_OF, _closed),
}
