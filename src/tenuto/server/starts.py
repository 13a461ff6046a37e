"""Starting graph executions: by name, by a definition that comes along, once for an idempotency key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

from tenuto.graph.definitions import WorkflowDef
from tenuto.graph.idempotency import idempotent_id
from tenuto.graph.schemas import input_problem
from tenuto.model import messages as msg
from tenuto.model.events import ExecutionRef
from tenuto.model.graph_messages import GraphStart
from tenuto.model.json_values import Json
from tenuto.model.search import And, Compare, SearchQuery
from tenuto.server.errors import bad_request, conflict, not_found
from tenuto.server.graph_calls import check
from tenuto.server.payloads import named_payload

if TYPE_CHECKING:
    from tenuto.server.services import Services


class StartWorkflowRequest(Struct, rename="camel", kw_only=True):
    """What is to be started. With `workflow_def` nothing need be registered."""

    name: str = ""
    version: int | None = None
    correlation_id: str | None = None
    input: dict[str, Json] = {}
    task_to_domain: dict[str, str] = {}
    workflow_def: dict[str, Json] | None = None
    external_input_payload_storage_path: str | None = None
    priority: Annotated[int, Meta(ge=0, le=99)] = 0
    created_by: str | None = None
    idempotency_key: str | None = None
    idempotency_strategy: Literal["FAIL", "RETURN_EXISTING", "FAIL_ON_RUNNING"] | None = None


async def start(
    services: Services, request: StartWorkflowRequest, caused_by: str = "", workflow_id: str | None = None
) -> str:
    """Start an execution; returns its id once the start is on record. With a `workflow_id` there is one of that id
    afterwards, however often it is started; an idempotency key outranks it. Raises ApiError."""
    body = await graph_start(services, request, caused_by)
    if body.idempotency_key:
        return await _start_once(services, body, request.idempotency_strategy or "FAIL")
    if workflow_id is not None:
        body.existing_is_fine = True
        check(await services.gateway.request(ExecutionRef(workflow_id), body))
        return workflow_id
    workflow_id = services.graphs.new_workflow_id()
    check(await services.engine.submit(msg.Message(ExecutionRef(workflow_id), body), new=True))
    return workflow_id


async def graph_start(services: Services, request: StartWorkflowRequest, caused_by: str = "") -> GraphStart:
    """What the engine is told to start. Raises ApiError if that can't be started."""
    definition, snapshot = await _definition(services, request)
    if request.external_input_payload_storage_path:
        path = request.external_input_payload_storage_path
        request.input = await named_payload(services, path, "externalInputPayloadStoragePath")
    problem = input_problem(definition, request.input, services.graphs.catalog)
    if problem:
        raise bad_request(problem)
    return GraphStart(
        definition.name,
        definition.version,
        snapshot,
        request.input,
        correlation_id=request.correlation_id or "",
        priority=request.priority,
        task_to_domain=request.task_to_domain,
        created_by=request.created_by or "",
        caused_by=caused_by,
        idempotency_key=(request.idempotency_key or "").strip(),
        existing_is_fine=request.idempotency_strategy == "RETURN_EXISTING",
    )


async def _definition(services: Services, request: StartWorkflowRequest) -> tuple[WorkflowDef, bytes]:
    from tenuto.server.routes.metadata import check_workflow, read_workflow

    await services.fresh()
    catalog = services.graphs.catalog
    if request.workflow_def is not None:
        definition = read_workflow({"name": request.name} | request.workflow_def)
        await check_workflow(services, definition)
        return definition, catalog.snapshot_of(definition)
    if not request.name:
        raise bad_request("the request needs the name of a workflow, or a workflowDef")
    version = request.version or None
    known = catalog.workflow(request.name, version)
    snapshot = None if known is None else catalog.snapshot(request.name, known.version)
    if known is None or snapshot is None:
        which = f" version {version}" if version else ""
        raise not_found(f"there is no workflow definition {request.name!r}{which}")
    return known, snapshot


async def _start_once(services: Services, body: GraphStart, strategy: str) -> str:
    """The id follows from the name, the key and a number, so that the partition that owns it decides between starts
    that come at the same time. The number goes up only with FAIL_ON_RUNNING, after the one before has ended."""
    number = 0
    latest = await _latest(services, body)
    if latest is not None:
        number, running = latest
        if strategy == "FAIL_ON_RUNNING" and not running:
            number += 1
    workflow_id = idempotent_id(body.workflow_type, body.idempotency_key, number)
    answer = await services.gateway.request(ExecutionRef(workflow_id), body)
    if isinstance(answer, msg.Refused) and answer.reason in ("already_started", "already_ended"):
        raise conflict(
            f"a workflow {body.workflow_type} with the idempotency key {body.idempotency_key!r} "
            f"{'is running' if strategy == 'FAIL_ON_RUNNING' else 'exists'} already: {workflow_id}"
        )
    check(answer)
    return workflow_id


async def _latest(services: Services, body: GraphStart) -> tuple[int, bool] | None:
    """The number of the latest execution with this key, and whether it is running; None if there is none."""
    condition = And(
        (
            Compare("workflow_type", "=", body.workflow_type),
            Compare("idempotency_key", "=", body.idempotency_key),
        )
    )
    found = await services.store.search_workflows(
        SearchQuery(condition=condition, sort=[("start_time", True)], start=0, size=1)
    )
    if not found.rows:
        return None
    row = found.rows[0]
    removed = await services.graphs.look(row.workflow_id, lambda graph: False) is None
    for number in range(found.total + 1_000):
        if idempotent_id(body.workflow_type, body.idempotency_key, number) == row.workflow_id:
            return number + removed, row.status in ("RUNNING", "PAUSED")
    return None
