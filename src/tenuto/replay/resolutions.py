"""Outside events reach the code: each event type resolves what was waiting for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tenuto.exceptions import ApplicationError, WorkflowAlreadyStartedError
from tenuto.model import events as ev
from tenuto.model.failures import (
    ActivityFailure,
    CanceledFailure,
    ChildWorkflowFailure,
    Failure,
    TerminatedFailure,
    TimeoutFailure,
)
from tenuto.model.policies import RetryState, TimeoutType
from tenuto.replay.calls import Answerable, ChildCall

if TYPE_CHECKING:
    from tenuto.replay.instance import Instance


def _activity_completed(instance: Instance, event: ev.ActivityTaskCompleted) -> None:
    call = instance.activities.pop(event.scheduled_event_id)
    if not call.future.done():
        call.future.set_result(event.result)


def _activity_failed(instance: Instance, event: ev.ActivityTaskFailed | ev.ActivityTaskTimedOut) -> None:
    call = instance.activities.pop(event.scheduled_event_id)
    if not call.future.done():
        failure = _activity_failure(instance, call.pending.command, event, event.failure, event.retry_state)
        call.future.set_exception(instance.error(failure))


def _activity_canceled(instance: Instance, event: ev.ActivityTaskCanceled) -> None:
    call = instance.activities.pop(event.scheduled_event_id)
    cause = Failure("Activity cancelled", CanceledFailure(event.details))
    failure = _activity_failure(instance, call.pending.command, event, cause, RetryState.CANCEL_REQUESTED)
    call.canceled(instance.error(failure))


def _activity_failure(instance: Instance, command: Any, event: Any, cause: Failure, retry_state: RetryState) -> Failure:
    identity = getattr(event, "identity", "")
    info = ActivityFailure(
        event.scheduled_event_id,
        event.started_event_id,
        command.activity_id,
        command.activity_type,
        identity,
        retry_state,
    )
    ended = {CanceledFailure: "was cancelled", TimeoutFailure: "timed out"}.get(type(cause.info), "failed")
    return Failure(f"activity {command.activity_type!r} {ended}", info, cause)


def _timer_fired(instance: Instance, event: ev.TimerFired) -> None:
    # A timer that was cancelled in the same round as it fired is gone already.
    timer = instance.timers.pop(event.timer_id, None)
    if timer is not None:
        timer.fire()


def _child_started(instance: Instance, event: ev.ChildWorkflowExecutionStarted) -> None:
    child = instance.children[event.initiated_event_id]
    child.run_id = event.run_id
    if not child.start_future.done():
        child.start_future.set_result(None)


def _child_not_started(instance: Instance, event: ev.StartChildWorkflowExecutionFailed) -> None:
    child = instance.children.pop(event.initiated_event_id)
    if not child.start_future.done():
        child.start_future.set_exception(_start_error(event))


def _start_error(event: ev.StartChildWorkflowExecutionFailed) -> Exception:
    if event.cause == "WORKFLOW_ALREADY_EXISTS":
        return WorkflowAlreadyStartedError(event.workflow_id, event.workflow_type, run_id=event.existing_run_id or None)
    return ApplicationError(
        f"workflow {event.workflow_id!r} can't be started: {event.cause}",
        type="ChildWorkflowStartRefused",
        non_retryable=True,
    )


def _child_completed(instance: Instance, event: ev.ChildWorkflowExecutionCompleted) -> None:
    child = instance.children.pop(event.initiated_event_id)
    if not child.result_future.done():
        child.result_future.set_result(event.result)


def _child_failed(
    instance: Instance,
    event: ev.ChildWorkflowExecutionFailed
    | ev.ChildWorkflowExecutionTimedOut
    | ev.ChildWorkflowExecutionTerminated
    | ev.ChildWorkflowExecutionCanceled,
) -> None:
    child = instance.children.pop(event.initiated_event_id)
    retry_state = RetryState.RETRY_POLICY_NOT_SET
    match event:
        case ev.ChildWorkflowExecutionFailed():
            cause, retry_state = event.failure, event.retry_state
        case ev.ChildWorkflowExecutionTimedOut():
            cause = Failure("Workflow timed out", TimeoutFailure(TimeoutType.START_TO_CLOSE))
            retry_state = event.retry_state
        case ev.ChildWorkflowExecutionTerminated():
            cause = Failure("Workflow terminated", TerminatedFailure())
        case _:
            cause = Failure("Workflow cancelled", CanceledFailure(event.details))
    info = ChildWorkflowFailure(
        "default",
        event.workflow_id,
        event.run_id,
        event.workflow_type,
        event.initiated_event_id,
        event.started_event_id,
        retry_state,
    )
    failure = Failure(f"child workflow {event.workflow_id!r} ({event.workflow_type}) failed", info, cause)
    _end_child(instance, child, failure, cancelled=isinstance(event, ev.ChildWorkflowExecutionCanceled))


def _end_child(instance: Instance, child: ChildCall, failure: Failure, *, cancelled: bool) -> None:
    error = instance.error(failure)
    if cancelled:
        child.canceled(error)
    elif not child.result_future.done():
        child.result_future.set_exception(error)
        # Nobody has to ask for the result of a child: its failure is not a fault of the code that started it.
        child.result_future.exception()


def _answered(
    instance: Instance,
    event: ev.ExternalWorkflowExecutionSignaled | ev.ExternalWorkflowExecutionCancelRequested,
) -> None:
    waiting = instance.awaiting.pop(event.initiated_event_id, None)
    if isinstance(waiting, ChildCall):
        waiting.cancel_delivered()
    elif isinstance(waiting, Answerable) and not waiting.future.done():
        waiting.future.set_result(None)


def _not_answered(
    instance: Instance,
    event: ev.SignalExternalWorkflowExecutionFailed | ev.RequestCancelExternalWorkflowExecutionFailed,
) -> None:
    waiting = instance.awaiting.pop(event.initiated_event_id, None)
    if isinstance(waiting, ChildCall):
        waiting.cancel_delivered()
    elif isinstance(waiting, Answerable) and not waiting.future.done():
        what = "signalled" if isinstance(event, ev.SignalExternalWorkflowExecutionFailed) else "cancelled"
        unknown = event.cause == "EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND"
        error = ApplicationError(
            f"workflow {event.target.workflow_id!r} can't be {what}, because "
            + ("there is no such open execution" if unknown else event.cause),
            type="ExternalWorkflowExecutionNotFound" if unknown else "ExternalWorkflowExecutionRefused",
            non_retryable=True,
        )
        waiting.future.set_exception(error)


def _cancel_requested(instance: Instance, event: ev.WorkflowExecutionCancelRequested) -> None:
    instance.cancel(event.cause)


#: What to do with an event, by its type.
STEPS: dict[type[ev.Event], Callable[[Instance, Any], None]] = {
    ev.ActivityTaskCompleted: _activity_completed,
    ev.ActivityTaskFailed: _activity_failed,
    ev.ActivityTaskTimedOut: _activity_failed,
    ev.ActivityTaskCanceled: _activity_canceled,
    ev.TimerFired: _timer_fired,
    ev.ChildWorkflowExecutionStarted: _child_started,
    ev.StartChildWorkflowExecutionFailed: _child_not_started,
    ev.ChildWorkflowExecutionCompleted: _child_completed,
    ev.ChildWorkflowExecutionFailed: _child_failed,
    ev.ChildWorkflowExecutionTimedOut: _child_failed,
    ev.ChildWorkflowExecutionTerminated: _child_failed,
    ev.ChildWorkflowExecutionCanceled: _child_failed,
    ev.ExternalWorkflowExecutionSignaled: _answered,
    ev.ExternalWorkflowExecutionCancelRequested: _answered,
    ev.SignalExternalWorkflowExecutionFailed: _not_answered,
    ev.RequestCancelExternalWorkflowExecutionFailed: _not_answered,
    ev.WorkflowExecutionCancelRequested: _cancel_requested,
}
