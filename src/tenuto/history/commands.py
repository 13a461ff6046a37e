"""A workflow task's commands become events, one for one, in the order in which code gave them.

An answer that can't be taken as a whole (a limit, a duplicate id, a closing command over unread messages) is refused as
a whole: the task fails, nothing of it is written, and it is done again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from tenuto.history import closing
from tenuto.history.activities import request_cancel
from tenuto.history.effects import (
    ActivityReady,
    Deadline,
    DeadlineKind,
    Send,
    UpdateAnswered,
)
from tenuto.history.execution import Execution
from tenuto.history.state import ExecutionState, nanoseconds
from tenuto.model import commands as cmd
from tenuto.model import events as ev
from tenuto.model import messages as msg
from tenuto.model.failures import ApplicationFailure, Failure
from tenuto.model.limits import Limits
from tenuto.model.payloads import Payload, size_of
from tenuto.model.policies import WorkflowIDReusePolicy


class Refusal(Exception):
    """This answer can't be taken; `cause` is the field's name for why."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause

    def as_failure(self) -> Failure:
        return Failure(str(self), ApplicationFailure(self.cause))


def complete_task(execution: Execution, commands: list[cmd.Command], now: int, identity: str) -> Refusal | None:
    """Take the answer of a workflow task. On a refusal the code's cached state is of no use any more."""
    refusal = _refuse(execution, commands)
    if refusal is not None:
        execution.fail_task(refusal.cause, refusal.as_failure(), now, identity)
        if refusal.cause == "UNHANDLED_COMMAND":
            execution.task_retry_time = 0
        return refusal
    if _leaves_no_trace(execution, commands):
        execution.task_started = None
    else:
        _write(execution, commands, now, identity)
    _answer_refused_updates(execution, commands)
    execution.flush_buffered(now)
    return None


def _write(execution: Execution, commands: list[cmd.Command], now: int, identity: str) -> None:
    scheduled, started = execution.write_task_started(now, identity)
    execution.append(ev.WorkflowTaskCompleted(execution.next_event_id, now, scheduled, started, identity))
    execution.task_succeeded()
    task = execution.state.last_event_id
    # Resolutions that are known at once (an activity cancelled before it ran) come after all command events.
    cancelled: list[int] = []
    for command in commands:
        if type(command) is cmd.RequestCancelActivity:
            cancelled.append(command.scheduled_event_id)
        _HANDLERS[type(command)](execution, command, task, now)
    for scheduled_event_id in cancelled:
        if not execution.state.closed:
            request_cancel(execution, scheduled_event_id, now)


def _leaves_no_trace(execution: Execution, commands: list[cmd.Command]) -> bool:
    """A task that did nothing but refuse updates, and was scheduled for nothing else, is not written."""
    return not execution.state.task_pending and all(type(command) is cmd.RejectUpdate for command in commands)


def _answer_refused_updates(execution: Execution, commands: list[cmd.Command]) -> None:
    for command in commands:
        if type(command) is cmd.RejectUpdate:
            execution.updates_admitted.pop(command.update_id, None)
            answer = msg.Outcome(failure=command.failure)
            execution.effects.append(UpdateAnswered(command.update_id, answer))


def _refuse(execution: Execution, commands: list[cmd.Command]) -> Refusal | None:
    state, limits = execution.state, execution.limits
    if execution.buffered and commands and isinstance(commands[-1], cmd.CLOSING_COMMANDS):
        return Refusal("UNHANDLED_COMMAND", "the workflow was about to close over messages that it hasn't read")
    asked: dict[type, int] = {}
    for command in commands:
        kind = type(command)
        if kind in _COUNTED:
            asked[kind] = asked.get(kind, 0) + 1
        refusal = _refuse_one(execution, command)
        if refusal is not None:
            return refusal
    if asked.get(cmd.ScheduleActivity, 0) > 1:
        ids = Counter(command.activity_id for command in commands if isinstance(command, cmd.ScheduleActivity))
        twice, count = ids.most_common(1)[0]
        if count > 1:
            return Refusal("SCHEDULE_ACTIVITY_DUPLICATE_ID", f"activity {twice!r} is started {count} times at once")
    for kind, number in asked.items():
        pending, limit, name = _COUNTED[kind](state, limits)
        if pending + number > limit:
            return Refusal(
                f"PENDING_{name}_LIMIT_EXCEEDED",
                f"{pending + number} pending {name.lower().replace('_', ' ')} are more than the {limit} "
                "that one run may have; start fewer at a time",
            )
    return None


#: For commands of which only so many may be pending: how many are, how many may be, and what they are called.
_COUNTED: dict[type, Callable[[ExecutionState, Limits], tuple[int, int, str]]] = {
    cmd.ScheduleActivity: lambda state, limits: (len(state.activities), limits.pending_activities, "ACTIVITIES"),
    cmd.StartChildWorkflow: lambda state, limits: (len(state.children), limits.pending_children, "CHILD_WORKFLOWS"),
    cmd.SignalExternal: lambda state, limits: (len(state.external_signals), limits.pending_signals, "SIGNALS"),
    cmd.RequestCancelExternal: lambda state, limits: (
        len(state.external_cancels),
        limits.pending_cancels,
        "REQUEST_CANCEL",
    ),
}


def _refuse_one(execution: Execution, command: cmd.Command) -> Refusal | None:
    limits = execution.limits
    for name in _NAMES.get(type(command), ()):
        value = getattr(command, name)
        if not value or len(value) > limits.name_length:
            return Refusal(
                "BAD_ATTRIBUTES",
                f"{type(command).__name__}.{name} must have 1 to {limits.name_length} characters, not {len(value)}",
            )
    payloads: list[Payload] | None = getattr(command, "input", None)
    if payloads is None:
        payloads = getattr(command, "result", None)
    if payloads and size_of(payloads) > limits.payload_size:
        return Refusal(
            "PAYLOADS_TOO_LARGE",
            f"{type(command).__name__} carries {size_of(payloads):,} bytes; at most {limits.payload_size:,} are kept. "
            "Store large values elsewhere and pass a reference",
        )
    return _refuse_reference(execution.state, command)


def _refuse_reference(state: ExecutionState, command: cmd.Command) -> Refusal | None:
    """New things need ids of their own, and what is cancelled must be there."""
    match command:
        case cmd.StartTimer() if command.timer_id in state.timers:
            return Refusal("START_TIMER_DUPLICATE_ID", f"timer {command.timer_id!r} is running")
        case cmd.CancelTimer() if command.timer_id not in state.timers:
            return Refusal("BAD_CANCEL_TIMER_ATTRIBUTES", f"there is no timer {command.timer_id!r}")
        case cmd.ScheduleActivity() if command.activity_id in state.activity_ids:
            return Refusal("SCHEDULE_ACTIVITY_DUPLICATE_ID", f"activity {command.activity_id!r} is running")
        case cmd.RequestCancelActivity() if command.scheduled_event_id not in state.activities:
            return Refusal(
                "BAD_REQUEST_CANCEL_ACTIVITY_ATTRIBUTES", f"event {command.scheduled_event_id} is no pending activity"
            )
    return None


_NAMES: dict[type, tuple[str, ...]] = {
    cmd.ScheduleActivity: ("activity_id", "activity_type", "task_queue"),
    cmd.StartChildWorkflow: ("workflow_id", "workflow_type", "task_queue"),
    cmd.SignalExternal: ("signal_name",),
}


def _schedule_activity(execution: Execution, command: cmd.ScheduleActivity, task: int, now: int) -> None:
    event_id = execution.next_event_id
    execution.append(
        ev.ActivityTaskScheduled(
            event_id,
            now,
            command.activity_id,
            command.activity_type,
            command.task_queue,
            command.input,
            command.schedule_to_close_timeout,
            command.schedule_to_start_timeout,
            command.start_to_close_timeout,
            command.heartbeat_timeout,
            task,
            command.retry,
            command.summary,
        )
    )
    execution.effects.append(ActivityReady(event_id))
    if command.schedule_to_close_timeout is not None or command.schedule_to_start_timeout is not None:
        at = execution.activity_deadline(event_id)
        assert at is not None
        execution.effects.append(Deadline(at, DeadlineKind.ACTIVITY, event_id))


def _cancel_activity(execution: Execution, command: cmd.RequestCancelActivity, task: int, now: int) -> None:
    execution.append(ev.ActivityTaskCancelRequested(execution.next_event_id, now, command.scheduled_event_id, task))


def _start_timer(execution: Execution, command: cmd.StartTimer, task: int, now: int) -> None:
    execution.append(
        ev.TimerStarted(
            execution.next_event_id,
            now,
            command.timer_id,
            command.start_to_fire_timeout,
            task,
            command.summary,
        )
    )
    at = now + nanoseconds(command.start_to_fire_timeout)
    execution.effects.append(Deadline(at, DeadlineKind.TIMER, command.timer_id))


def _cancel_timer(execution: Execution, command: cmd.CancelTimer, task: int, now: int) -> None:
    started = execution.state.timers[command.timer_id].started
    execution.append(ev.TimerCanceled(execution.next_event_id, now, command.timer_id, started.event_id, task))


def _start_child(execution: Execution, command: cmd.StartChildWorkflow, task: int, now: int) -> None:
    event_id = execution.next_event_id
    this = execution.state.started
    execution.append(
        ev.StartChildWorkflowExecutionInitiated(
            event_id,
            now,
            command.workflow_id,
            command.workflow_type,
            command.task_queue,
            command.input,
            command.parent_close_policy,
            task,
            command.workflow_id_reuse_policy,
            command.execution_timeout,
            command.run_timeout,
            command.task_timeout,
            command.retry,
            command.memo,
        )
    )
    start = msg.Start(
        command.workflow_type,
        command.task_queue,
        command.input,
        request_id=f"{this.run_id}:{event_id}",
        execution_timeout=command.execution_timeout,
        run_timeout=command.run_timeout,
        task_timeout=command.task_timeout,
        retry=command.retry,
        memo=command.memo,
        reuse_policy=WorkflowIDReusePolicy(command.workflow_id_reuse_policy),
        identity=this.identity,
        parent=ev.ParentRef(this.workflow_id, this.run_id, event_id),
        root=this.root or ev.ExecutionRef(this.workflow_id, this.run_id),
        concurrency=command.concurrency,
    )
    target = ev.ExecutionRef(command.workflow_id)
    execution.effects.append(Send(msg.Message(target, start)))


def _signal_external(execution: Execution, command: cmd.SignalExternal, task: int, now: int) -> None:
    event_id = execution.next_event_id
    execution.append(
        ev.SignalExternalWorkflowExecutionInitiated(
            event_id,
            now,
            task,
            command.target,
            command.signal_name,
            command.input,
            command.child_workflow_only,
        )
    )
    body = msg.Signal(
        command.signal_name,
        command.input,
        identity=execution.state.started.identity,
        external=ev.ParentRef(execution.workflow_id, execution.run_id, event_id),
        child_workflow_only=command.child_workflow_only,
    )
    execution.effects.append(Send(msg.Message(command.target, body)))


def _cancel_external(execution: Execution, command: cmd.RequestCancelExternal, task: int, now: int) -> None:
    event_id = execution.next_event_id
    execution.append(
        ev.RequestCancelExternalWorkflowExecutionInitiated(
            event_id, now, task, command.target, command.child_workflow_only, command.reason
        )
    )
    body = msg.Cancel(
        command.reason,
        external=ev.ParentRef(execution.workflow_id, execution.run_id, event_id),
        child_workflow_only=command.child_workflow_only,
    )
    execution.effects.append(Send(msg.Message(command.target, body)))


def _accept_update(execution: Execution, command: cmd.AcceptUpdate, task: int, now: int) -> None:
    execution.updates_admitted.pop(command.update_id, None)
    execution.append(
        ev.WorkflowExecutionUpdateAccepted(
            execution.next_event_id,
            now,
            command.update_id,
            command.update_name,
            command.input,
            task,
            command.identity,
        )
    )
    execution.effects.append(UpdateAnswered(command.update_id, msg.Accepted(execution.run_id)))


def _complete_update(execution: Execution, command: cmd.CompleteUpdate, task: int, now: int) -> None:
    accepted = execution.state.updates[command.update_id].accepted_event_id
    execution.append(
        ev.WorkflowExecutionUpdateCompleted(
            execution.next_event_id,
            now,
            command.update_id,
            accepted,
            task,
            command.result,
            command.failure,
        )
    )
    answer = msg.Outcome(command.result, command.failure)
    execution.effects.append(UpdateAnswered(command.update_id, answer))


def _reject_update(execution: Execution, command: cmd.RejectUpdate, task: int, now: int) -> None:
    """Leaves no event; the caller is answered when the task is done."""


_HANDLERS: dict[type, Callable[[Execution, Any, int, int], None]] = {
    cmd.ScheduleActivity: _schedule_activity,
    cmd.RequestCancelActivity: _cancel_activity,
    cmd.StartTimer: _start_timer,
    cmd.CancelTimer: _cancel_timer,
    cmd.StartChildWorkflow: _start_child,
    cmd.SignalExternal: _signal_external,
    cmd.RequestCancelExternal: _cancel_external,
    cmd.AcceptUpdate: _accept_update,
    cmd.CompleteUpdate: _complete_update,
    cmd.RejectUpdate: _reject_update,
    cmd.CompleteWorkflow: closing.complete,
    cmd.FailWorkflow: closing.fail,
    cmd.CancelWorkflow: closing.cancel,
    cmd.ContinueAsNew: closing.continue_as_new,
}
