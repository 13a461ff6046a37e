"""An execution is forgotten."""

from __future__ import annotations

from tenuto.graph.context import Context
from tenuto.graph.effects import Removed
from tenuto.graph.execution import GraphExecution
from tenuto.graph.operations.terminate import terminate
from tenuto.model.graph_messages import GraphRemove, GraphTerminate


def remove(execution: GraphExecution, context: Context, request: GraphRemove) -> None:
    """Forget the execution and all that belongs to it; an archived one is still found by searches until it would have
    been forgotten anyway. One that is open is terminated, so that nobody waits for it."""
    if not execution.state.closed:
        reason = request.reason or "the workflow was removed"
        terminate(execution, context, GraphTerminate(reason))
    if request.archive:
        execution.change("archived", archived=True)
    else:
        execution.effects.append(Removed())
