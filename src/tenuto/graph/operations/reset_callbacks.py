"""Workers' tasks that wait for a delay become available now."""

from __future__ import annotations

from tenuto.graph import kinds
from tenuto.graph.context import Context
from tenuto.graph.execution import GraphExecution
from tenuto.graph.operations.pause import refuse_closed
from tenuto.model.graph_messages import GraphResetCallbacks


def reset_callbacks(execution: GraphExecution, context: Context, request: GraphResetCallbacks) -> None:
    refuse_closed(execution, "changed")
    for task in execution.state.open.values():
        if task.status == "SCHEDULED" and not kinds.is_engine_task(task.kind) and task.available_at > context.now:
            execution.change_task(task, "callback_reset", available_at=context.now, callback_after=0.0)
