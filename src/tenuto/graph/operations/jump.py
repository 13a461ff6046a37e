"""Jump: the workflow goes on at another task."""

from __future__ import annotations

from tenuto.graph.context import Context
from tenuto.graph.decision import Decision
from tenuto.graph.execution import GraphExecution
from tenuto.graph.operations.pause import refuse_closed
from tenuto.graph.refusal import Refusal
from tenuto.model.errors import RPCStatusCode
from tenuto.model.graph_messages import GraphJump


def jump(execution: GraphExecution, context: Context, request: GraphJump) -> None:
    """End what is open as SKIPPED and schedule the task of that reference name, which must not have run yet."""
    state = execution.state
    refuse_closed(execution, "moved on")
    node = state.plan.node(request.reference)
    if node is None:
        raise Refusal(f"the definition has no task {request.reference!r}", RPCStatusCode.NOT_FOUND)
    if request.reference in state.by_base:
        raise Refusal(f"task {request.reference} is {state.by_base[request.reference].status} already")
    decision = Decision(execution, context)
    for task in list(state.open.values()):
        if task.open:
            decision.end(task, "SKIPPED", reason=f"the workflow jumped to {request.reference}", executed=True)
        else:
            execution.change_task(task, "jumped", executed=True)
    decision.schedule(node, ())
    task = state.by_base[request.reference]
    if request.input:
        execution.change_task(task, "jumped", input=task.input | request.input)
