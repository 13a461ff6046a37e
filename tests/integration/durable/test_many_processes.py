"""Workflow code that lives in other processes than the one that owns the execution: the owner has no code at all."""

from __future__ import annotations

import asyncio

import pytest

from tenuto import activity, workflow
from tenuto.client import WorkflowUpdateFailedError
from tenuto.exceptions import CancelledError
from tenuto.model import events as ev
from tenuto.service import RPCError
from tests.support.durable import an_id, failure_of, history, of_type, until
from tests.support.processes import a_store, owning, working


@activity.defn
async def double(number: int) -> int:
    return 2 * number


@workflow.defn
class Sum:
    """Doubles numbers, all at once."""

    @workflow.run
    async def run(self, count: int) -> int:
        return sum(await asyncio.gather(*[double(number) for number in range(count)]))


@workflow.defn
class Cart:
    """Signals, queries and updates."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.out = False

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: self.out)
        return self.items

    @workflow.signal
    def add(self, item: str) -> None:
        self.items.append(item)

    @workflow.query
    def contents(self) -> list[str]:
        return self.items

    @workflow.update
    async def put(self, item: str) -> int:
        self.items.append(str(await double(len(self.items))))
        self.items[-1] = item
        return len(self.items)

    @put.validator
    def check(self, item: str) -> None:
        if not item:
            raise ValueError("nothing")

    @workflow.update
    def check_out(self) -> list[str]:
        self.out = True
        return self.items


@workflow.defn
class Ages:
    """Continues as new, then sleeps, then has a child."""

    @workflow.run
    async def run(self, age: int) -> str:
        if age < 3:
            workflow.continue_as_new(age + 1)
        await asyncio.sleep(0.01)
        return str(await workflow.execute_child_workflow(Sum.run, 3, id=workflow.info().workflow_id + "/child"))


@workflow.defn
class Clerk:
    """Takes signals that cost nothing, for ever."""

    def __init__(self) -> None:
        self.seen = 0
        self.out = False

    @workflow.run
    async def run(self) -> int:
        await double(1)
        await workflow.wait_condition(lambda: self.out)
        return self.seen

    @workflow.signal
    def note(self) -> None:
        self.seen += 1

    @workflow.signal
    def stop(self) -> None:
        self.out = True


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


CODE = (Sum, Cart, Ages, Clerk)


async def test_a_workflow_and_its_activities_run_in_a_process_that_owns_nothing() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, *CODE, activities=[double]) as client:
        handle = await client.start_workflow(Sum.run, 50, id=an_id())
        assert await handle.result() == 2450
        await history(handle)
        assert await owner.execute_workflow(Sum.run, 5, id=an_id()) == 20


async def test_two_workers_share_what_is_to_be_done() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, Sum, activities=[double]), working(url, Sum, activities=[double]):
        handles = [await owner.start_workflow(Sum.run, 3, id=an_id()) for _ in range(40)]
        assert [await handle.result() for handle in handles] == [6] * 40
        for handle in handles:
            await history(handle)


async def test_signals_queries_and_updates_reach_code_that_is_elsewhere() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, *CODE, activities=[double]):
        handle = await owner.start_workflow(Cart.run, id=an_id())
        await handle.signal(Cart.add, "a")
        assert await handle.query(Cart.contents) == ["a"]
        assert await handle.execute_update(Cart.put, "b") == 2
        with pytest.raises(WorkflowUpdateFailedError, match="failed"):
            await handle.execute_update(Cart.put, "")
        assert await handle.query(Cart.contents) == ["a", "b"]
        assert len(of_type(await history(handle), ev.WorkflowExecutionUpdateAccepted)) == 1
        assert await handle.execute_update(Cart.check_out) == ["a", "b"]
        assert await handle.result() == ["a", "b"]
        assert await handle.query(Cart.contents) == ["a", "b"]


async def test_timers_children_and_new_runs() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, *CODE, activities=[double]):
        handle = await owner.start_workflow(Ages.run, 0, id=an_id())
        assert await handle.result() == "6"
        await history(owner.get_workflow_handle(handle.id))


async def test_a_stream_of_signals_does_not_keep_the_code_from_deciding() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, *CODE, activities=[double]):
        handle = await owner.start_workflow(Clerk.run, id=an_id())
        sent = 0

        async def activity_scheduled() -> bool:
            nonlocal sent
            for _ in range(5):
                await handle.signal(Clerk.note)
                sent += 1
            return bool(of_type((await handle.fetch_history()).events, ev.ActivityTaskScheduled))

        await until(activity_scheduled, 15)
        await handle.signal(Clerk.stop)
        assert await handle.result() == sent
        await history(handle)


async def test_without_any_worker_queries_and_updates_are_refused_and_leave_nothing() -> None:
    url = a_store()
    async with owning(url) as owner:
        handle = await owner.start_workflow(Cart.run, id=an_id())
        with pytest.raises(RPCError, match="no worker serves"):
            await handle.query(Cart.contents)
        with pytest.raises(RPCError, match="no worker serves"):
            await handle.execute_update(Cart.put, "a")
        async with working(url, *CODE, activities=[double]):
            assert await handle.query(Cart.contents) == []
            assert await handle.execute_update(Cart.check_out) == []
            assert await handle.result() == []


async def test_broken_code_is_told_of_and_mended_code_goes_on() -> None:
    url = a_store()
    async with owning(url) as owner:
        async with working(url, Faulty):
            handle = await owner.start_workflow("Mended", id=an_id())

            async def stuck() -> bool:
                return "a bug" in ((await handle.describe()).problem or "")

            await until(stuck)
            with pytest.raises(RPCError, match="stuck"):
                await handle.query("anything")
        async with working(url, Mended):
            assert await handle.result() == "fine"


async def test_a_worker_that_comes_late_gets_what_waits() -> None:
    url = a_store()
    async with owning(url) as owner:
        handles = [await owner.start_workflow(Sum.run, 2, id=an_id()) for _ in range(150)]
        async with working(url, *CODE, activities=[double], max_concurrent_activities=3):
            assert [await handle.result() for handle in handles] == [2] * 150


async def test_a_cancel_reaches_code_that_is_elsewhere() -> None:
    url = a_store()
    async with owning(url) as owner, working(url, *CODE, activities=[double]):
        handle = await owner.start_workflow(Cart.run, id=an_id())
        assert await handle.query(Cart.contents) == []
        await handle.cancel()
        assert isinstance(await failure_of(handle.result()), CancelledError)
