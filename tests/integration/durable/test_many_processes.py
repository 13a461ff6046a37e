"""Activities whose workers live in other processes than the one that owns the execution."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.worker import Worker
from tests.support.durable import AT_ONCE, an_id, history, until
from tests.support.processes import a_store, owning

ELSEWHERE = "elsewhere"


@activity.defn
async def double(number: int) -> int:
    return 2 * number


@workflow.defn
class Many:
    @workflow.run
    async def run(self, count: int) -> int:
        results = await asyncio.gather(
            *[workflow.execute_activity(double, number, task_queue=ELSEWHERE) for number in range(count)]
        )
        return sum(results)


async def test_activities_are_done_by_a_worker_of_another_process() -> None:
    url = a_store()
    async with (
        owning(url) as server,
        Worker(server, workflows=[Many]),
        await Client.connect(url) as client,
        Worker(client, task_queue=ELSEWHERE, activities=[double], max_concurrent_activities=7),
    ):
        handle = await client.start_workflow(Many.run, 100, id=an_id())
        assert await handle.result() == 9900
        await history(handle)
