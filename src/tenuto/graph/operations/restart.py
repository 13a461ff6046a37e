"""Restart: an execution that has ended begins again from the first task."""

from __future__ import annotations

from tenuto.graph.context import Context
from tenuto.graph.decision import Decision
from tenuto.graph.execution import GraphExecution
from tenuto.graph.operations.pause import refuse_open
from tenuto.graph.operations.revive import reopen
from tenuto.graph.refusal import Refusal
from tenuto.model.errors import RPCStatusCode
from tenuto.model.graph_messages import GraphRestart


def restart(execution: GraphExecution, context: Context, request: GraphRestart) -> None:
    """Begin again with the same id and input; the variables keep their values."""
    state = execution.state
    refuse_open(execution, "restarted")
    if state.status == "COMPLETED" and not state.plan.snapshot.workflow.restartable:
        raise Refusal(
            f"workflow {execution.workflow_id} has COMPLETED, and its definition says that it is not restartable",
            RPCStatusCode.NOT_FOUND,
        )
    decision = Decision(execution, context)
    execution.hide("restarted", list(state.tasks.values()))
    reopen(decision, "restarted")
    execution.change("restarted", start_time=context.now, last_retried_time=0)
    if request.definition is not None:
        execution.change("restarted", definition=request.definition)
