"""Callers that give up waiting harm nobody, and leave nothing behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tenuto import workflow
from tenuto.client import Client, WorkflowHandle
from tenuto.service import RPCError, RPCStatusCode
from tenuto.worker import Worker
from tests.support.durable import an_id


@workflow.defn
class Patient:
    def __init__(self) -> None:
        self.go = False

    @workflow.run
    async def run(self) -> str:
        await workflow.wait_condition(lambda: self.go)
        return "gone"

    @workflow.signal
    def allow(self) -> None:
        self.go = True


async def give_up_again_and_again(handle: WorkflowHandle[str]) -> None:
    """At each of the first turns of the loop that a wait goes through."""
    for turns in range(8):
        waiting = asyncio.create_task(handle.result())
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})


@pytest.mark.parametrize("cached", [0, 1000])
async def test_waits_for_a_result_that_are_given_up(cached: int) -> None:
    client = await Client.connect("memory://")
    async with client, Worker(client, workflows=[Patient], max_cached_workflows=cached) as worker:
        handle = await client.start_workflow(Patient.run, id=an_id())
        await give_up_again_and_again(handle)
        with pytest.raises(RPCError) as caught:
            await handle.result(rpc_timeout=0.01)
        assert caught.value.status is RPCStatusCode.DEADLINE_EXCEEDED
        assert worker.is_running
        await handle.signal(Patient.allow)
        assert await handle.result() == "gone"


async def test_waits_for_a_run_that_is_only_in_the_store_are_given_up(tmp_path: Path) -> None:
    url, workflow_id = f"sqlite:///{tmp_path}/a.db", an_id()
    client = await Client.connect(url)
    async with client, Worker(client, workflows=[Patient]):
        handle = await client.start_workflow(Patient.run, id=workflow_id)
        await handle.signal(Patient.allow)
        await handle.result()
    client = await Client.connect(url)
    async with client, Worker(client, workflows=[Patient]):
        await give_up_again_and_again(client.get_workflow_handle(workflow_id, run_id=handle.result_run_id))
        again = await client.start_workflow(Patient.run, id=an_id())
        await again.signal(Patient.allow)
        assert await again.result(rpc_timeout=5) == "gone"
