"""What a parent learns of this execution, whether it is a graph or durable code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.execution import GraphExecution
from tenuto.graph.json_payloads import json_payload
from tenuto.model import events as ev
from tenuto.model.events import AnyEvent, ParentRef
from tenuto.model.failures import ApplicationFailure, Failure
from tenuto.model.graph import GraphStatus
from tenuto.model.messages import ChildClosed
from tenuto.model.policies import ExecutionStatus, RetryState

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision

STATUSES: dict[GraphStatus, ExecutionStatus] = {
    "RUNNING": ExecutionStatus.RUNNING,
    "PAUSED": ExecutionStatus.RUNNING,
    "COMPLETED": ExecutionStatus.COMPLETED,
    "FAILED": ExecutionStatus.FAILED,
    "TIMED_OUT": ExecutionStatus.TIMED_OUT,
    "TERMINATED": ExecutionStatus.TERMINATED,
}


def tell_parents(decision: Decision, *, cancelled: bool = False) -> None:
    """Tell the parent, if there is one, and whoever else waits, that this execution has ended. `cancelled`: because the
    parent asked it to stop, which durable code doesn't take for a failure."""
    parent = decision.state.started.parent
    if parent is not None:
        tell(decision, parent, ExecutionStatus.CANCELED if cancelled else None)
    for follower in decision.state.followers:
        tell(decision, follower)


def tell(decision: Decision, parent: ParentRef, status: ExecutionStatus | None = None) -> None:
    """Tell one parent how this execution has ended; in other words than its own with a `status`."""
    state = decision.state
    failure = None
    if state.status != "COMPLETED":
        failure = Failure(state.reason or f"the workflow ended {state.status}", info=ApplicationFailure(state.status))
    decision.send(
        parent.workflow_id,
        ChildClosed(
            parent.initiated_event_id,
            state.started.run_id,
            status or STATUSES[state.status],
            [json_payload(state.output)],
            failure,
        ),
        parent.run_id,
    )


def closing_event(execution: GraphExecution) -> AnyEvent:
    """The end of a graph in the words of durable code, for callers who wait for its result."""
    state = execution.state
    event_id, time = state.last_event_id, state.end_time
    match state.status:
        case "COMPLETED":
            return ev.WorkflowExecutionCompleted(event_id, time, 0, [json_payload(state.output)])
        case "TIMED_OUT":
            return ev.WorkflowExecutionTimedOut(event_id, time, RetryState.RETRY_POLICY_NOT_SET)
        case "TERMINATED":
            return ev.WorkflowExecutionTerminated(event_id, time, state.reason)
    failure = Failure(state.reason, info=ApplicationFailure(state.status))
    return ev.WorkflowExecutionFailed(event_id, time, 0, failure, RetryState.RETRY_POLICY_NOT_SET)
