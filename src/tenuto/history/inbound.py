"""What reaches an execution from outside: signals, cancel requests, updates, and the answers of other executions."""

from __future__ import annotations

from tenuto.history.closing import CUT_OFF
from tenuto.history.execution import Execution
from tenuto.model import events as ev
from tenuto.model import messages as msg
from tenuto.model.errors import RPCStatusCode
from tenuto.model.failures import Failure
from tenuto.model.policies import ExecutionStatus


def begin(execution: Execution, started: ev.WorkflowExecutionStarted, signal: msg.Signal | None) -> None:
    """Write the first events of a run. With a start delay the first workflow task comes later."""
    execution.append(started)
    if signal is not None:
        _write_signal(execution, signal, started.time)
    if started.first_workflow_task_backoff <= 0:
        execution.schedule_task(started.time)
    execution.effects.extend(execution.deadlines())


def first_task_due(execution: Execution, now: int) -> None:
    """The start delay or the back-off of a retried run is over."""
    if execution.awaits_first_task and now >= execution.first_task_time:
        execution.schedule_task(now)


def signal(execution: Execution, body: msg.Signal, now: int) -> msg.Refused | None:
    """Take a signal in. A request id that was seen before makes it a repetition, which changes nothing."""
    state, limits = execution.state, execution.limits
    if body.request_id and body.request_id in state.signal_request_ids:
        return None
    if state.signals_received >= limits.signals_received:
        return msg.Refused(
            RPCStatusCode.RESOURCE_EXHAUSTED,
            f"workflow {execution.workflow_id!r} has received {limits.signals_received} signals, the limit of a run; "
            "let it continue as new",
        )
    if execution.task_started is not None:
        execution.buffered.append(lambda then: _take_signal(execution, body, then))
    else:
        _take_signal(execution, body, now)
    return None


def request_cancel(execution: Execution, body: msg.Cancel, now: int) -> None:
    """Ask the run to stop. Asking twice is asking once."""
    if execution.state.cancel_requested:
        return
    if execution.task_started is not None:
        execution.buffered.append(lambda then: _take_cancel(execution, body, then))
    else:
        _take_cancel(execution, body, now)


def admit_update(execution: Execution, body: msg.Update) -> msg.Answer | None:
    """Hold the update for the next workflow task. An id that was accepted before is answered as it was then."""
    state, limits = execution.state, execution.limits
    known = state.updates.get(body.update_id)
    if known is not None:
        return msg.Accepted(execution.run_id)
    if body.update_id in execution.updates_admitted:
        return None
    if state.paused:
        return msg.Refused(
            RPCStatusCode.FAILED_PRECONDITION,
            f"workflow {execution.workflow_id!r} is paused and takes no updates; unpause it first",
            execution.run_id,
            "paused",
        )
    in_flight = sum(1 for update in state.updates.values() if update.completed is None)
    if in_flight + len(execution.updates_admitted) >= limits.updates_in_flight:
        return msg.Refused(
            RPCStatusCode.RESOURCE_EXHAUSTED,
            f"workflow {execution.workflow_id!r} has {limits.updates_in_flight} updates in flight, the limit; "
            "wait for one to finish",
        )
    if len(state.updates) >= limits.updates_received:
        return msg.Refused(
            RPCStatusCode.RESOURCE_EXHAUSTED,
            f"workflow {execution.workflow_id!r} has had {limits.updates_received} updates, the limit of a run; "
            "let it continue as new",
        )
    execution.updates_admitted[body.update_id] = body
    return None


def update_outcome(execution: Execution, update_id: str) -> msg.Answer | None:
    """The outcome of an update, None while it has none."""
    update = execution.state.updates.get(update_id)
    if update is None:
        if update_id in execution.updates_admitted:
            return None
        return msg.Refused(
            RPCStatusCode.NOT_FOUND,
            f"workflow {execution.workflow_id!r} has no update {update_id!r}",
        )
    if update.completed is not None:
        return msg.Outcome(update.completed.result, update.completed.failure)
    return msg.Outcome(failure=CUT_OFF) if execution.state.closed else None


def take_answer(
    execution: Execution,
    body: msg.ChildStarted | msg.ChildStartFailed | msg.ChildClosed | msg.SignalAnswered | msg.CancelAnswered,
    now: int,
) -> None:
    """Another execution answers; an answer to what is no longer pending is late and changes nothing."""
    if execution.state.closed:
        return
    if execution.task_started is not None:
        execution.buffered.append(lambda then: take_answer(execution, body, then))
        return
    match body:
        case msg.SignalAnswered():
            event = _signal_answer(execution, body, now)
        case msg.CancelAnswered():
            event = _cancel_answer(execution, body, now)
        case _:
            event = _child_answer(execution, body, now)
    if event is not None:
        execution.append(event)
        execution.schedule_task(now)


def _take_signal(execution: Execution, body: msg.Signal, now: int) -> None:
    _write_signal(execution, body, now)
    execution.schedule_task(now)


def _write_signal(execution: Execution, body: msg.Signal, now: int) -> None:
    execution.append(
        ev.WorkflowExecutionSignaled(
            execution.next_event_id,
            now,
            body.signal_name,
            body.input,
            body.identity,
            body.external,
            body.request_id,
        )
    )


def _take_cancel(execution: Execution, body: msg.Cancel, now: int) -> None:
    if execution.state.cancel_requested:
        return
    execution.append(
        ev.WorkflowExecutionCancelRequested(execution.next_event_id, now, body.reason, body.identity, body.external)
    )
    execution.schedule_task(now)


def _signal_answer(execution: Execution, body: msg.SignalAnswered, now: int) -> ev.AnyEvent | None:
    pending = execution.state.external_signals.get(body.initiated_event_id)
    if pending is None:
        return None
    if body.cause:
        return ev.SignalExternalWorkflowExecutionFailed(
            execution.next_event_id,
            now,
            body.cause,
            pending.workflow_task_completed_event_id,
            pending.target,
            pending.event_id,
        )
    return ev.ExternalWorkflowExecutionSignaled(execution.next_event_id, now, pending.event_id, pending.target)


def _cancel_answer(execution: Execution, body: msg.CancelAnswered, now: int) -> ev.AnyEvent | None:
    pending = execution.state.external_cancels.get(body.initiated_event_id)
    if pending is None:
        return None
    if body.cause:
        return ev.RequestCancelExternalWorkflowExecutionFailed(
            execution.next_event_id,
            now,
            body.cause,
            pending.workflow_task_completed_event_id,
            pending.target,
            pending.event_id,
        )
    return ev.ExternalWorkflowExecutionCancelRequested(execution.next_event_id, now, pending.event_id, pending.target)


def _child_answer(
    execution: Execution,
    body: msg.ChildStarted | msg.ChildStartFailed | msg.ChildClosed,
    now: int,
) -> ev.AnyEvent | None:
    child = execution.state.children.get(body.initiated_event_id)
    if child is None:
        return None
    initiated = child.initiated
    event_id, key = execution.next_event_id, initiated.event_id
    workflow_id, workflow_type = initiated.workflow_id, initiated.workflow_type
    if isinstance(body, msg.ChildStarted):
        if child.started_event_id:
            return None
        return ev.ChildWorkflowExecutionStarted(event_id, now, key, workflow_id, body.run_id, workflow_type)
    if isinstance(body, msg.ChildStartFailed):
        return ev.StartChildWorkflowExecutionFailed(
            event_id,
            now,
            workflow_id,
            workflow_type,
            body.cause,
            key,
            initiated.workflow_task_completed_event_id,
            body.existing_run_id,
        )
    common = (event_id, now, key, child.started_event_id, workflow_id, body.run_id, workflow_type)
    match body.status:
        case ExecutionStatus.COMPLETED:
            return ev.ChildWorkflowExecutionCompleted(*common, body.result)
        case ExecutionStatus.CANCELED:
            return ev.ChildWorkflowExecutionCanceled(*common)
        case ExecutionStatus.TIMED_OUT:
            return ev.ChildWorkflowExecutionTimedOut(*common, body.retry_state)
        case ExecutionStatus.TERMINATED:
            return ev.ChildWorkflowExecutionTerminated(*common)
        case _:
            failure: Failure = body.failure  # type: ignore[assignment]  # a failed run always has one
            return ev.ChildWorkflowExecutionFailed(*common, failure, body.retry_state)
