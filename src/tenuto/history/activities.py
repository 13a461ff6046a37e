"""Activities: attempts, results, retries, time-outs and cancellation.

An attempt's start is not an event: it is noted (`AttemptNote`) and written as ActivityTaskStarted together with the
event that closes the activity. A result for an attempt that is no longer the current one is late and changes nothing.
"""

from __future__ import annotations

from tenuto.history.effects import ActivityCancelled, ActivityReady, Deadline, DeadlineKind
from tenuto.history.execution import Execution
from tenuto.history.state import SECOND, PendingActivity, nanoseconds
from tenuto.model import events as ev
from tenuto.model.failures import (
    ApplicationFailure,
    CanceledFailure,
    Failure,
    TimeoutFailure,
)
from tenuto.model.payloads import Payload
from tenuto.model.policies import RetryState, TimeoutType
from tenuto.model.tasks import ActivityCanceled, ActivityCompleted, ActivityOutcome, ActivityTask


def start_attempt(execution: Execution, scheduled_event_id: int, now: int) -> ActivityTask | None:
    """Begin the current attempt. None if the activity has closed, is running, or is not due yet."""
    if not may_start(execution, scheduled_event_id, now):
        return None
    task = current_attempt(execution, scheduled_event_id, now)
    note_start(execution, scheduled_event_id, task.attempt, now)
    return task


def may_start(execution: Execution, scheduled_event_id: int, now: int) -> bool:
    """Is the activity pending, with an attempt that is due and has not started, and its run not paused?"""
    activity = execution.state.activities.get(scheduled_event_id)
    if activity is None or activity.note.started_time is not None or execution.state.paused:
        return False
    return activity.note.next_attempt_time is None or activity.note.next_attempt_time <= now


def current_attempt(execution: Execution, scheduled_event_id: int, started_time: int = 0) -> ActivityTask:
    """What whoever runs the current attempt of a pending activity has to know."""
    activity = execution.state.activities[scheduled_event_id]
    note, scheduled, started = activity.note, activity.scheduled, execution.state.started
    return ActivityTask(
        started.workflow_id,
        started.run_id,
        started.workflow_type,
        scheduled_event_id,
        scheduled.activity_id,
        scheduled.activity_type,
        scheduled.task_queue,
        scheduled.input,
        note.attempt,
        scheduled.time,
        note.next_attempt_time or scheduled.time,
        started_time,
        scheduled.schedule_to_close_timeout,
        scheduled.start_to_close_timeout,
        scheduled.heartbeat_timeout,
        note.heartbeat_details,
        note.last_failure,
    )


def note_start(execution: Execution, scheduled_event_id: int, attempt: int, started_time: int) -> bool:
    """Somebody runs this attempt, since `started_time` as far as that isn't known. False if another one is current."""
    activity = execution.state.activities.get(scheduled_event_id)
    if activity is None or activity.note.attempt != attempt:
        return False
    note = activity.note
    if note.started_time is None:
        note.started_time = max(started_time, note.next_attempt_time or activity.scheduled.time)
        note.heartbeat_time = None
        note.next_attempt_time = None
        execution.changed_notes.add(scheduled_event_id)
    return True


def return_attempt(execution: Execution, scheduled_event_id: int) -> None:
    """Whoever took the current attempt has not begun it and won't."""
    execution.state.activities[scheduled_event_id].note.started_time = None
    execution.changed_notes.add(scheduled_event_id)
    execution.effects.append(ActivityReady(scheduled_event_id))


def finish_attempt(
    execution: Execution,
    scheduled_event_id: int,
    attempt: int,
    outcome: ActivityOutcome,
    now: int,
    identity: str,
) -> bool:
    """Record how an attempt ended. False if it is late: the activity has closed or another attempt is current."""
    activity = execution.state.activities.get(scheduled_event_id)
    if activity is None or activity.note.attempt != attempt or execution.state.closed:
        return False
    if execution.task_started is not None:
        execution.buffered.append(lambda then: _finish(execution, activity, outcome, then, identity))
        return True
    _finish(execution, activity, outcome, now, identity)
    return True


def record_heartbeat(
    execution: Execution,
    scheduled_event_id: int,
    attempt: int,
    details: list[Payload],
    now: int,
) -> bool:
    """Keep the details for the next attempt and move the heartbeat deadline. False if the attempt is not current."""
    activity = execution.state.activities.get(scheduled_event_id)
    if activity is None or activity.note.attempt != attempt or activity.note.started_time is None:
        return False
    activity.note.heartbeat_details = details
    activity.note.heartbeat_time = now
    execution.changed_notes.add(scheduled_event_id)
    return True


def lose_attempt(execution: Execution, scheduled_event_id: int, now: int) -> None:
    """The process that ran the current attempt is gone: it counts as timed out, and the next one may start at once."""
    activity = execution.state.activities[scheduled_event_id]
    failure = Failure(
        "the process that ran this attempt ended before it did",
        TimeoutFailure(TimeoutType.START_TO_CLOSE, activity.note.heartbeat_details),
    )
    _fail(execution, activity, failure, now, "", delay=0.0)


def check_deadline(execution: Execution, scheduled_event_id: int, now: int) -> None:
    """Let this activity time out or be tried again if it is time for that; else watch for its next deadline."""
    activity = execution.state.activities.get(scheduled_event_id)
    if activity is None:
        return
    at = execution.activity_deadline(scheduled_event_id)
    if at is None:
        return
    if at > now:
        execution.effects.append(Deadline(at, DeadlineKind.ACTIVITY, scheduled_event_id))
        return
    expired = next(limit for when, limit in execution.activity_moments(activity) if when <= now)
    if expired is None:
        execution.effects.append(ActivityReady(scheduled_event_id))
    elif execution.task_started is not None:
        execution.buffered.append(lambda then: _time_out(execution, activity, expired, then))
    else:
        _time_out(execution, activity, expired, now)


def request_cancel(execution: Execution, scheduled_event_id: int, now: int) -> None:
    """After the cancel request was written: an attempt that runs is told, one that doesn't run never will."""
    activity = execution.state.activities[scheduled_event_id]
    if activity.note.started_time is not None:
        execution.effects.append(ActivityCancelled(scheduled_event_id, "cancel_requested"))
        return
    _close_canceled(execution, activity, [], now, "")
    execution.schedule_task(now)


def retry_delay(activity: PendingActivity, failure: Failure, now: int, delay: float | None) -> float | RetryState:
    """Seconds from `now` until the next attempt, or why there is none."""
    retry = activity.scheduled.retry
    info = failure.info
    if isinstance(info, ApplicationFailure):
        if info.non_retryable:
            return RetryState.NON_RETRYABLE_FAILURE
        if delay is None:
            delay = info.next_retry_delay
    if failure.type_name in retry.non_retryable_error_types:
        return RetryState.NON_RETRYABLE_FAILURE
    if isinstance(info, TimeoutFailure) and info.type in (
        TimeoutType.SCHEDULE_TO_START,
        TimeoutType.SCHEDULE_TO_CLOSE,
    ):
        return RetryState.TIMEOUT
    if retry.maximum_attempts and activity.note.attempt >= retry.maximum_attempts:
        return RetryState.MAXIMUM_ATTEMPTS_REACHED
    if activity.cancel_requested_event_id:
        return RetryState.CANCEL_REQUESTED
    if delay is None:
        delay = retry.delay_after(activity.note.attempt)
    limit = activity.scheduled.schedule_to_close_timeout
    if limit is not None and now + nanoseconds(delay) >= activity.scheduled.time + activity.held + limit * SECOND:
        return RetryState.TIMEOUT
    return delay


def _finish(
    execution: Execution,
    activity: PendingActivity,
    outcome: ActivityOutcome,
    now: int,
    identity: str,
) -> None:
    if activity.scheduled.event_id not in execution.state.activities:
        return
    if isinstance(outcome, ActivityCompleted):
        scheduled, started = _write_started(execution, activity, now, identity)
        execution.append(
            ev.ActivityTaskCompleted(execution.next_event_id, now, scheduled, started, outcome.result, identity)
        )
        execution.schedule_task(now)
    elif isinstance(outcome, ActivityCanceled):
        if activity.cancel_requested_event_id:
            _close_canceled(execution, activity, outcome.details, now, identity)
            execution.schedule_task(now)
        else:
            # Nobody asked for it: the activity raised the cancellation itself, which is a failure like any other.
            failure = Failure("activity cancelled itself", CanceledFailure(outcome.details))
            _fail(execution, activity, failure, now, identity)
    else:
        _fail(execution, activity, outcome.failure, now, identity)


def _fail(
    execution: Execution,
    activity: PendingActivity,
    failure: Failure,
    now: int,
    identity: str,
    delay: float | None = None,
) -> None:
    """Try again, or close the activity with `failure`."""
    # To what waits, the time of a paused run stands still: unpausing moves it on.
    paused_time = execution.state.paused_time
    decision = retry_delay(activity, failure, now if paused_time is None else paused_time, delay)
    if not isinstance(decision, RetryState):
        _retry(execution, activity, failure, now, decision)
        return
    if decision is RetryState.CANCEL_REQUESTED and not isinstance(failure.info, ApplicationFailure):
        _close_canceled(execution, activity, [], now, identity)
    elif isinstance(failure.info, TimeoutFailure):
        _write_timed_out(execution, activity, failure, decision, now)
    else:
        scheduled, started = _write_started(execution, activity, now, identity)
        execution.append(
            ev.ActivityTaskFailed(execution.next_event_id, now, scheduled, started, failure, decision, identity)
        )
    execution.schedule_task(now)


def _retry(execution: Execution, activity: PendingActivity, failure: Failure, now: int, delay: float) -> None:
    note = activity.note
    key = activity.scheduled.event_id
    note.attempt += 1
    note.last_failure = failure
    note.started_time = None
    paused_time = execution.state.paused_time
    note.next_attempt_time = (now if paused_time is None else paused_time) + nanoseconds(delay)
    execution.changed_notes.add(key)
    if delay <= 0:
        execution.effects.append(ActivityReady(key))
    at = execution.activity_deadline(key)
    if at is not None and at > now:
        execution.effects.append(Deadline(at, DeadlineKind.ACTIVITY, key))


_LIMITS = {
    TimeoutType.START_TO_CLOSE: "start_to_close_timeout",
    TimeoutType.SCHEDULE_TO_START: "schedule_to_start_timeout",
    TimeoutType.SCHEDULE_TO_CLOSE: "schedule_to_close_timeout",
    TimeoutType.HEARTBEAT: "heartbeat_timeout",
}


def _time_out(execution: Execution, activity: PendingActivity, expired: TimeoutType, now: int) -> None:
    scheduled, note = activity.scheduled, activity.note
    if scheduled.event_id not in execution.state.activities:
        return
    name = _LIMITS[expired]
    failure = Failure(
        f"activity {scheduled.activity_type!r} exceeded its {name} of "
        f"{getattr(scheduled, name):g} s (attempt {note.attempt})",
        TimeoutFailure(expired, note.heartbeat_details),
        # A limit on the whole activity that ends during a back-off says what the last attempt died of.
        cause=note.last_failure if expired is TimeoutType.SCHEDULE_TO_CLOSE else None,
    )
    if note.started_time is not None:
        execution.effects.append(ActivityCancelled(scheduled.event_id, "timed_out"))
    _fail(execution, activity, failure, now, "")


def _write_started(execution: Execution, activity: PendingActivity, now: int, identity: str) -> tuple[int, int]:
    """Write the last attempt's start; returns the ids of the scheduled and the started event."""
    note = activity.note
    scheduled = activity.scheduled.event_id
    execution.append(
        ev.ActivityTaskStarted(
            execution.next_event_id,
            note.started_time or now,
            scheduled,
            note.attempt,
            identity,
            note.last_failure,
        )
    )
    execution.changed_notes.add(scheduled)
    return scheduled, execution.state.last_event_id


def _write_timed_out(
    execution: Execution,
    activity: PendingActivity,
    failure: Failure,
    decision: RetryState,
    now: int,
) -> None:
    scheduled, started = activity.scheduled.event_id, 0
    if activity.note.started_time is not None:
        scheduled, started = _write_started(execution, activity, now, "")
    execution.changed_notes.add(scheduled)
    execution.append(ev.ActivityTaskTimedOut(execution.next_event_id, now, scheduled, started, failure, decision))


def _close_canceled(
    execution: Execution,
    activity: PendingActivity,
    details: list[Payload],
    now: int,
    identity: str,
) -> None:
    scheduled, started = activity.scheduled.event_id, 0
    if activity.note.started_time is not None:
        scheduled, started = _write_started(execution, activity, now, identity)
    execution.changed_notes.add(scheduled)
    execution.append(
        ev.ActivityTaskCanceled(
            execution.next_event_id,
            now,
            scheduled,
            started,
            activity.cancel_requested_event_id,
            details,
            identity,
        )
    )
