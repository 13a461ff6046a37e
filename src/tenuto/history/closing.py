"""How a run ends, and what begins after it.

Whatever the reason, ending is the same: the closing event, then the news to the parent, the fate of the children, the
answers to waiting updates. A retry or a continue-as-new hands the parent's interest on to the new run.
"""

from __future__ import annotations

from tenuto.history.effects import (
    ActivityCancelled,
    NewRun,
    RunClosed,
    Send,
    UpdateAnswered,
)
from tenuto.history.execution import Execution
from tenuto.history.state import SECOND
from tenuto.model import commands as cmd
from tenuto.model import events as ev
from tenuto.model.errors import RPCStatusCode
from tenuto.model.failures import (
    ApplicationFailure,
    CanceledFailure,
    Failure,
    TerminatedFailure,
    TimeoutFailure,
)
from tenuto.model.messages import Cancel, ChildClosed, Message, Outcome, Refused, Terminate
from tenuto.model.payloads import Payload
from tenuto.model.policies import (
    ParentClosePolicy,
    RetryState,
    TimeoutType,
)


def complete(execution: Execution, command: cmd.CompleteWorkflow, task: int, now: int) -> None:
    event = ev.WorkflowExecutionCompleted(execution.next_event_id, now, task, command.result)
    _close(execution, event, now)


def fail(execution: Execution, command: cmd.FailWorkflow, task: int, now: int) -> None:
    """Close as failed; with a retry policy that allows it, a new run begins."""
    failure = command.failure
    decision = _workflow_retry(execution, failure, now)
    if isinstance(decision, RetryState):
        event = ev.WorkflowExecutionFailed(execution.next_event_id, now, task, failure, decision)
        _close(execution, event, now)
        return
    new_run_id = execution.new_run_id()
    event = ev.WorkflowExecutionFailed(execution.next_event_id, now, task, failure, RetryState.IN_PROGRESS, new_run_id)
    _begin_retry(execution, new_run_id, failure, decision, now)
    _close(execution, event, now)


def cancel(execution: Execution, command: cmd.CancelWorkflow, task: int, now: int) -> None:
    event = ev.WorkflowExecutionCanceled(execution.next_event_id, now, task, command.details)
    _close(execution, event, now)


def continue_as_new(execution: Execution, command: cmd.ContinueAsNew, task: int, now: int) -> None:
    """Close this run and begin the next with what the command says, or else with what this run had."""
    old = execution.state.started
    new_run_id = execution.new_run_id()
    new = ev.WorkflowExecutionStarted(
        1,
        now,
        old.workflow_id,
        new_run_id,
        command.workflow_type or old.workflow_type,
        command.task_queue or old.task_queue,
        command.input,
        execution_timeout=old.execution_timeout,
        run_timeout=old.run_timeout if command.run_timeout is None else command.run_timeout,
        task_timeout=old.task_timeout if command.task_timeout is None else command.task_timeout,
        execution_expiration_time=old.execution_expiration_time,
        retry=old.retry if command.retry is None else command.retry,
        first_execution_run_id=old.first_execution_run_id,
        original_run_id=new_run_id,
        continued_run_id=old.run_id,
        parent=old.parent,
        root=old.root,
        memo=old.memo if command.memo is None else command.memo,
        first_workflow_task_backoff=command.backoff_start_interval,
        identity=old.identity,
        request_id=old.request_id,
        concurrency=old.concurrency,
    )
    event = ev.WorkflowExecutionContinuedAsNew(
        execution.next_event_id,
        now,
        task,
        new_run_id,
        new.workflow_type,
        new.task_queue,
        new.input,
        new.run_timeout,
        new.task_timeout,
        new.memo,
        command.backoff_start_interval,
    )
    execution.effects.append(NewRun(new))
    _close(execution, event, now)


def terminate(execution: Execution, reason: str, details: list[Payload], identity: str, now: int) -> None:
    """End the run from outside, whatever it is doing; no code of it runs any more."""
    execution.task_started = None
    event = ev.WorkflowExecutionTerminated(execution.next_event_id, now, reason, details, identity)
    _close(execution, event, now)


def check_run_timeout(execution: Execution, now: int) -> None:
    """Close the run if its time is up."""
    ends = execution.run_deadline()
    if ends is None or now < ends or execution.state.closed:
        return
    execution.task_started = None
    failure = Failure("workflow timed out", TimeoutFailure(TimeoutType.START_TO_CLOSE))
    expiration = execution.state.started.execution_expiration_time
    if expiration is not None and now >= expiration:
        decision: float | RetryState = RetryState.TIMEOUT
    else:
        decision = _workflow_retry(execution, failure, now)
    if isinstance(decision, RetryState):
        event = ev.WorkflowExecutionTimedOut(execution.next_event_id, now, decision)
    else:
        new_run_id = execution.new_run_id()
        event = ev.WorkflowExecutionTimedOut(execution.next_event_id, now, RetryState.IN_PROGRESS, new_run_id)
        _begin_retry(execution, new_run_id, failure, decision, now)
    _close(execution, event, now)


def result_of(event: ev.AnyEvent) -> tuple[list[Payload], Failure | None]:
    """What a closed run came to, for those who wait for it: its result, or why there is none."""
    match event:
        case ev.WorkflowExecutionCompleted():
            return event.result, None
        case ev.WorkflowExecutionFailed():
            return [], event.failure
        case ev.WorkflowExecutionCanceled():
            return [], Failure("Workflow cancelled", CanceledFailure(event.details))
        case ev.WorkflowExecutionTerminated():
            message = event.reason or "Workflow terminated"
            return [], Failure(message, TerminatedFailure(event.details))
        case ev.WorkflowExecutionTimedOut():
            return [], Failure("Workflow timed out", TimeoutFailure(TimeoutType.START_TO_CLOSE))
        case _:
            return [], None


def next_run_id(event: ev.AnyEvent) -> str | None:
    """The run that goes on where this closed one ended, if there is one."""
    if isinstance(
        event,
        ev.WorkflowExecutionContinuedAsNew | ev.WorkflowExecutionFailed | ev.WorkflowExecutionTimedOut,
    ):
        return event.new_execution_run_id
    return None


def _workflow_retry(execution: Execution, failure: Failure, now: int) -> float | RetryState:
    """Seconds until the run is tried again, or why it isn't."""
    started = execution.state.started
    retry = started.retry
    if retry is None:
        return RetryState.RETRY_POLICY_NOT_SET
    delay: float | None = None
    if isinstance(failure.info, ApplicationFailure):
        if failure.info.non_retryable:
            return RetryState.NON_RETRYABLE_FAILURE
        delay = failure.info.next_retry_delay
    if failure.type_name in retry.non_retryable_error_types:
        return RetryState.NON_RETRYABLE_FAILURE
    if retry.maximum_attempts and started.attempt >= retry.maximum_attempts:
        return RetryState.MAXIMUM_ATTEMPTS_REACHED
    if delay is None:
        delay = retry.delay_after(started.attempt)
    expiration = started.execution_expiration_time
    if expiration is not None and now + delay * SECOND >= expiration:
        return RetryState.TIMEOUT
    return delay


def _begin_retry(execution: Execution, new_run_id: str, failure: Failure, delay: float, now: int) -> None:
    old = execution.state.started
    new = ev.WorkflowExecutionStarted(
        1,
        now,
        old.workflow_id,
        new_run_id,
        old.workflow_type,
        old.task_queue,
        old.input,
        execution_timeout=old.execution_timeout,
        run_timeout=old.run_timeout,
        task_timeout=old.task_timeout,
        execution_expiration_time=old.execution_expiration_time,
        retry=old.retry,
        attempt=old.attempt + 1,
        first_execution_run_id=old.first_execution_run_id,
        original_run_id=new_run_id,
        continued_run_id=old.run_id,
        continued_failure=failure,
        parent=old.parent,
        root=old.root,
        memo=old.memo,
        first_workflow_task_backoff=delay,
        identity=old.identity,
        request_id=old.request_id,
        concurrency=old.concurrency,
    )
    execution.effects.append(NewRun(new))


def _close(execution: Execution, event: ev.AnyEvent, now: int) -> None:
    state = execution.state
    execution.append(event)
    execution.buffered.clear()
    execution.changed_notes.update(state.activities)
    execution.changed_notes.add(0)
    execution.stand_in_line(False)
    _tell_parent(execution, event)
    _apply_parent_close_policies(execution)
    _answer_updates(execution)
    for scheduled_event_id, activity in state.activities.items():
        if activity.note.started_time is not None:
            execution.effects.append(ActivityCancelled(scheduled_event_id, "not_found"))
    execution.effects.append(RunClosed())


def _tell_parent(execution: Execution, event: ev.AnyEvent) -> None:
    parent = execution.state.started.parent
    if parent is None or next_run_id(event) is not None:
        return
    result, failure = result_of(event)
    retry_state = RetryState.RETRY_POLICY_NOT_SET
    if isinstance(event, ev.WorkflowExecutionFailed | ev.WorkflowExecutionTimedOut):
        retry_state = event.retry_state
    news = ChildClosed(
        parent.initiated_event_id,
        execution.run_id,
        execution.state.status,
        result,
        failure,
        retry_state,
    )
    target = ev.ExecutionRef(parent.workflow_id, parent.run_id)
    execution.effects.append(Send(Message(target, news)))


def _apply_parent_close_policies(execution: Execution) -> None:
    this = execution.state.started
    for initiated_event_id, child in execution.state.children.items():
        policy = child.initiated.parent_close_policy
        target = ev.ExecutionRef(child.initiated.workflow_id)
        ours = ev.ParentRef(this.workflow_id, this.run_id, initiated_event_id)
        if policy is ParentClosePolicy.REQUEST_CANCEL:
            body: Cancel | Terminate = Cancel("parent closed", external=ours, child_workflow_only=True)
        elif policy is ParentClosePolicy.ABANDON:
            continue
        else:
            body = Terminate("by parent close policy", child_of=ours)
        execution.effects.append(Send(Message(target, body)))


def _answer_updates(execution: Execution) -> None:
    for update_id in execution.updates_admitted:
        gone = Refused(
            RPCStatusCode.NOT_FOUND,
            f"workflow {execution.workflow_id!r} closed before it accepted the update",
        )
        execution.effects.append(UpdateAnswered(update_id, gone))
    execution.updates_admitted.clear()
    for update_id, update in execution.state.updates.items():
        if update.completed is None:
            execution.effects.append(UpdateAnswered(update_id, Outcome(failure=CUT_OFF)))


#: What callers of an accepted update get when the run ends before its handler does.
CUT_OFF = Failure(
    "the workflow ended before the handler of this accepted update did",
    ApplicationFailure("AcceptedUpdateCompletedWorkflow", non_retryable=True),
)
