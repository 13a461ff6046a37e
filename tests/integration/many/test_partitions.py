"""Several engines on one store: partitions are spread, move without harm, and are taken from who is silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.engine.engine import Engine
from tenuto.model.errors import StoreError
from tenuto.store.protocol import PARTITIONS
from tenuto.worker import Worker
from tests.support.durable import an_id, until
from tests.support.postgres import postgres_url


@activity.defn
async def double(number: int) -> int:
    return 2 * number


@workflow.defn
class Adder:
    """Adds up what it is sent, until it is told to stop."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.done = False

    @workflow.run
    async def run(self) -> list[int]:
        await workflow.wait_condition(lambda: self.done)
        return [await double(number) for number in self.numbers]

    @workflow.signal
    def add(self, number: int) -> None:
        self.numbers.append(number)

    @workflow.signal
    def stop(self) -> None:
        self.done = True

    @workflow.query
    def so_far(self) -> list[int]:
        return self.numbers


@workflow.defn
class Parent:
    @workflow.run
    async def run(self, children: int) -> int:
        ids = [f"{workflow.info().workflow_id}/{number}" for number in range(children)]
        results = await asyncio.gather(
            *(workflow.execute_child_workflow(Child.run, number, id=id) for number, id in enumerate(ids))
        )
        return sum(results)


@workflow.defn
class Child:
    @workflow.run
    async def run(self, number: int) -> int:
        return await double(number)


@pytest.fixture(params=["memory", "postgres", "postgres without hints"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "memory":
        yield f"memory://{uuid4()}"
    else:
        options = {"notify": "off"} if request.param.endswith("without hints") else {}
        with postgres_url(**options) as url:
            yield url


@asynccontextmanager
async def engine_on(url: str, **connect: float) -> AsyncIterator[tuple[Client, Engine]]:
    """A process with all the code, as far as the store can tell."""
    async with (
        await Client.connect(url, **connect) as client,
        Worker(client, workflows=[Adder, Parent, Child], activities=[double]),
    ):
        engine = client.gateway._engine
        assert engine is not None
        yield client, engine


def shares(*engines: Engine) -> list[int]:
    return [len(engine.ownership.partitions) for engine in engines]


async def spread(*engines: Engine) -> None:
    """Wait until the partitions are spread evenly."""
    most = -(-PARTITIONS // len(engines))
    await until(lambda: sum(shares(*engines)) == PARTITIONS and max(shares(*engines)) <= most, 15)


async def test_partitions_are_spread_over_those_who_are_there(url: str) -> None:
    async with engine_on(url) as (_, first):
        assert shares(first) == [PARTITIONS]
        async with engine_on(url) as (_, second):
            await spread(first, second)
            async with engine_on(url) as (_, third):
                await spread(first, second, third)
            await spread(first, second)
        await spread(first)


async def test_requests_reach_executions_wherever_they_live(url: str) -> None:
    async with engine_on(url) as (client, first), engine_on(url) as (other, second):
        await spread(first, second)
        for number in range(12):
            here, there = (client, other) if number % 2 else (other, client)
            handle = await here.start_workflow(Adder.run, id=an_id())
            await there.get_workflow_handle(handle.id).signal(Adder.add, number)
            assert await there.get_workflow_handle(handle.id).query(Adder.so_far) == [number]
            await here.get_workflow_handle(handle.id).signal(Adder.stop)
            assert await there.get_workflow_handle(handle.id).result() == [2 * number]
            assert await here.get_workflow_handle(handle.id).result() == [2 * number]


async def test_children_live_with_other_engines(url: str) -> None:
    async with engine_on(url) as (client, first), engine_on(url) as (_, second):
        await spread(first, second)
        assert await client.execute_workflow(Parent.run, 40, id=an_id()) == 2 * sum(range(40))


async def test_executions_move_without_losing_anything(url: str) -> None:
    async with engine_on(url) as (client, first):
        handles = [await client.start_workflow(Adder.run, id=an_id()) for _ in range(60)]
        sent = 0

        async def keep_sending() -> None:
            nonlocal sent
            while True:
                await asyncio.gather(*(handle.signal(Adder.add, sent) for handle in handles))
                sent += 1

        sending = asyncio.create_task(keep_sending())
        async with engine_on(url) as (_, second):
            await spread(first, second)
            async with engine_on(url) as (_, third):
                await spread(first, second, third)
            await spread(first, second)
        await spread(first)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await asyncio.gather(*(handle.signal(Adder.stop) for handle in handles))
        for handle in handles:
            numbers = await handle.result()
            assert numbers[:sent] == [2 * number for number in range(sent)]


async def test_a_silent_engine_loses_its_partitions_and_says_so(
    url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine_on(url, lease=1) as (client, first):
        handles = [await client.start_workflow(Adder.run, id=an_id()) for _ in range(20)]

        # What a stopped process looks like from outside: it doesn't renew.
        async def silence(**_: bool) -> int:
            await asyncio.sleep(0.2)
            return 0

        monkeypatch.setattr(first.ownership, "_renew", silence)
        async with engine_on(url, lease=1) as (other, second):
            await until(lambda: shares(second) == [PARTITIONS], 10)
            for handle in handles[:10]:
                await other.get_workflow_handle(handle.id).signal(Adder.add, 1)
            with caplog.at_level(logging.ERROR):
                monkeypatch.undo()
                await until(lambda: any("may not write" in record.message for record in caplog.records), 10)
            await spread(first, second)
            for handle in handles:
                await handle.signal(Adder.stop)
            assert [await handle.result() for handle in handles] == [[2]] * 10 + [[]] * 10


async def test_a_silent_engine_can_write_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with engine_on(url, lease=1) as (client, first):
        handle = await client.start_workflow(Adder.run, id=an_id())

        async def silence(**_: bool) -> int:
            await asyncio.sleep(0.2)
            return 0

        monkeypatch.setattr(first.ownership, "_renew", silence)
        async with engine_on(url, lease=1) as (other, second):
            await until(lambda: shares(second) == [PARTITIONS], 10)
            with pytest.raises(StoreError, match="taken over"):
                await handle.signal(Adder.add, 1)  # it believes that the execution is its own
            assert await other.get_workflow_handle(handle.id).query(Adder.so_far) == []
            monkeypatch.undo()
