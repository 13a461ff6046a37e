"""Variables set from outside."""

from __future__ import annotations

from tenuto.graph.context import Context
from tenuto.graph.execution import GraphExecution
from tenuto.graph.operations.pause import refuse_closed
from tenuto.model.graph_messages import GraphSetVariables
from tenuto.model.json_values import Json


def set_variables(execution: GraphExecution, context: Context, request: GraphSetVariables) -> None:
    """Merge into the workflow's variables."""
    refuse_closed(execution, "given variables")
    before = execution.state.variables if request.append_lists else {}
    variables = {name: _appended(before.get(name), value) for name, value in request.variables.items()}
    execution.change("variables", variables=variables)


def _appended(before: Json, value: Json) -> Json:
    return [*before, *value] if isinstance(before, list) and isinstance(value, list) else value
