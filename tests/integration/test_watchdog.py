"""Workflow code that doesn't give control back is stopped, and nothing else is."""

from __future__ import annotations

import asyncio
import time

from tenuto import workflow
from tenuto.client import Client, WorkflowHandle
from tenuto.model.events import WorkflowTaskTimedOut
from tenuto.worker import Worker
from tests.support.durable import until

stubborn = True


@workflow.defn
class Stubborn:
    @workflow.run
    async def run(self, way: str) -> str:
        try:
            while stubborn:
                if way == "blocks":
                    time.sleep(0.01)  # noqa: ASYNC251 - this is what is to be stopped
        except Exception:
            return "an `except Exception` must not swallow it"
        return "done"


@workflow.defn
class StubbornTask:
    @workflow.run
    async def run(self) -> str:
        task = asyncio.create_task(self.spin())
        await workflow.wait_condition(task.done)
        return "done"

    async def spin(self) -> None:
        while stubborn:
            pass


@workflow.defn
class Quick:
    @workflow.run
    async def run(self) -> str:
        return "quick"


async def timed_out(handle: WorkflowHandle[str]) -> bool:
    return "task timeout" in ((await handle.describe()).problem or "")


async def test_code_that_spins_or_blocks_is_stopped_and_visible_and_heals() -> None:
    global stubborn
    client = await Client.connect("memory://")
    async with client, Worker(client, workflows=[Stubborn, StubbornTask, Quick]):
        stubborn = True
        starts = [(Stubborn.run, ["spins"]), (Stubborn.run, ["blocks"]), (StubbornTask.run, [])]
        handles = [
            await client.start_workflow(run, args=arguments, id=f"w{number}", task_timeout=0.3)
            for number, (run, arguments) in enumerate(starts)
        ]
        assert await client.execute_workflow(Quick.run, id="quick") == "quick"
        for handle in handles:
            await until(lambda handle=handle: timed_out(handle))
            history = await handle.fetch_history()
            assert [type(event) for event in history.events].count(WorkflowTaskTimedOut) == 1
        stubborn = False
        assert [await handle.result() for handle in handles] == ["done"] * 3
