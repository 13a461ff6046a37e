"""Rows of the search index, as the columns of statements and back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from tenuto.store.postgres.texts import escape, unescape
from tenuto.store.protocol import TaskIndexRow, WorkflowIndexRow

_Details = tuple[list[str], list[str], dict[str, str]]
_encode_details = msgspec.msgpack.Encoder().encode
_decode_details = msgspec.msgpack.Decoder(_Details).decode

Columns = dict[str, list[Any]]


def workflow_columns(rows: Collection[WorkflowIndexRow], slot_of: Callable[[int], int]) -> Columns:
    """The parameters of `upsert_workflow_index`; `slot_of` tells where what started then lies. Of each run one row."""
    return {
        "iw_partition": [row.partition for row in rows],
        "iw_slot": [slot_of(row.run_start) for row in rows],
        "iw_version": [row.version for row in rows],
        "iw_priority": [row.priority for row in rows],
        "iw_start_time": [row.start_time for row in rows],
        "iw_end_time": [row.end_time for row in rows],
        "iw_update_time": [row.update_time for row in rows],
        "iw_run_id": [escape(row.run_id) for row in rows],
        "iw_workflow_id": [escape(row.workflow_id) for row in rows],
        "iw_workflow_type": [escape(row.workflow_type) for row in rows],
        "iw_status": [escape(row.status) for row in rows],
        "iw_correlation_id": [escape(row.correlation_id) for row in rows],
        "iw_parent_workflow_id": [escape(row.parent_workflow_id) for row in rows],
        "iw_created_by": [escape(row.created_by) for row in rows],
        "iw_event": [escape(row.event) for row in rows],
        "iw_classifier": [escape(row.classifier) for row in rows],
        "iw_idempotency_key": [escape(row.idempotency_key) for row in rows],
        "iw_reason": [escape(row.reason) for row in rows],
        "iw_details": [_encode_details((row.failed_references, row.failed_tasks, row.task_to_domain)) for row in rows],
        "iw_input": [escape(row.input) for row in rows],
        "iw_output": [escape(row.output) for row in rows],
    }


def task_columns(rows: Collection[TaskIndexRow], slot_of: Callable[[int], int]) -> Columns:
    """The parameters of `upsert_task_index`; `slot_of` as for runs. Of each task one row."""
    return {
        "it_partition": [row.partition for row in rows],
        "it_slot": [slot_of(row.run_start) for row in rows],
        "it_priority": [row.priority for row in rows],
        "it_scheduled_time": [row.scheduled_time for row in rows],
        "it_start_time": [row.start_time for row in rows],
        "it_end_time": [row.end_time for row in rows],
        "it_update_time": [row.update_time for row in rows],
        "it_task_id": [escape(row.task_id) for row in rows],
        "it_run_id": [escape(row.run_id) for row in rows],
        "it_workflow_id": [escape(row.workflow_id) for row in rows],
        "it_workflow_type": [escape(row.workflow_type) for row in rows],
        "it_task_type": [escape(row.task_type) for row in rows],
        "it_task_def_name": [escape(row.task_def_name) for row in rows],
        "it_reference_name": [escape(row.reference_name) for row in rows],
        "it_status": [escape(row.status) for row in rows],
        "it_correlation_id": [escape(row.correlation_id) for row in rows],
        "it_domain": [escape(row.domain) for row in rows],
        "it_reason": [escape(row.reason) for row in rows],
        "it_input": [escape(row.input) for row in rows],
        "it_output": [escape(row.output) for row in rows],
    }


def unindexed_columns(tasks: Collection[tuple[int, str]]) -> Columns:
    """The parameters of `delete_task_index`, of (partition, task id) pairs."""
    return {
        "ut_partition": [partition for partition, _ in tasks],
        "ut_task_id": [escape(task_id) for _, task_id in tasks],
    }


def workflow_row(record: Mapping[str, Any]) -> WorkflowIndexRow:
    """The row of a record of `search_workflows`."""
    failed_references, failed_tasks, task_to_domain = _decode_details(record["details"])
    return WorkflowIndexRow(
        partition=record["partition"],
        workflow_id=unescape(record["workflow_id"]),
        run_id=unescape(record["run_id"]),
        workflow_type=unescape(record["workflow_type"]),
        version=record["version"],
        status=unescape(record["status"]),
        start_time=record["start_time"],
        end_time=record["end_time"],
        update_time=record["update_time"],
        correlation_id=unescape(record["correlation_id"]),
        parent_workflow_id=unescape(record["parent_workflow_id"]),
        priority=record["priority"],
        created_by=unescape(record["created_by"]),
        event=unescape(record["event"]),
        reason=unescape(record["reason"]),
        classifier=unescape(record["classifier"]),
        idempotency_key=unescape(record["idempotency_key"]),
        failed_references=failed_references,
        failed_tasks=failed_tasks,
        task_to_domain=task_to_domain,
        input=unescape(record["input"]),
        output=unescape(record["output"]),
    )


def task_row(record: Mapping[str, Any]) -> TaskIndexRow:
    """The row of a record of `search_tasks` or `find_tasks`."""
    return TaskIndexRow(
        partition=record["partition"],
        task_id=unescape(record["task_id"]),
        workflow_id=unescape(record["workflow_id"]),
        run_id=unescape(record["run_id"]),
        workflow_type=unescape(record["workflow_type"]),
        task_type=unescape(record["task_type"]),
        task_def_name=unescape(record["task_def_name"]),
        reference_name=unescape(record["reference_name"]),
        status=unescape(record["status"]),
        scheduled_time=record["scheduled_time"],
        update_time=record["update_time"],
        start_time=record["start_time"],
        end_time=record["end_time"],
        correlation_id=unescape(record["correlation_id"]),
        reason=unescape(record["reason"]),
        domain=unescape(record["domain"]),
        priority=record["priority"],
        input=unescape(record["input"]),
        output=unescape(record["output"]),
    )
