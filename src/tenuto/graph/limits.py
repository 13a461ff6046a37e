"""The limit on concurrent executions of one workflow (`rateLimitConfig`)."""

from __future__ import annotations

from msgspec import Struct

from tenuto.graph.execution import GraphExecution
from tenuto.graph.expressions import MISSING, evaluate
from tenuto.model.json_values import Json


class Place(Struct, frozen=True):
    """Which limit an execution comes under, and how many it allows."""

    key: str
    limit: int
    rejects: bool


class _Input:
    """Only the input and the correlation id can be named in a key: it is settled before the workflow begins."""

    def __init__(self, graph: GraphExecution) -> None:
        self._graph = graph

    def root(self, name: str) -> Json:
        if name != "workflow":
            return MISSING
        state = self._graph.state
        return {
            "input": state.input,
            "correlationId": state.correlation_id,
            "workflowType": state.started.workflow_type,
        }


def place_of(graph: GraphExecution, tagged: int | None = None) -> Place | None:
    """The limit that `graph` comes under: its definition's, or the one that the workflow is `tagged` with. None if
    there is none."""
    state = graph.state
    name = state.started.workflow_type
    config = state.plan.snapshot.workflow.rate_limit_config
    if config is None or config.concurrent_exec_limit <= 0:
        return None if not tagged else Place(f"{name}/", tagged, rejects=False)
    key = evaluate(config.rate_limit_key or "", _Input(graph))
    return Place(f"{name}/{'' if key is None else key}", config.concurrent_exec_limit, config.policy == "REJECT")
