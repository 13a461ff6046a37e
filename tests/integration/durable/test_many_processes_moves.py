"""Executions move to another process while their activities run."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.store.protocol import PARTITIONS
from tests.support.durable import ONCE, an_id, failure_of, history, until
from tests.support.processes import a_store, dying, working

GATE = asyncio.Event()
BEGUN: Counter[str] = Counter()
MANY = 40


@pytest.fixture(autouse=True)
def fresh() -> None:
    global GATE
    GATE = asyncio.Event()
    BEGUN.clear()


@activity.defn
async def wait(name: str) -> str:
    """Waits for the gate, and says that it lives."""
    BEGUN[name] += 1
    while not GATE.is_set():
        activity.heartbeat(name)
        await asyncio.sleep(0.01)
    return name


@workflow.defn
class Waits:
    @workflow.run
    async def run(self, name: str) -> list[str]:
        return [await wait(f"{name} {part}") for part in ("first", "second")]


@workflow.defn
class WaitsOnce:
    """As `Waits`, with an activity that may run once."""

    @workflow.run
    async def run(self, name: str) -> list[str]:
        return [await workflow.execute_activity(wait, name, retry_policy=ONCE)]


@workflow.defn
class Leaves:
    """Its activity belongs to another queue."""

    @workflow.run
    async def run(self, name: str) -> list[str]:
        return [await workflow.execute_activity(wait, name, task_queue="default")]


CODE = (Waits, WaitsOnce)


async def partitions_of(client: Client) -> int:
    engine = await client.gateway.acquire()
    try:
        return len(engine.ownership.partitions)
    finally:
        await client.gateway.release()


async def share(client: Client, wanted: int) -> None:
    """Wait until this process owns about so many partitions."""

    async def has() -> bool:
        return await partitions_of(client) >= wanted - 2

    await until(has, 20)


async def test_what_runs_goes_on_where_it_is_when_executions_move_and_move_back() -> None:
    url = a_store()
    async with working(url, *CODE, activities=[wait]) as first:
        handles = [await first.start_workflow(Waits.run, an_id(), id=an_id()) for _ in range(MANY)]
        handles += [await first.start_workflow(WaitsOnce.run, an_id(), id=an_id()) for _ in range(MANY)]
        await until(lambda: len(BEGUN) == 2 * MANY)
        async with working(url, *CODE, activities=[wait], graceful_shutdown_timeout=20) as second:
            await share(second, PARTITIONS // 2)
            async with working(url, *CODE, activities=[wait], graceful_shutdown_timeout=20) as third:
                await share(third, PARTITIONS // 3)
                GATE.set()
                results = await asyncio.gather(*[handle.result() for handle in handles[::2]])
        results += await asyncio.gather(*[handle.result() for handle in handles[1::2]])
        assert sum(map(len, results)) == 3 * MANY
        assert set(BEGUN.values()) == {1}
        for handle in handles:
            await history(handle)


async def test_executions_whose_owner_is_silent_go_on_with_others() -> None:
    url = a_store()
    async with dying(url, *CODE, activities=[wait]) as (first, _):
        handles = [await first.start_workflow(Waits.run, an_id(), id=an_id()) for _ in range(MANY)]
        once = [await first.start_workflow(WaitsOnce.run, an_id(), id=an_id()) for _ in range(MANY)]
        await until(lambda: len(BEGUN) == 2 * MANY)
        ids = [handle.id for handle in handles]
    async with working(url, *CODE, activities=[wait]) as second:
        GATE.set()
        for id in ids:
            assert len(await second.get_workflow_handle(id).result()) == 2
        for handle in once:
            await failure_of(second.get_workflow_handle(handle.id).result())
        assert {BEGUN[name] for name in BEGUN if " " not in name} == {1}


async def test_slots_are_shared_between_tasks_of_ours_and_of_others() -> None:
    """A worker of one slot that has more to do than it can still does what others left for it."""
    url = a_store()
    GATE.set()
    async with (
        working(url, *CODE, activities=[wait], max_concurrent_activities=1) as first,
        working(url, Leaves, task_queue="code") as second,
    ):
        await share(second, PARTITIONS // 2)
        handles = [await first.start_workflow(Waits.run, an_id(), id=an_id()) for _ in range(MANY)]
        handles += [await second.start_workflow(Leaves.run, "it", id=an_id(), task_queue="code") for _ in range(MANY)]
        results = await asyncio.gather(*[handle.result() for handle in handles])
        assert sum(map(len, results)) == 3 * MANY
