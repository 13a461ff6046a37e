"""Workers that come late: what waits for them is done at once, however much it is and whatever code they bring."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tenuto import activity, workflow
from tenuto.client import Client, WorkflowQueryFailedError
from tenuto.common import WorkflowIDConflictPolicy
from tenuto.worker import Worker
from tests.support.durable import until

MANY = 600


@activity.defn
async def work(number: int) -> int:
    await asyncio.sleep(0)
    return number


@workflow.defn
class Late:
    @workflow.run
    async def run(self, number: int) -> int:
        return int(await workflow.execute_activity(work, number, task_queue="late"))

    @workflow.query
    def spin(self) -> None:
        while True:
            pass


@workflow.defn(name="Mended")
class Faulty:
    @workflow.run
    async def run(self) -> str:
        raise KeyError("a bug")


@workflow.defn(name="Mended")
class Mended:
    @workflow.run
    async def run(self) -> str:
        return "fine"


async def test_more_parked_tasks_than_one_look_finds_are_all_done_by_a_worker_of_few_slots() -> None:
    client = await Client.connect("memory://")
    async with client, Worker(client, workflows=[Late]):
        handles = [await client.start_workflow(Late.run, number, id=f"late-{number}") for number in range(MANY)]
        async with Worker(client, task_queue="late", activities=[work], max_concurrent_activities=3):
            assert [await handle.result() for handle in handles] == list(range(MANY))


async def test_a_stuck_workflow_does_not_wait_out_its_back_off_when_mended_code_comes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    client = await Client.connect(url)
    async with client, Worker(client, workflows=[Faulty]):
        handle = await client.start_workflow("Mended", id="w")

        async def failed_twice() -> bool:
            return (await handle.describe()).workflow_task_attempt >= 3

        await until(failed_twice)
    client = await Client.connect(url)
    async with client, Worker(client, workflows=[Mended]):
        # The next try was due two seconds after the last.
        assert await client.get_workflow_handle("w").result(rpc_timeout=1) == "fine"


async def test_a_query_that_spins_is_stopped_and_the_workflow_goes_on() -> None:
    client = await Client.connect("memory://")
    async with client, Worker(client, workflows=[Late]):
        handle = await client.start_workflow(Late.run, 1, id="w", task_timeout=0.3)
        with pytest.raises(WorkflowQueryFailedError, match="task timeout"):
            await handle.query(Late.spin)
        async with Worker(client, task_queue="late", activities=[work]):
            assert await handle.result() == 1


async def test_a_policy_may_be_given_as_its_number() -> None:
    client = await Client.connect("memory://")
    async with client, Worker(client, workflows=[Late]):
        first = await client.start_workflow(Late.run, 1, id="w")
        use_existing = int(WorkflowIDConflictPolicy.USE_EXISTING)
        again = await client.start_workflow(Late.run, 1, id="w", id_conflict_policy=use_existing)  # type: ignore[arg-type]
        assert again.result_run_id == first.result_run_id
