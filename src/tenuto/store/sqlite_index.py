"""Rows of the search index, as the cells of statements and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tenuto.store.protocol import TaskIndexRow, WorkflowIndexRow
from tenuto.store.statements import ABSENT, Parameters

_Details = tuple[list[str], list[str], dict[str, str]]
_encode_details = msgspec.msgpack.Encoder().encode
_decode_details = msgspec.msgpack.Decoder(_Details).decode


def workflow_cells(rows: Iterable[WorkflowIndexRow]) -> Parameters:
    """The cells of `upsert_workflow_index`."""
    cells: Parameters = []
    for row in rows:
        details = (row.failed_references, row.failed_tasks, row.task_to_domain)
        cells += (row.run_id, row.workflow_type, row.version, row.status, row.start_time)
        cells += (_or_absent(row.end_time), row.update_time, _or_absent(row.correlation_id))
        cells += (row.parent_workflow_id, row.priority, _or_absent(row.created_by), _or_absent(row.event))
        cells += (row.classifier, _or_absent(row.idempotency_key), _encode_details(details))
        cells += (_or_absent(row.reason), row.input, row.output)
    return cells


def task_cells(rows: Iterable[TaskIndexRow]) -> Parameters:
    """The cells of `upsert_task_index`."""
    cells: Parameters = []
    for row in rows:
        cells += (row.task_id, row.run_id, row.task_type, row.task_def_name, row.reference_name, row.status)
        cells += (row.scheduled_time, _or_absent(row.start_time), _or_absent(row.end_time), row.update_time)
        cells += (_or_absent(row.correlation_id), _or_absent(row.domain), row.priority)
        cells += (_or_absent(row.reason), row.input, row.output)
    return cells


def _or_absent(value: object) -> object:
    return ABSENT if value is None else value


def workflow_row(columns: Sequence[Any]) -> WorkflowIndexRow:
    """The row whose columns are those of `indexed_workflows`, but for the first."""
    failed_references, failed_tasks, task_to_domain = _decode_details(columns[16])
    return WorkflowIndexRow(
        partition=columns[0],
        workflow_id=columns[1],
        run_id=columns[2],
        workflow_type=columns[3],
        version=columns[4],
        status=columns[5],
        start_time=columns[6],
        end_time=columns[7],
        update_time=columns[8],
        correlation_id=columns[9],
        parent_workflow_id=columns[10],
        priority=columns[11],
        created_by=columns[12],
        event=columns[13],
        classifier=columns[14],
        idempotency_key=columns[15],
        failed_references=failed_references,
        failed_tasks=failed_tasks,
        task_to_domain=task_to_domain,
        reason=columns[17],
        input=columns[18],
        output=columns[19],
    )


def task_row(columns: Sequence[Any]) -> TaskIndexRow:
    """The row whose columns are those of `indexed_tasks`, but for the first."""
    return TaskIndexRow(
        partition=columns[0],
        task_id=columns[1],
        workflow_id=columns[2],
        run_id=columns[3],
        workflow_type=columns[4],
        task_type=columns[5],
        task_def_name=columns[6],
        reference_name=columns[7],
        status=columns[8],
        scheduled_time=columns[9],
        start_time=columns[10],
        end_time=columns[11],
        update_time=columns[12],
        correlation_id=columns[13],
        domain=columns[14],
        priority=columns[15],
        reason=columns[16],
        input=columns[17],
        output=columns[18],
    )
