"""Operations on executions that take more than one step."""

from __future__ import annotations

from ast import literal_eval
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from tenuto.graph.execution import GraphExecution
from tenuto.model.graph_messages import GraphRerun, GraphRestart, GraphUpgrade
from tenuto.model.json_values import Json
from tenuto.server.decoding import converted, decoded
from tenuto.server.errors import bad_request, not_found
from tenuto.server.graph_calls import ask, look

if TYPE_CHECKING:
    from tenuto.server.services import Services

#: How many parents up a task is looked for.
DEPTH = 64
#: Characters that a request in the query may have.
LONGEST_PRINT = 64 * 1024


class SkipTaskRequest(Struct, rename="camel"):
    task_input: dict[str, Json] = {}
    task_output: dict[str, Json] = {}


class RerunWorkflowRequest(Struct, rename="camel"):
    re_run_from_workflow_id: str | None = None
    re_run_from_task_id: str | None = None
    workflow_input: dict[str, Json] | None = None
    task_input: dict[str, Json] | None = None
    correlation_id: str | None = None


class UpgradeWorkflowRequest(Struct, rename="camel"):
    name: str = ""
    version: int | None = None
    task_output: dict[str, dict[str, Json]] = {}
    workflow_input: dict[str, Json] = {}


def skip_request(query: str, body: dict[str, Json]) -> SkipTaskRequest:
    """The request, which clients send as JSON in the body or in the query; the official Python client writes it there
    as Python prints a dict."""
    if not query:
        return converted(body, SkipTaskRequest)
    return decoded(_as_json(query), SkipTaskRequest)


def _as_json(text: str) -> bytes:
    """A printed dict as JSON; other texts as they are."""
    if len(text) > LONGEST_PRINT:
        raise bad_request(f"skipTaskRequest is longer than {LONGEST_PRINT} characters: send it as the body")
    if not text.startswith("{'"):
        return text.encode()
    try:
        return msgspec.json.encode(literal_eval(text))
    except (ValueError, SyntaxError, TypeError, OverflowError, MemoryError, RecursionError):
        raise bad_request("skipTaskRequest is neither JSON nor a dict as Python prints it") from None


async def restart(services: Services, workflow_id: str, latest: bool) -> None:
    """Begin an execution that has ended anew, by the latest definition if that is asked for."""
    definition = None
    if latest:
        name = await look(services, workflow_id, lambda graph: graph.state.started.workflow_type)
        await services.fresh()
        definition = services.graphs.catalog.snapshot(name, None)
        if definition is None:
            raise not_found(f"there is no workflow definition {name!r} any more")
    await ask(services, workflow_id, GraphRestart(definition))


async def upgrade(services: Services, workflow_id: str, request: UpgradeWorkflowRequest) -> None:
    """Let an execution go on by another version of its definition, the latest if none is named."""
    name = await look(services, workflow_id, lambda graph: graph.state.started.workflow_type)
    if request.name not in ("", name):
        raise bad_request(f"workflow {workflow_id} is a {name}; it can't become a {request.name}")
    await services.fresh()
    definition = services.graphs.catalog.snapshot(name, request.version or None)
    if definition is None:
        version = f" version {request.version}" if request.version else ""
        raise not_found(f"there is no workflow definition {name!r}{version}")
    await ask(services, workflow_id, GraphUpgrade(definition, request.task_output, request.workflow_input))


async def rerun(services: Services, workflow_id: str, request: RerunWorkflowRequest) -> str:
    """Do an execution again. The task to begin from may be one of a sub-workflow: that one is rerun, and its parents go
    on with it. Returns the id of the execution that was asked for."""
    body = GraphRerun(
        request.re_run_from_task_id or "", request.workflow_input, request.task_input, request.correlation_id or ""
    )
    holder = workflow_id
    if body.task_id:
        holder = await _holder(services, workflow_id, body.task_id)
    await ask(services, holder, body)
    return workflow_id


async def _holder(services: Services, workflow_id: str, task_id: str) -> str:
    """The execution that has the task: this one or one below it."""
    await look(services, workflow_id, lambda graph: True)
    found = (await services.store.find_tasks([task_id]))[0]
    above = None if found is None else found.workflow_id
    for _ in range(DEPTH):
        if found is None or above is None:
            break
        if above == workflow_id:
            return found.workflow_id
        above = await services.graphs.look(above, _parent_id)
    raise bad_request(f"neither workflow {workflow_id} nor a sub-workflow of it has a task {task_id}")


def _parent_id(graph: GraphExecution) -> str | None:
    parent = graph.state.started.parent
    return None if parent is None else parent.workflow_id
