"""Variables set from outside."""

from __future__ import annotations

from tenuto.graph.context import Context
from tenuto.graph.execution import GraphExecution
from tenuto.graph.operations.pause import refuse_closed
from tenuto.model.graph_messages import GraphSetVariables


def set_variables(execution: GraphExecution, context: Context, request: GraphSetVariables) -> None:
    """Merge into the workflow's variables."""
    refuse_closed(execution, "given variables")
    execution.change("variables", variables=request.variables)
