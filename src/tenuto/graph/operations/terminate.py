"""Termination from outside."""

from __future__ import annotations

from tenuto.graph import closing
from tenuto.graph.context import Context
from tenuto.graph.decision import Decision
from tenuto.graph.execution import GraphExecution
from tenuto.graph.operations.follow import unfollow
from tenuto.graph.refusal import Refusal
from tenuto.model import messages as msg
from tenuto.model.errors import RPCStatusCode
from tenuto.model.graph_messages import GraphTerminate


def terminate(execution: GraphExecution, context: Context, request: GraphTerminate) -> None:
    """End the workflow now. One that has failed already becomes TERMINATED; one that has completed is refused."""
    state = execution.state
    if request.parent is not None and request.parent in state.followers:
        unfollow(execution, request.parent)
        return
    if state.status == "TERMINATED":
        return
    if state.status == "COMPLETED":
        raise Refusal(f"workflow {execution.workflow_id} has COMPLETED and can't be terminated")
    if state.closed:
        execution.change("terminated", status="TERMINATED", reason=request.reason or state.reason)
        return
    closing.close(
        Decision(execution, context),
        "TERMINATED",
        request.reason,
        failure_workflow_too=request.trigger_failure_workflow,
    )


def terminate_code(execution: GraphExecution, context: Context, request: msg.Terminate) -> None:
    """Durable code, or a client of it, terminates a graph."""
    _check_open(execution)
    terminate(execution, context, GraphTerminate(request.reason))


def cancel_code(execution: GraphExecution, context: Context, request: msg.Cancel) -> None:
    """Durable code, or a client of it, cancels a graph. A graph can't resist: it is terminated."""
    _check_open(execution)
    reason = request.reason or "cancelled"
    closing.close(
        Decision(execution, context),
        "TERMINATED",
        reason,
        failure_workflow_too=False,
        cancelled=request.external is not None,
    )


def _check_open(execution: GraphExecution) -> None:
    state = execution.state
    if state.closed:
        reason = f"workflow {execution.workflow_id!r} has already closed ({state.status})"
        raise Refusal(reason, RPCStatusCode.NOT_FOUND)
