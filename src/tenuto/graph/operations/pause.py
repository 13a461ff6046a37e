"""Pause and resume."""

from __future__ import annotations

from tenuto.graph.context import Context
from tenuto.graph.execution import GraphExecution
from tenuto.graph.refusal import Refusal
from tenuto.model.graph_messages import GraphPause, GraphResume


def pause(execution: GraphExecution, context: Context, request: GraphPause) -> None:
    """Schedule nothing new; what is out may still complete. Pausing twice changes nothing."""
    refuse_closed(execution, "paused")
    if execution.state.status != "PAUSED":
        execution.change("paused", status="PAUSED", reason=request.reason)


def resume(execution: GraphExecution, context: Context, request: GraphResume) -> None:
    """Go on. The workflow's timeout counts anew from here."""
    if execution.state.status != "PAUSED":
        raise Refusal(f"workflow {execution.workflow_id} is {execution.state.status}, not PAUSED: it can't be resumed")
    execution.change("resumed", status="RUNNING", reason="", last_retried_time=context.now)


def refuse_closed(execution: GraphExecution, what: str) -> None:
    """Raise Refusal if the execution has ended."""
    if execution.state.closed:
        raise Refusal(f"workflow {execution.workflow_id} has ended ({execution.state.status}) and can't be {what}")


def refuse_open(execution: GraphExecution, what: str) -> None:
    """Raise Refusal if the execution has not ended."""
    if not execution.state.closed:
        raise Refusal(
            f"workflow {execution.workflow_id} is {execution.state.status}: it can't be {what} before it ends"
        )
