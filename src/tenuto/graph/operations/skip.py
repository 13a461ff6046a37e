"""A task is skipped before it was scheduled."""

from __future__ import annotations

from tenuto.graph import kinds
from tenuto.graph.context import Context
from tenuto.graph.execution import GraphExecution
from tenuto.graph.refusal import Refusal
from tenuto.model.errors import RPCStatusCode
from tenuto.model.graph import Task
from tenuto.model.graph_messages import GraphSkip
from tenuto.model.json_values import Json


def skip(execution: GraphExecution, context: Context, request: GraphSkip) -> None:
    """Let the workflow step over a task when it comes to it; `task_output` is what others see as its output. The
    branches of a fork are skipped with it, so that its JOIN doesn't wait for them."""
    state = execution.state
    if state.status != "RUNNING":
        raise Refusal(f"workflow {execution.workflow_id} is {state.status}: a task is skipped only while it is RUNNING")
    node = state.plan.node(request.reference)
    if node is None:
        known = ", ".join(sorted(state.plan.places)[:20])
        raise Refusal(
            f"the definition has no task with the reference name {request.reference!r}; it has {known}",
            RPCStatusCode.NOT_FOUND,
        )
    if request.reference in state.by_base:
        raise Refusal(f"task {request.reference} is {state.by_base[request.reference].status} already")
    execution.schedule(
        skipped(execution, context, request.reference, request.task_input, request.task_output, "skipped on request")
    )
    for branch in node.fork_tasks:
        for each in branch:
            if each.task_reference_name not in state.by_base:
                execution.schedule(
                    skipped(execution, context, each.task_reference_name, {}, {}, f"skipped with {request.reference}")
                )


def skipped(
    execution: GraphExecution,
    context: Context,
    reference: str,
    input: dict[str, Json],
    output: dict[str, Json],
    reason: str,
) -> Task:
    """A task that counts as done without having run."""
    node = execution.state.plan.node(reference)
    assert node is not None, f"task {reference} is in no definition"
    return Task(
        number=execution.state.last_number + 1,
        task_id=context.new_id(),
        seq=0,
        reference=reference,
        base=reference,
        kind=kinds.kind_name(node.type, context.system_types),
        task_type=node.name if node.type == "SIMPLE" else node.type,
        def_name=node.name,
        status="SKIPPED",
        executed=True,
        input=input,
        output=output,
        scheduled_time=context.now,
        first_scheduled=context.now,
        start_time=context.now,
        end_time=context.now,
        update_time=context.now,
        reason=reason,
    )
