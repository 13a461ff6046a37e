"""An execution goes on by another version of its definition."""

from __future__ import annotations

from tenuto.graph.context import Context
from tenuto.graph.execution import GraphExecution
from tenuto.graph.operations.pause import refuse_closed
from tenuto.graph.operations.skip import skipped
from tenuto.graph.plan import Plan, plan_of
from tenuto.graph.refusal import Refusal
from tenuto.model.errors import RPCStatusCode
from tenuto.model.graph_messages import GraphUpgrade


def upgrade(execution: GraphExecution, context: Context, request: GraphUpgrade) -> None:
    """What has run stays, and what comes after it follows from the new definition. Tasks with an output in the request
    count as done; the others of the new definition that stand before those that are open do not run."""
    state = execution.state
    refuse_closed(execution, "upgraded")
    plan = plan_of(request.definition)
    _check(execution, plan, request)
    execution.change("upgraded", definition=request.definition, input=state.input | request.input)
    for reference, output in request.task_output.items():
        execution.schedule(skipped(execution, context, reference, {}, output, "done before the upgrade"))


def _check(execution: GraphExecution, plan: Plan, request: GraphUpgrade) -> None:
    """Raise Refusal if the new definition doesn't fit what has happened."""
    state = execution.state
    version = plan.snapshot.workflow.version
    for task in state.open.values():
        place, old = plan.places.get(task.base), state.plan.places.get(task.base)
        if old is not None and (place is None or place.node.type != old.node.type):
            raise Refusal(f"task {task.reference} is {task.status}, and version {version} has no such task")
    for reference in request.task_output:
        if reference not in plan.places:
            raise Refusal(f"version {version} has no task {reference!r}", RPCStatusCode.NOT_FOUND)
        if reference in state.by_base:
            raise Refusal(f"task {reference} is {state.by_base[reference].status} already, so it needs no output")
