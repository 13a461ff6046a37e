"""What workers send about their tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct

from tenuto.model.graph_messages import TaskUpdate
from tenuto.model.json_values import Json
from tenuto.server.errors import not_found
from tenuto.server.payloads import named_payload
from tenuto.server.task_logs import LogEntry

if TYPE_CHECKING:
    from tenuto.server.services import Services


class TaskResult(Struct, rename="camel", kw_only=True):
    """A worker's word on a task; `callback_after_seconds` counts for IN_PROGRESS only."""

    task_id: Annotated[str, Meta(min_length=1)]
    status: Literal["IN_PROGRESS", "FAILED", "FAILED_WITH_TERMINAL_ERROR", "COMPLETED", "CANCELED"]
    workflow_instance_id: str | None = None
    output_data: dict[str, Json] = {}
    reason_for_incompletion: str | None = None
    callback_after_seconds: Annotated[float, Meta(ge=0, le=2**31)] = 0.0
    worker_id: str | None = None
    logs: list[LogEntry] = []
    external_output_payload_storage_path: str | None = None
    sub_workflow_id: str | None = None
    extend_lease: bool = False


async def to_update(services: Services, result: TaskResult) -> TaskUpdate:
    """The update as the engine takes it. Raises ApiError (400) if it names an output that isn't there."""
    if result.external_output_payload_storage_path:
        path = result.external_output_payload_storage_path
        result.output_data = await named_payload(services, path, "externalOutputPayloadStoragePath")
    return TaskUpdate(
        result.status,
        task_id=result.task_id,
        output=result.output_data,
        reason=result.reason_for_incompletion or "",
        worker_id=result.worker_id or "",
        callback_after=result.callback_after_seconds,
        extend_lease=result.extend_lease,
        sub_workflow_id=result.sub_workflow_id or "",
    )


async def locate(services: Services, result: TaskResult) -> str:
    """The workflow that the task is of. Raises ApiError (404)."""
    if result.workflow_instance_id:
        return result.workflow_instance_id
    workflow_id = await services.workflow_of(result.task_id)
    if workflow_id is None:
        raise not_found(f"there is no task with the id {result.task_id!r}")
    result.workflow_instance_id = workflow_id
    return workflow_id
