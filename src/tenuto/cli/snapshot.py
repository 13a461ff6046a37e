"""One look at an execution: its timeline as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.timeline import Timeline, build_timeline

if TYPE_CHECKING:
    from tenuto.client import Client, WorkflowExecutionDescription


async def look(
    client: Client, workflow_id: str, run_id: str | None = None
) -> tuple[WorkflowExecutionDescription, Timeline]:
    """The run's description and its timeline. Raises RPCError (NOT_FOUND) if there is no such run."""
    from tenuto.cli.graph_timeline import build_graph_timeline
    from tenuto.engine.gateway import not_found
    from tenuto.engine.graphs import restore
    from tenuto.model.events import ExecutionRef

    description = await client.get_workflow_handle(workflow_id, run_id=run_id).describe()
    ref = ExecutionRef(workflow_id, description.run_id)
    stored = await client.gateway.load(ref, history=True)
    if stored is not None and stored.graph_events:
        return description, build_graph_timeline(restore(stored))
    if stored is None or not stored.events:
        raise not_found(ref)
    workflow_task = stored.notes.get(0)
    problem = workflow_task.last_failure if workflow_task is not None else None
    return description, build_timeline(stored.events, description.pending_activities, problem)
