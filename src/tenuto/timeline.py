"""A history as spans: what a run did, from when to when, how often it was tried, and what it waits for.

Pure: events (and what is known of pending activities) in, a `Timeline` out. Times are nanoseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from tenuto.model import events as ev
from tenuto.model.failures import Failure
from tenuto.model.payloads import Payload


class Kind(StrEnum):
    """What a span stands for."""

    ACTIVITY = "activity"
    TASK = "task"
    """A task of a graph."""
    TIMER = "timer"
    CHILD = "child"
    SIGNAL = "signal"
    UPDATE = "update"
    SIGNAL_SENT = "signal sent"
    CANCEL_SENT = "cancel sent"
    CANCEL_REQUEST = "cancel request"
    PAUSE = "pause"
    PROBLEM = "problem"
    """The code could not make its decision: open while the run is stuck."""


class State(StrEnum):
    """How far a span is. The first three are open."""

    WAITING = "waiting"
    RUNNING = "running"
    BACKING_OFF = "backing off"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    CANCELED = "canceled"
    TERMINATED = "terminated"

    @property
    def is_open(self) -> bool:
        return self in (State.WAITING, State.RUNNING, State.BACKING_OFF)


@dataclass
class Span:
    """One thing that the run did or met. `event_id` is of the event that opened it, `ended_event_id` of the one that
    closed it; `until` is when a timer fires or the next attempt begins; `identity` is the process that ran it."""

    event_id: int
    kind: Kind
    name: str
    id: str
    state: State
    began: int
    ended: int | None = None
    ended_event_id: int | None = None
    attempts: int = 0
    failure: str | None = None
    where: str | None = None
    until: int | None = None
    identity: str = ""
    summary: str | None = None
    cancel_requested: bool = False

    @property
    def is_open(self) -> bool:
        return self.state.is_open

    def seconds(self, now: int) -> float:
        """How long it took, or has taken so far."""
        return max(0, (now if self.ended is None else self.ended) - self.began) / 1e9


@dataclass
class Timeline:
    """A run. `state` is open, or how it ended; `next_run_id` is the run that goes on for it, if one does. `processes`
    has those that ran its code or activities, by the event at which each appeared."""

    workflow_id: str
    run_id: str
    workflow_type: str
    task_queue: str
    began: int
    input: list[Payload]
    state: State = State.RUNNING
    outcome: str = "RUNNING"
    ended: int | None = None
    result: list[Payload] | None = None
    failure: Failure | None = None
    reason: str = ""
    next_run_id: str | None = None
    spans: list[Span] = field(default_factory=list)
    processes: dict[str, int] = field(default_factory=dict)
    graph_version: int | None = None
    """The version of the definition, if this is a graph."""

    def open_spans(self) -> list[Span]:
        """What the run waits for."""
        return [span for span in self.spans if span.is_open]

    def replayed_by(self, span: Span, identity: str) -> bool:
        """Was `span` over when process `identity` took the run up, so that it only read of it?"""
        first = self.processes.get(identity)
        return first is not None and span.ended_event_id is not None and span.ended_event_id < first


class Pending(Protocol):
    """What `describe()` knows of an activity that has not closed."""

    @property
    def activity_id(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def started_time(self) -> datetime | None: ...
    @property
    def next_attempt_time(self) -> datetime | None: ...
    @property
    def last_failure(self) -> str | None: ...


def build_timeline(
    events: Sequence[ev.AnyEvent], pending: Sequence[Pending] = (), latest_problem: Failure | None = None
) -> Timeline:
    """The timeline of the run that `events` record from its first event on. Activities that have not closed are looked
    up in `pending`; `latest_problem` is why the run is stuck now, where the history has only the first reason."""
    started = events[0]
    if not isinstance(started, ev.WorkflowExecutionStarted):
        raise ValueError(f"a history begins with WorkflowExecutionStarted, not {type(started).__name__}")
    builder = _Builder(started)
    for event in events:
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(builder, event)
    builder.apply_pending(pending)
    if latest_problem is not None:
        builder.apply_problem(latest_problem)
    return builder.timeline


def line_of_code(stack_trace: str) -> str | None:
    """`file:line in function` of the innermost line of a Python stack trace."""
    for line in reversed(stack_trace.splitlines()):
        place, comma, rest = line.strip().partition('", line ')
        if comma and place.startswith('File "'):
            file = place.removeprefix('File "')
            number, _, function = rest.partition(", in ")
            return f"{file}:{number}" + (f" in {function}" if function else "")
    return None


class _Builder:
    """The timeline so far, and the spans by the event that opened them."""

    def __init__(self, started: ev.WorkflowExecutionStarted) -> None:
        self.timeline = Timeline(
            started.workflow_id,
            started.run_id,
            started.workflow_type,
            started.task_queue,
            started.time,
            started.input,
        )
        self._by_event: dict[int, Span] = {}
        self._problem: Span | None = None
        self.pause: Span | None = None

    def open(self, event: ev.Event, kind: Kind, name: str, id: str, state: State = State.WAITING) -> Span:
        span = Span(event.event_id, kind, name, id, state, event.time)
        self._by_event[event.event_id] = span
        self.timeline.spans.append(span)
        return span

    def moment(self, event: ev.Event, kind: Kind, name: str, id: str = "") -> Span:
        """Something that is over as soon as it happens."""
        span = self.open(event, kind, name, id, State.COMPLETED)
        span.ended, span.ended_event_id = event.time, event.event_id
        return span

    def close(self, event: ev.Event, opened: int, state: State, failure: Failure | str | None = None) -> Span | None:
        span = self._by_event.get(opened)
        if span is not None:
            span.state, span.ended, span.ended_event_id, span.until = state, event.time, event.event_id, None
            if failure:
                span.failure = failure if isinstance(failure, str) else _whole(failure)
                span.where = None if isinstance(failure, str) else _where(failure)
        return span

    def find(self, opened: int) -> Span | None:
        return self._by_event.get(opened)

    def seen(self, identity: str, event: ev.Event) -> None:
        if identity:
            self.timeline.processes.setdefault(identity, event.event_id)

    # -- what the code could not do ------------------------------------------------------------------------------------

    def stuck(self, event: ev.Event, name: str, failure: Failure | None) -> None:
        if self._problem is None:
            self._problem = self.open(event, Kind.PROBLEM, name, "", State.RUNNING)
        span = self._problem
        span.name = name
        span.attempts += 1
        if failure is not None:
            span.failure, span.where = failure.brief(), _where(failure)

    def mended(self, event: ev.Event) -> None:
        if self._problem is not None:
            self.close(event, self._problem.event_id, State.COMPLETED)
            self._problem = None

    def end(self, event: ev.Event, state: State, outcome: str) -> Timeline:
        timeline = self.timeline
        timeline.state, timeline.outcome, timeline.ended = state, outcome, event.time
        for span in timeline.open_spans():
            self.close(event, span.event_id, State.CANCELED)
        return timeline

    # -- what the history does not have (yet) --------------------------------------------------------------------------

    def apply_pending(self, pending: Sequence[Pending]) -> None:
        open_activities = {span.id: span for span in self.timeline.open_spans() if span.kind is Kind.ACTIVITY}
        for activity in pending:
            span = open_activities.get(activity.activity_id)
            if span is None:
                continue
            span.attempts = activity.attempt
            span.failure = activity.last_failure
            span.until = _nanoseconds(activity.next_attempt_time)
            if activity.state == "started":
                span.state = State.RUNNING
                span.until = None
                if activity.attempt == 1 and activity.started_time is not None:
                    span.began = max(span.began, _nanoseconds(activity.started_time) or 0)
            elif activity.state == "backing_off":
                span.state = State.BACKING_OFF
                span.attempts = max(1, activity.attempt - 1)
            else:
                span.attempts = activity.attempt - 1

    def apply_problem(self, failure: Failure) -> None:
        if self._problem is not None:
            self._problem.failure, self._problem.where = failure.brief(), _where(failure)


def _where(failure: Failure) -> str | None:
    """The line of code that the failure, or what lies beneath it, was raised at."""
    place = line_of_code(failure.stack_trace)
    while failure.cause is not None:
        failure = failure.cause
        place = line_of_code(failure.stack_trace) or place
    return place


def _whole(failure: Failure) -> str:
    """The failure and its causes, the outermost first, in one line."""
    texts = [failure.brief()]
    while failure.cause is not None:
        failure = failure.cause
        texts.append(failure.brief())
    return " <- ".join(texts)


def _nanoseconds(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp() * 1e9)


# -- one function an event that a reader wants to see ------------------------------------------------------------------


def _task_started(builder: _Builder, event: ev.WorkflowTaskStarted) -> None:
    builder.seen(event.identity, event)


def _task_completed(builder: _Builder, event: ev.WorkflowTaskCompleted) -> None:
    builder.seen(event.identity, event)
    builder.mended(event)


def _task_failed(builder: _Builder, event: ev.WorkflowTaskFailed) -> None:
    builder.seen(event.identity, event)
    if (
        event.cause != "UNHANDLED_COMMAND"
    ):  # the decision came too late for a message and is made again: nothing is wrong
        builder.stuck(event, event.cause, event.failure)


def _task_timed_out(builder: _Builder, event: ev.WorkflowTaskTimedOut) -> None:
    builder.stuck(event, "WORKFLOW_TASK_TIMED_OUT", None)


def _activity_scheduled(builder: _Builder, event: ev.ActivityTaskScheduled) -> None:
    builder.open(event, Kind.ACTIVITY, event.activity_type, event.activity_id).summary = event.summary


def _activity_started(builder: _Builder, event: ev.ActivityTaskStarted) -> None:
    builder.seen(event.identity, event)
    span = builder.find(event.scheduled_event_id)
    if span is not None:
        span.state, span.attempts, span.identity = State.RUNNING, event.attempt, event.identity
        span.failure = event.last_failure.brief() if event.last_failure else None
        if event.attempt == 1:
            span.began = event.time


def _activity_completed(builder: _Builder, event: ev.ActivityTaskCompleted) -> None:
    builder.close(event, event.scheduled_event_id, State.COMPLETED)


def _activity_failed(builder: _Builder, event: ev.ActivityTaskFailed) -> None:
    builder.close(event, event.scheduled_event_id, State.FAILED, event.failure)


def _activity_timed_out(builder: _Builder, event: ev.ActivityTaskTimedOut) -> None:
    builder.close(event, event.scheduled_event_id, State.TIMED_OUT, event.failure)


def _activity_canceled(builder: _Builder, event: ev.ActivityTaskCanceled) -> None:
    builder.close(event, event.scheduled_event_id, State.CANCELED)


def _activity_cancel_requested(builder: _Builder, event: ev.ActivityTaskCancelRequested) -> None:
    span = builder.find(event.scheduled_event_id)
    if span is not None:
        span.cancel_requested = True


def _timer_started(builder: _Builder, event: ev.TimerStarted) -> None:
    span = builder.open(event, Kind.TIMER, "sleep", event.timer_id)
    span.until = event.time + int(event.start_to_fire_timeout * 1e9)
    span.summary = event.summary


def _timer_fired(builder: _Builder, event: ev.TimerFired) -> None:
    builder.close(event, event.started_event_id, State.COMPLETED)


def _timer_canceled(builder: _Builder, event: ev.TimerCanceled) -> None:
    builder.close(event, event.started_event_id, State.CANCELED)


def _child_initiated(builder: _Builder, event: ev.StartChildWorkflowExecutionInitiated) -> None:
    builder.open(event, Kind.CHILD, event.workflow_type, event.workflow_id)


def _child_not_started(builder: _Builder, event: ev.StartChildWorkflowExecutionFailed) -> None:
    builder.close(event, event.initiated_event_id, State.FAILED, event.cause)


def _child_started(builder: _Builder, event: ev.ChildWorkflowExecutionStarted) -> None:
    span = builder.find(event.initiated_event_id)
    if span is not None:
        span.state = State.RUNNING


def _child_ended(state: State) -> Callable[[_Builder, Any], None]:
    def end(builder: _Builder, event: Any) -> None:
        builder.close(event, event.initiated_event_id, state, getattr(event, "failure", None))

    return end


def _signaled(builder: _Builder, event: ev.WorkflowExecutionSignaled) -> None:
    builder.moment(event, Kind.SIGNAL, event.signal_name)


def _cancel_requested(builder: _Builder, event: ev.WorkflowExecutionCancelRequested) -> None:
    builder.moment(event, Kind.CANCEL_REQUEST, event.cause or "cancel")


def _paused(builder: _Builder, event: ev.WorkflowExecutionPaused) -> None:
    builder.pause = builder.open(event, Kind.PAUSE, event.reason or "paused", "")


def _unpaused(builder: _Builder, event: ev.WorkflowExecutionUnpaused) -> None:
    if builder.pause is None:
        return
    builder.close(event, builder.pause.event_id, State.COMPLETED)
    for span in builder.timeline.open_spans():
        if span.until is not None:
            span.until += event.time - builder.pause.began


def _update_accepted(builder: _Builder, event: ev.WorkflowExecutionUpdateAccepted) -> None:
    builder.open(event, Kind.UPDATE, event.update_name, event.update_id, State.RUNNING)


def _update_completed(builder: _Builder, event: ev.WorkflowExecutionUpdateCompleted) -> None:
    state = State.COMPLETED if event.failure is None else State.FAILED
    builder.close(event, event.accepted_event_id, state, event.failure)


def _signal_sent(builder: _Builder, event: ev.SignalExternalWorkflowExecutionInitiated) -> None:
    builder.open(event, Kind.SIGNAL_SENT, event.signal_name, event.target.workflow_id)


def _cancel_sent(builder: _Builder, event: ev.RequestCancelExternalWorkflowExecutionInitiated) -> None:
    builder.open(event, Kind.CANCEL_SENT, event.reason or "cancel", event.target.workflow_id)


def _external_done(builder: _Builder, event: Any) -> None:
    builder.close(event, event.initiated_event_id, State.COMPLETED)


def _external_failed(builder: _Builder, event: Any) -> None:
    builder.close(event, event.initiated_event_id, State.FAILED, event.cause)


def _completed(builder: _Builder, event: ev.WorkflowExecutionCompleted) -> None:
    builder.end(event, State.COMPLETED, "COMPLETED").result = event.result


def _failed(builder: _Builder, event: ev.WorkflowExecutionFailed) -> None:
    timeline = builder.end(event, State.FAILED, "FAILED")
    timeline.failure, timeline.next_run_id = event.failure, event.new_execution_run_id


def _timed_out(builder: _Builder, event: ev.WorkflowExecutionTimedOut) -> None:
    builder.end(event, State.TIMED_OUT, "TIMED_OUT").next_run_id = event.new_execution_run_id


def _canceled(builder: _Builder, event: ev.WorkflowExecutionCanceled) -> None:
    builder.end(event, State.CANCELED, "CANCELED")


def _terminated(builder: _Builder, event: ev.WorkflowExecutionTerminated) -> None:
    builder.end(event, State.TERMINATED, "TERMINATED").reason = event.reason


def _continued(builder: _Builder, event: ev.WorkflowExecutionContinuedAsNew) -> None:
    builder.end(event, State.COMPLETED, "CONTINUED_AS_NEW").next_run_id = event.new_execution_run_id


_HANDLERS: dict[type[ev.Event], Callable[[_Builder, Any], None]] = {
    ev.WorkflowTaskStarted: _task_started,
    ev.WorkflowTaskCompleted: _task_completed,
    ev.WorkflowTaskFailed: _task_failed,
    ev.WorkflowTaskTimedOut: _task_timed_out,
    ev.ActivityTaskScheduled: _activity_scheduled,
    ev.ActivityTaskStarted: _activity_started,
    ev.ActivityTaskCompleted: _activity_completed,
    ev.ActivityTaskFailed: _activity_failed,
    ev.ActivityTaskTimedOut: _activity_timed_out,
    ev.ActivityTaskCanceled: _activity_canceled,
    ev.ActivityTaskCancelRequested: _activity_cancel_requested,
    ev.TimerStarted: _timer_started,
    ev.TimerFired: _timer_fired,
    ev.TimerCanceled: _timer_canceled,
    ev.StartChildWorkflowExecutionInitiated: _child_initiated,
    ev.StartChildWorkflowExecutionFailed: _child_not_started,
    ev.ChildWorkflowExecutionStarted: _child_started,
    ev.ChildWorkflowExecutionCompleted: _child_ended(State.COMPLETED),
    ev.ChildWorkflowExecutionFailed: _child_ended(State.FAILED),
    ev.ChildWorkflowExecutionCanceled: _child_ended(State.CANCELED),
    ev.ChildWorkflowExecutionTimedOut: _child_ended(State.TIMED_OUT),
    ev.ChildWorkflowExecutionTerminated: _child_ended(State.TERMINATED),
    ev.WorkflowExecutionSignaled: _signaled,
    ev.WorkflowExecutionCancelRequested: _cancel_requested,
    ev.WorkflowExecutionPaused: _paused,
    ev.WorkflowExecutionUnpaused: _unpaused,
    ev.WorkflowExecutionUpdateAccepted: _update_accepted,
    ev.WorkflowExecutionUpdateCompleted: _update_completed,
    ev.SignalExternalWorkflowExecutionInitiated: _signal_sent,
    ev.ExternalWorkflowExecutionSignaled: _external_done,
    ev.SignalExternalWorkflowExecutionFailed: _external_failed,
    ev.RequestCancelExternalWorkflowExecutionInitiated: _cancel_sent,
    ev.ExternalWorkflowExecutionCancelRequested: _external_done,
    ev.RequestCancelExternalWorkflowExecutionFailed: _external_failed,
    ev.WorkflowExecutionCompleted: _completed,
    ev.WorkflowExecutionFailed: _failed,
    ev.WorkflowExecutionTimedOut: _timed_out,
    ev.WorkflowExecutionCanceled: _canceled,
    ev.WorkflowExecutionTerminated: _terminated,
    ev.WorkflowExecutionContinuedAsNew: _continued,
}
