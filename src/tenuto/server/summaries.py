"""What a search shows of a workflow or a task: a row of the index in Conductor's form, with times as ISO 8601 texts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tenuto.model.json_values import Json
from tenuto.store.protocol import TaskIndexRow, WorkflowIndexRow

MILLISECOND = 1_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def workflow_summary(row: WorkflowIndexRow) -> dict[str, Json]:
    """A WorkflowSummary; its input and output are JSON texts."""
    summary: dict[str, Json] = {
        "workflowType": row.workflow_type,
        "version": row.version,
        "workflowId": row.workflow_id,
        "startTime": _iso(row.start_time),
        "updateTime": _iso(row.update_time),
        "status": row.status,
        "input": row.input,
        "output": row.output,
        "executionTime": _between(row.start_time, row.end_time),
        "failedReferenceTaskNames": ",".join(row.failed_references),
        "failedTaskNames": row.failed_tasks,
        "priority": row.priority,
        "taskToDomain": row.task_to_domain,
        "parentWorkflowId": row.parent_workflow_id,
        "classifier": row.classifier,
        "inputSize": len(row.input),
        "outputSize": len(row.output),
    }
    _add(summary, "correlationId", row.correlation_id)
    _add(summary, "endTime", _iso(row.end_time))
    _add(summary, "reasonForIncompletion", row.reason)
    _add(summary, "event", row.event)
    _add(summary, "createdBy", row.created_by)
    _add(summary, "idempotencyKey", row.idempotency_key)
    return summary


def task_summary(row: TaskIndexRow) -> dict[str, Json]:
    """A TaskSummary; its input and output are JSON texts."""
    summary: dict[str, Json] = {
        "workflowId": row.workflow_id,
        "workflowType": row.workflow_type,
        "scheduledTime": _iso(row.scheduled_time),
        "updateTime": _iso(row.update_time),
        "status": row.status,
        "executionTime": _between(row.start_time, row.end_time),
        "queueWaitTime": _between(row.scheduled_time, row.start_time),
        "taskDefName": row.task_def_name,
        "taskType": row.task_type,
        "input": row.input,
        "output": row.output,
        "taskId": row.task_id,
        "workflowPriority": row.priority,
    }
    _add(summary, "correlationId", row.correlation_id)
    _add(summary, "startTime", _iso(row.start_time))
    _add(summary, "endTime", _iso(row.end_time))
    _add(summary, "reasonForIncompletion", row.reason)
    _add(summary, "domain", row.domain)
    return summary


def _add(summary: dict[str, Json], name: str, value: Json) -> None:
    if value is not None:
        summary[name] = value


def _between(begin: int | None, end: int | None) -> int:
    """Milliseconds from one moment to another; 0 while one of them has not come."""
    return max(0, (end - begin) // MILLISECOND) if begin and end else 0


def _iso(time: int | None) -> str | None:
    if time is None:
        return None
    moment = _EPOCH + timedelta(milliseconds=time // MILLISECOND)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
