"""Durable code, or a client of it, starts a workflow whose name is that of a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph.json_payloads import payload_json
from tenuto.model import messages as msg
from tenuto.model.errors import RPCStatusCode
from tenuto.model.graph_messages import GraphStart
from tenuto.model.payloads import JSON, NULL

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine


def is_name_settled(engine: Engine, request: msg.Start) -> bool:
    """Is it known whether the name is that of code or of a graph, also if another server has just learned of it?"""
    name = request.workflow_type
    return engine.turns.has(request.task_queue, name) or engine.graphs.catalog.is_settled(name)


def start_by_name(engine: Engine, request: msg.Start) -> GraphStart | msg.Refused | None:
    """The graph's start; a refusal if the request says something that a graph can't take. None if no graph is meant:
    there is none of that name, or a worker has code of that name on the task queue."""
    name, catalog = request.workflow_type, engine.graphs.catalog
    if engine.turns.has(request.task_queue, name) or catalog.code(name) == request.task_queue:
        return None
    snapshot = catalog.snapshot(name, None)
    if snapshot is None:
        return None
    problem = _problem(request)
    if problem is not None:
        return msg.Refused(RPCStatusCode.INVALID_ARGUMENT, f"{name} is a graph, which takes {problem}")
    value = payload_json(request.input)
    return GraphStart(
        name,
        catalog.latest_version(name) or 1,
        snapshot,
        value if isinstance(value, dict) else {} if value is None else {"input": value},
        parent=request.parent,
    )


def _problem(request: msg.Start) -> str | None:
    """What a graph doesn't take of the request; nothing of it is dropped without a word."""
    if len(request.input) > 1:
        return f"one argument, its input; there are {len(request.input)}"
    if request.input and request.input[0].encoding not in (JSON, NULL):
        return "JSON as its input, nothing else"
    given = {
        "start_signal": request.signal is not None,
        "start_delay": request.start_delay > 0,
        "retry_policy": request.retry is not None,
        "execution_timeout": request.execution_timeout is not None,
        "run_timeout": request.run_timeout is not None,
        "memo": bool(request.memo),
    }
    refused = [option for option, is_given in given.items() if is_given]
    if refused:
        return f"no {' and no '.join(refused)}; its definition says how long it may take and what is tried again"
    return None
