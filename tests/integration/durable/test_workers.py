"""Workers: caches, queues, slots, shutdown, and many of them in one process."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.common import RetryPolicy
from tenuto.exceptions import CancelledError
from tenuto.model import events as ev
from tenuto.worker import Worker
from tests.support.durable import an_id, history, of_type, serving, shape, until


class Seen:
    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.log: list[str] = []
        self.go_on = asyncio.Event()


seen = Seen()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    seen.clear()


@activity.defn
async def step(number: int) -> int:
    return number + 1


@workflow.defn
class Steps:
    def __init__(self) -> None:
        self.total = 0
        self.extra = 0

    @workflow.run
    async def run(self, steps: int) -> int:
        for _ in range(steps):
            self.total = await step(self.total)
            await asyncio.sleep(0.0005)
        await workflow.wait_condition(lambda: self.extra > 0)
        return self.total + self.extra

    @workflow.signal
    def add(self, extra: int) -> None:
        self.extra += extra

    @workflow.query
    def so_far(self) -> int:
        return self.total


# -- the cache -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [0, 1, 2, 1000])
@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_many_interleaving_workflows_need_no_large_cache(cached: int, store: str, tmp_path: Path) -> None:
    url = "memory://" if store == "memory" else f"sqlite:///{tmp_path}/a.db?synchronous=NORMAL"
    async with serving(Steps, activities=[step], url=url, max_cached_workflows=cached) as client:
        handles = [await client.start_workflow(Steps.run, 3, id=f"w-{number}") for number in range(12)]
        await asyncio.gather(*(handle.query(Steps.so_far) for handle in handles))
        await asyncio.gather(*(handle.signal(Steps.add, number) for number, handle in enumerate(handles, 1)))
        results = await asyncio.gather(*(handle.result() for handle in handles))
        assert results == [3 + number for number in range(1, 13)]
        for handle in handles:
            assert len(of_type(await history(handle), ev.ActivityTaskScheduled)) == 3


async def test_a_worker_checks_what_it_is_given() -> None:
    async with await Client.connect("memory://") as client:
        with pytest.raises(ValueError, match="needs workflows or activities"):
            Worker(client)
        with pytest.raises(ValueError, match="two workflows are named 'Steps'"):
            Worker(client, workflows=[Steps, Steps])
        with pytest.raises(ValueError, match="two activities are named 'step'"):
            Worker(client, activities=[step, step])
        with pytest.raises(TypeError, match=r"@workflow\.defn"):
            Worker(client, workflows=[int])
        with pytest.raises(TypeError, match=r"@activity\.defn"):
            Worker(client, activities=[print])
        with pytest.raises(ValueError, match="max_cached_workflows"):
            Worker(client, workflows=[Steps], max_cached_workflows=-1)
        with pytest.raises(ValueError, match="max_concurrent_activities"):
            Worker(client, workflows=[Steps], max_concurrent_activities=0)


# -- shutdown --------------------------------------------------------------------------------------------------------


@activity.defn
async def until_told() -> str:
    seen.log.append("began")
    try:
        await seen.go_on.wait()
    except asyncio.CancelledError:
        seen.log.append(f"told: {activity.cancellation_reason()}")
        raise
    return "finished"


@activity.defn
def in_a_thread() -> None:
    seen.log.append("began")
    try:
        while True:
            time.sleep(0.001)
    except CancelledError:
        seen.log.append(f"told: {activity.cancellation_reason()}")
        raise


@workflow.defn
class Waits:
    @workflow.run
    async def run(self, name: str) -> Any:
        policy = RetryPolicy(initial_interval=RetryPolicy().initial_interval / 1000)
        return await workflow.execute_activity(name, retry_policy=policy)


async def test_shutdown_lets_running_activities_end_within_the_grace() -> None:
    async with await Client.connect("memory://") as client:
        worker = Worker(client, workflows=[Waits], activities=[until_told], graceful_shutdown_timeout=5)
        running = asyncio.create_task(worker.run())
        handle = await client.start_workflow(Waits.run, "until_told", id=an_id())
        await until(lambda: seen.log)
        await worker.shutdown()
        asyncio.get_running_loop().call_later(0.01, seen.go_on.set)
        await running
        assert seen.log == ["began"]
        assert "ActivityCompleted" in await shape(handle)


@pytest.mark.parametrize("name", ["until_told", "in_a_thread"])
async def test_after_the_grace_activities_are_told_to_stop_and_the_next_worker_tries_again(name: str) -> None:
    async with await Client.connect("memory://") as client:
        async with Worker(
            client, workflows=[Waits], activities=[until_told, in_a_thread], graceful_shutdown_timeout=0.01
        ):
            handle = await client.start_workflow(Waits.run, name, id=an_id())
            await until(lambda: seen.log)
        assert seen.log == ["began", "told: worker_shutdown"]
        pending = (await handle.describe()).pending_activities
        assert [(activity.attempt, activity.state) for activity in pending] == [(2, "backing_off")]
        async with Worker(client, workflows=[Waits], activities=[succeeds(name)]):
            assert await handle.result() == "finished"


def succeeds(name: str) -> Any:
    @activity.defn(name=name)
    async def succeed() -> str:
        return "finished"

    return succeed


async def test_a_worker_that_is_shut_down_takes_nothing_more_and_can_be_followed_by_another() -> None:
    async with await Client.connect("memory://") as client:
        async with Worker(client, workflows=[Steps], activities=[step]):
            handle = await client.start_workflow(Steps.run, 1, id=an_id())
            assert await handle.query(Steps.so_far) in (0, 1)
        await handle.signal(Steps.add, 5)
        late = await client.start_workflow(Steps.run, 0, id=an_id(), start_signal=Steps.add, start_signal_args=[7])
        await asyncio.sleep(0.01)
        assert (await handle.describe()).status.name == "RUNNING"
        async with Worker(client, workflows=[Steps], activities=[step]):
            assert await handle.result() == 6
            assert await late.result() == 7


async def test_a_worker_cannot_be_run_twice_at_a_time() -> None:
    async with await Client.connect("memory://") as client:
        worker = Worker(client, workflows=[Steps])
        async with worker:
            assert worker.is_running
            with pytest.raises(RuntimeError, match="running already"):
                await worker.run()
        assert not worker.is_running


async def test_no_thread_is_left_behind() -> None:
    before = set(threading.enumerate())
    async with serving(Waits, activities=[in_a_thread, until_told]) as client:
        handle = await client.start_workflow(Waits.run, "in_a_thread", id=an_id())
        await until(lambda: seen.log)
        await handle.terminate()
    await until(lambda: set(threading.enumerate()) <= before | {threading.current_thread()})


# -- several workers in one process ----------------------------------------------------------------------------------


@activity.defn
async def where() -> str:
    return activity.info().task_queue


@workflow.defn
class Router:
    @workflow.run
    async def run(self, queues: list[str]) -> list[str]:
        return [await workflow.execute_activity(where, task_queue=queue) for queue in queues]


async def test_workers_of_several_queues_in_one_process() -> None:
    async with (
        await Client.connect("memory://") as client,
        Worker(client, task_queue="a", workflows=[Router], activities=[where]),
        Worker(client, task_queue="b", activities=[where]),
    ):
        handle = await client.start_workflow(Router.run, ["a", "b", "a"], id=an_id(), task_queue="a")
        assert await handle.result() == ["a", "b", "a"]


async def test_a_queue_whose_worker_comes_later_gets_what_has_waited(tmp_path: Path) -> None:
    async with await Client.connect(f"sqlite:///{tmp_path}/a.db") as client:
        handles = [
            await client.start_workflow(Router.run, ["b"], id=f"w-{number}", task_queue="a") for number in range(5)
        ]
        async with Worker(client, task_queue="a", workflows=[Router], max_cached_workflows=0):
            await until(lambda: _all_scheduled(handles))
            async with Worker(client, task_queue="b", activities=[where]):
                for handle in handles:
                    assert await handle.result() == ["b"]


async def _all_scheduled(handles: list[Any]) -> bool:
    return all(["ActivityScheduled" in await shape(handle) for handle in handles])


async def test_one_of_two_workers_goes_and_the_other_goes_on() -> None:
    async with (
        await Client.connect("memory://") as client,
        Worker(client, task_queue="a", workflows=[Router], activities=[where]),
    ):
        async with Worker(client, task_queue="b", activities=[where]):
            assert await _route(client, ["a", "b"]) == ["a", "b"]
        assert await _route(client, ["a", "a"]) == ["a", "a"]


async def _route(client: Client, queues: list[str]) -> list[str]:
    result: list[str] = await client.execute_workflow(Router.run, queues, id=an_id(), task_queue="a")
    return result


async def test_two_clients_of_one_store_in_one_process_see_the_same(tmp_path: Path) -> None:
    for url in (f"memory://{an_id()}", f"sqlite:///{tmp_path}/a.db"):
        async with serving(Steps, activities=[step], url=url) as client, await Client.connect(url) as other:
            handle = await other.start_workflow(Steps.run, 2, id="w")
            await other.get_workflow_handle("w").signal(Steps.add, 4)
            assert await handle.result() == 6
            assert await client.get_workflow_handle("w").result() == 6
            assert await handle.query(Steps.so_far) == 2


async def test_a_client_is_named_in_what_it_does() -> None:
    async with serving(Steps, activities=[step], connect={"identity": "me"}, identity="the worker") as client:
        handle = await client.start_workflow(Steps.run, 1, id=an_id())
        await handle.signal(Steps.add, 1)
        await handle.result()
        events = await history(handle)
        assert events[0].identity == "me"
        assert of_type(events, ev.WorkflowExecutionSignaled)[0].identity == "me"
        assert of_type(events, ev.WorkflowTaskCompleted)[0].identity == "the worker"
        assert of_type(events, ev.ActivityTaskStarted)[0].identity == "the worker"


@pytest.mark.own_store
async def test_a_store_that_is_not_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="memory://"):
        await Client.connect("nonsense")
    with pytest.raises(ValueError, match="synchronous"):
        await Client.connect(f"sqlite:///{tmp_path}/a.db?synchronous=MAYBE")


async def test_closed_runs_are_forgotten_after_the_retention(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(Router, activities=[where], url=url) as client:
        await client.execute_workflow(Router.run, [], id="w")
        assert (await client.count_workflows()).count == 1
    async with serving(Router, activities=[where], url=url, connect={"retention": 0.001}) as client:
        await until(lambda: _is_empty(client))


async def _is_empty(client: Client) -> bool:
    return (await client.count_workflows()).count == 0
