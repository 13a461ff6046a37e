"""A limit on how many instances are at work: the others are queued, and who sleeps or waits takes no slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tenuto.client import Client
from tenuto.steps import Workflow, WorkflowEntrypoint, WorkflowInstance, WorkflowStep
from tenuto.testing.clock import ManualClock
from tenuto.testing.faults import FaultyStore, ProcessDiedError
from tenuto.worker import Worker
from tests.support.durable import an_id, until
from tests.support.postgres import postgres_url

at_work: list[str] = []
ended: list[str] = []
most = 0
go_on = asyncio.Event()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    global go_on, most
    go_on, most = asyncio.Event(), 0
    at_work.clear()
    ended.clear()


async def hold(id: str) -> str:
    global most
    at_work.append(id)
    most = max(most, len(at_work))
    try:
        await go_on.wait()
        await asyncio.sleep(0.001)
    finally:
        at_work.remove(id)
    ended.append(id)
    return id


class Holds(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        return await step.do("hold", lambda: hold(event.instance_id))


class Waits(WorkflowEntrypoint):
    """Waits for an event first, then holds its slot."""

    async def run(self, event: Any, step: WorkflowStep) -> Any:
        await step.wait_for_event("go", type="go", timeout="1 hour")
        return await step.do("hold", lambda: hold(event.instance_id))


class Retries(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        async def flaky(ctx: Any) -> str:
            if ctx.attempt == 1:
                raise ValueError("not yet")
            return await hold(event.instance_id)

        retries = {"limit": 3, "delay": "1 minute", "backoff": "constant"}
        return await step.do("flaky", {"retries": retries}, flaky)


CODE = [Holds, Waits, Retries]


@asynccontextmanager
async def serving(url: str = "memory://", **options: Any) -> AsyncIterator[Client]:
    async with await Client.connect(url, **options) as client, Worker(client, workflows=CODE):
        yield client


async def statuses(instances: list[WorkflowInstance]) -> list[str]:
    return sorted([(await instance.status()).status for instance in instances])


async def stand(instances: list[WorkflowInstance], *wanted: str, seconds: float = 5.0) -> None:
    async def so() -> bool:
        return await statuses(instances) == sorted(wanted)

    await until(so, seconds)


async def batch(workflow: Workflow, number: int) -> list[WorkflowInstance]:
    return await workflow.create_batch([{"id": an_id()} for _ in range(number)])


async def test_what_is_more_than_the_limit_is_queued() -> None:
    async with serving() as client:
        instances = await batch(Workflow(client, Holds, concurrency=2), 5)
        await stand(instances, "running", "running", "queued", "queued", "queued")
        await until(lambda: len(at_work) == 2)
        go_on.set()
        await stand(instances, *["complete"] * 5)
        assert most == 2


async def test_who_waits_takes_no_slot_and_goes_on_before_those_that_begin() -> None:
    async with serving() as client:
        waits = Workflow(client, Waits, concurrency=1)
        waiting = await batch(waits, 10)
        await stand(waiting, *["waiting"] * 10)
        await waiting[0].send_event("go")
        await until(lambda: at_work)
        new = await batch(waits, 1)
        await new[0].send_event("go")
        await stand(new, "queued")
        await waiting[1].send_event("go")
        await stand(waiting[:2], "running", "queued")
        go_on.set()
        await stand([*waiting[:2], *new], *["complete"] * 3)
        assert ended == [waiting[0].id, waiting[1].id, new[0].id]
        assert most == 1


async def test_the_delay_of_a_retry_takes_no_slot() -> None:
    clock = ManualClock()
    async with serving(clock=clock) as client:
        instances = await batch(Workflow(client, Retries, concurrency=1), 3)
        await stand(instances, *["waiting"] * 3)
        clock.advance(61)
        await stand(instances, "running", "queued", "queued")
        go_on.set()
        await stand(instances, *["complete"] * 3)
        assert most == 1


async def test_pausing_and_terminating_give_the_slot_to_others() -> None:
    async with serving() as client:
        instances = await batch(Workflow(client, Holds, concurrency=1), 3)
        await until(lambda: at_work)
        await stand(instances, "running", "queued", "queued")
        by_status = {(await instance.status()).status: instance for instance in instances}
        await by_status["queued"].pause()
        await stand(instances, "running", "queued", "paused")
        await by_status["running"].terminate()
        await stand(instances, "terminated", "running", "paused")
        go_on.set()
        await stand(instances, "terminated", "complete", "paused")
        await by_status["queued"].resume()
        await stand(instances, "terminated", "complete", "complete")


async def test_instances_without_a_limit_are_not_counted() -> None:
    async with serving() as client:
        limited = await batch(Workflow(client, Holds, concurrency=1), 2)
        free = await batch(Workflow(client, Holds), 5)
        other = await batch(Workflow(client, Retries, concurrency=1), 1)
        await stand(free, *["running"] * 5)
        await stand(limited, "running", "queued")
        await stand(other, "waiting")


async def test_the_queue_survives_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(url) as client:
        instances = await batch(Workflow(client, Holds, concurrency=2), 6)
        await stand(instances, *["running"] * 2, *["queued"] * 4)
    async with await Client.connect(url) as client:
        holds = Workflow(client, Holds)
        found = [await holds.get(instance.id) for instance in instances]
        assert (await statuses(found)).count("queued") == 4
        async with Worker(client, workflows=CODE):
            await until(lambda: len(at_work) == 2)
            go_on.set()
            await stand(found, *["complete"] * 6)
    assert most == 2


async def test_few_in_memory_are_enough(tmp_path: Path) -> None:
    async with (
        await Client.connect(f"sqlite:///{tmp_path}/a.db") as client,
        Worker(client, workflows=CODE, max_cached_workflows=1),
    ):
        go_on.set()
        instances = await batch(Workflow(client, Holds, concurrency=2), 30)
        await stand(instances, *["complete"] * 30, seconds=20)
        assert most <= 2


async def test_a_commit_that_fails_loses_no_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tenuto.engine.concurrency.COUNTED", 0.05)
    monkeypatch.setattr("tenuto.engine.permits.COUNTED", 0.04)
    async with await Client.connect(f"sqlite:///{tmp_path}/a.db") as client:
        store = FaultyStore(client.gateway.store)
        client.gateway.store = store  # type: ignore[assignment]
        async with Worker(client, workflows=CODE):
            go_on.set()
            instances = await batch(Workflow(client, Holds, concurrency=1), 5)
            store.fail("commit", store.calls["commit"] + 1)
            store.fail("commit", store.calls["commit"] + 4)
            await stand(instances, *["complete"] * 5, seconds=20)
            assert most == 1


async def test_processes_share_the_limit() -> None:
    with postgres_url() as url:
        async with (
            await Client.connect(url) as one,
            await Client.connect(url) as two,
            Worker(one, workflows=CODE),
            Worker(two, workflows=CODE),
        ):
            await until(lambda: len(one.gateway._engine.ownership.partitions) < 200)  # type: ignore[union-attr]
            instances = await batch(Workflow(one, Holds, concurrency=4), 20)
            await until(lambda: len(at_work) == 4, seconds=20)
            await asyncio.sleep(0.3)
            assert len(at_work) == 4
            go_on.set()
            await stand(instances, *["complete"] * 20, seconds=60)
            assert most == 4


async def test_who_is_left_gets_all_places() -> None:
    with postgres_url() as url:
        async with await Client.connect(url) as one, await Client.connect(url) as two, Worker(one, workflows=CODE):
            async with Worker(two, workflows=CODE):
                instances = await batch(Workflow(one, Holds, concurrency=4), 12)
                await until(lambda: len(at_work) == 4, seconds=20)
            go_on.set()
            await stand(instances, *["complete"] * 12, seconds=60)


async def test_what_a_process_held_that_died_is_free_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenuto.engine.beacons.GONE", 3.0)
    dead = asyncio.Event()

    async def die(url: str) -> None:
        async with await Client.connect(url, lease=1) as client:
            store = FaultyStore(client.gateway.store)
            client.gateway.store = store  # type: ignore[assignment]
            async with Worker(client, workflows=CODE):
                await dead.wait()
                store.kill()

    with postgres_url() as url:
        dying = asyncio.create_task(die(url))
        async with await Client.connect(url, lease=1) as client, Worker(client, workflows=CODE):
            await until(lambda: 0 < len(client.gateway._engine.ownership.partitions) < 200, seconds=20)  # type: ignore[union-attr]
            instances = await batch(Workflow(client, Holds, concurrency=4), 12)
            await until(lambda: len(at_work) == 4, seconds=20)
            dead.set()
            await asyncio.wait([dying])
            go_on.set()
            await stand(instances, *["complete"] * 12, seconds=60)
    assert isinstance(dying.exception(), ProcessDiedError | None)  # its engine may not have come to notice
