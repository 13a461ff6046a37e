"""System tasks as the engine runs them."""

from __future__ import annotations

from typing import Any

from tenuto.model.system_tasks import SystemTask


def system_task(task_type: str, task_input: dict[str, Any], **more: Any) -> SystemTask:
    """A task of a workflow `orders`, version 3."""
    return SystemTask(
        **{
            "task_type": task_type,
            "task_id": "task-1",
            "workflow_id": "workflow-1",
            "workflow_type": "orders",
            "workflow_version": 3,
            "reference_name": "ref",
            "correlation_id": "corr",
            "input": task_input,
            **more,
        }
    )
