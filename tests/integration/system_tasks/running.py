"""System tasks as the engine runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tenuto.cage.cage import Cage
from tenuto.model.json_values import Json
from tenuto.model.system_tasks import SystemTask
from tenuto.system_tasks.registry import SystemTasks
from tenuto.system_tasks.settings import SystemTaskSettings


class EventQueues:
    """The engine's own event queues: remembers what was published."""

    def __init__(self) -> None:
        self.published: list[tuple[str, dict[str, Json], str]] = []

    async def publish(self, queue: str, payload: dict[str, Json], *, message_id: str) -> None:
        self.published.append((queue, payload, message_id))


@asynccontextmanager
async def running_tasks(
    settings: SystemTaskSettings | None = None, queues: EventQueues | None = None
) -> AsyncIterator[SystemTasks]:
    """System tasks that are closed at the end."""
    async with Cage(processes=1) as cage:
        tasks = SystemTasks(settings or SystemTaskSettings(), cage, (queues or EventQueues()).publish)
        try:
            yield tasks
        finally:
            await tasks.aclose()


def system_task(task_type: str, task_input: dict[str, Any], **more: Any) -> SystemTask:
    """A task of a workflow `orders`, version 3."""
    values = {
        "task_type": task_type,
        "task_id": "task-1",
        "workflow_id": "workflow-1",
        "workflow_type": "orders",
        "workflow_version": 3,
        "reference_name": "ref",
        "correlation_id": "corr",
        "input": task_input,
    }
    return SystemTask(**(values | more))
