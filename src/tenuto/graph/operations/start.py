"""The beginning of an execution."""

from __future__ import annotations

from tenuto.graph.context import Context
from tenuto.graph.execution import GraphExecution
from tenuto.graph.plan import plan_of
from tenuto.model.graph import GraphStarted
from tenuto.model.graph_messages import GraphStart


def start(execution: GraphExecution, workflow_id: str, request: GraphStart, context: Context, *, queued: bool) -> None:
    """Begin. `queued`: it has to wait for a place (`rateLimitConfig`)."""
    definition = plan_of(request.definition).snapshot.workflow
    execution.now = context.now
    execution.begin(
        GraphStarted(
            1,
            context.now,
            workflow_id,
            workflow_id,
            request.workflow_type,
            request.version,
            request.definition,
            definition.input_template | request.input,
            definition.variables,
            request.correlation_id,
            request.priority,
            request.task_to_domain,
            request.created_by,
            request.caused_by,
            request.idempotency_key,
            request.parent,
            request.parent_task_id,
            queued,
            request.depth,
        )
    )
