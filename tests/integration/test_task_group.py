"""A group of failures is a failure."""

from __future__ import annotations

import asyncio

import pytest

from tenuto import activity, workflow
from tenuto.client import Client, WorkflowFailureError
from tenuto.exceptions import ApplicationError
from tenuto.worker import Worker


@activity.defn
async def break_down() -> None:
    raise ApplicationError("broken", non_retryable=True)


@workflow.defn
class Grouped:
    @workflow.run
    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(break_down())
            group.create_task(workflow.sleep(3600))


async def test_a_task_group_with_a_failing_activity_fails_the_workflow() -> None:
    client = await Client.connect("memory://")
    async with client, Worker(client, workflows=[Grouped], activities=[break_down]):
        with pytest.raises(WorkflowFailureError) as caught:
            await client.execute_workflow(Grouped.run, id="grouped")
        assert "broken" in repr(caught.value.cause.failure)
