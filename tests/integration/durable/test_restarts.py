"""What was going on when a process ended goes on in the next one: nothing lost, nothing done twice."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.model import events as ev
from tenuto.testing.clock import ManualClock
from tenuto.worker import Worker
from tests.contract.processes import finish, line_of, python
from tests.support.durable import ONCE, TASK, an_id, history, of_type, serving, shape, until

DAY = 86_400.0
calls: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()


@activity.defn
async def call(name: str) -> str:
    calls.append(name)
    return name


@workflow.defn
class Journey:
    """A bit of everything, with a wait after each part."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.allowed = 0

    @workflow.run
    async def run(self) -> list[str]:
        for name, part in (
            ("activity", self.activity),
            ("timer", self.timer),
            ("child", self.child),
            ("many", self.many),
            ("random", self.random),
        ):
            await workflow.wait_condition(lambda: self.allowed > len(self.steps))
            self.steps.append(f"{name}: {await part()}")
        return self.steps

    async def activity(self) -> str:
        return await call("one")

    async def timer(self) -> str:
        before = workflow.now()
        await asyncio.sleep(0.001)
        return str(workflow.now() > before)

    async def child(self) -> str:
        return str(await workflow.execute_child_workflow(Short.run, "child"))

    async def many(self) -> str:
        return " ".join(await asyncio.gather(call("two"), call("three")))

    async def random(self) -> str:
        drawn = workflow.random().random()
        await call("four")
        return str(drawn < 1)

    @workflow.signal
    def allow(self) -> None:
        self.allowed += 1

    @workflow.query
    def so_far(self) -> list[str]:
        return self.steps


@workflow.defn
class Short:
    @workflow.run
    async def run(self, name: str) -> str:
        return await call(name)


async def test_a_workflow_that_meets_a_restart_at_every_step(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    options: dict[str, Any] = {"activities": [call], "url": url}
    async with serving(Journey, Short, **options) as client:
        await client.start_workflow(Journey.run, id="w")
    for number in range(5):
        async with serving(Journey, Short, **options) as client:
            handle = client.get_workflow_handle("w")
            assert len(await handle.query(Journey.so_far)) == number
            await handle.signal(Journey.allow)
            if number < 4:
                await until(lambda: _has_taken(handle, number + 1))  # noqa: B023
            else:
                result = await handle.result()
                await history(handle)
    assert result == ["activity: one", "timer: True", "child: child", "many: two three", "random: True"]
    assert sorted(calls) == ["child", "four", "one", "three", "two"]


async def _has_taken(handle: Any, steps: int) -> bool:
    return len(await handle.query(Journey.so_far)) == steps


# -- timers ----------------------------------------------------------------------------------------------------------


@workflow.defn
class Sleeper:
    @workflow.run
    async def run(self, seconds: float) -> float:
        began = workflow.time()
        await workflow.sleep(timedelta(seconds=seconds))
        return workflow.time() - began


@pytest.mark.parametrize("cached", [1000, 0])
@pytest.mark.parametrize("seconds", [10.0, 30 * DAY, 3650 * DAY])
async def test_a_sleep_of_any_length_ends_when_its_time_has_come(seconds: float, cached: int) -> None:
    clock = ManualClock()
    async with serving(Sleeper, connect={"clock": clock}, max_cached_workflows=cached) as client:
        handle = await client.start_workflow(Sleeper.run, seconds, id=an_id())
        await until(lambda: _sleeps(handle))
        (timer,) = (await handle.describe()).pending_timers
        assert timer[1].timestamp() == pytest.approx(clock.now() / 1e9 + seconds)
        clock.advance(seconds - 1)
        await asyncio.sleep(0.005)
        assert (await shape(handle))[-1] == "TimerStarted"
        clock.advance(1.001)
        assert await handle.result() == pytest.approx(seconds, abs=1.01)


async def _sleeps(handle: Any) -> bool:
    return "TimerStarted" in await shape(handle)


@pytest.mark.parametrize("late", [0.001, 100 * DAY])
async def test_a_timer_fires_once_after_a_restart_be_it_in_time_or_late(late: float, tmp_path: Path) -> None:
    url, clock = f"sqlite:///{tmp_path}/a.db", ManualClock()
    async with serving(Sleeper, url=url, connect={"clock": clock}) as client:
        handle = await client.start_workflow(Sleeper.run, 7 * DAY, id="w")
        await until(lambda: _sleeps(handle))
    clock.advance(6 * DAY)
    async with serving(Sleeper, url=url, connect={"clock": clock}) as client:
        await asyncio.sleep(0.005)
        assert (await shape(client.get_workflow_handle("w")))[-1] == "TimerStarted"
    clock.advance(DAY + late)
    async with serving(Sleeper, url=url, connect={"clock": clock}) as client:
        handle = client.get_workflow_handle("w")
        assert await handle.result() == pytest.approx(7 * DAY + late)
        assert await shape(handle) == ["Started", *TASK, "TimerStarted", "TimerFired", *TASK, "Completed"]


# -- what waits for a worker ------------------------------------------------------------------------------------------


async def test_what_clients_asked_while_nobody_served_is_done_when_somebody_does(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with await Client.connect(url) as client:
        handle = await client.start_workflow(Journey.run, id="w")
        for _ in range(5):
            await handle.signal(Journey.allow)
        other = await client.start_workflow(Journey.run, id="other")
        await other.cancel(reason="too late anyway")
        assert await shape(handle) == ["Started", "TaskScheduled", *["Signaled"] * 5]
    async with serving(Journey, Short, activities=[call], url=url) as client:
        assert len(await client.get_workflow_handle("w").result()) == 5
        await until(lambda: _has_closed(client, "other"))
        assert (await client.get_workflow_handle("other").describe()).status.name == "CANCELED"


async def _has_closed(client: Client, workflow_id: str) -> bool:
    return (await client.get_workflow_handle(workflow_id).describe()).close_time is not None


async def test_many_workflows_go_on_after_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db?synchronous=NORMAL"
    async with serving(Journey, Short, activities=[call], url=url) as client:
        for number in range(15):
            await client.start_workflow(Journey.run, id=f"w-{number}", start_signal=Journey.allow)
    async with serving(Journey, Short, activities=[call], url=url, max_cached_workflows=5) as client:
        handles = [client.get_workflow_handle(f"w-{number}") for number in range(15)]
        for handle in handles:
            for _ in range(4):
                await handle.signal(Journey.allow)
        for handle in handles:
            assert len(await handle.result()) == 5
    assert len(calls) == 15 * 5


# -- processes that die ----------------------------------------------------------------------------------------------

DIES = """
import asyncio, sys
from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.common import RetryPolicy, WorkflowIDConflictPolicy
from tenuto.worker import Worker

@activity.defn(heartbeat_timeout=60)
async def attempt() -> list:
    info = activity.info()
    print("attempt", info.attempt, flush=True)
    if info.attempt == 1:
        activity.heartbeat("half way")
        await asyncio.Event().wait()
    return [info.attempt, info.heartbeat_details, info.last_failure, info.idempotency_key]

@workflow.defn
class Tries:
    @workflow.run
    async def run(self, attempts: int) -> list:
        policy = RetryPolicy(maximum_attempts=attempts)
        try:
            return await workflow.execute_activity(attempt, retry_policy=policy)
        except Exception as error:
            return [type(error.cause).__name__, error.retry_state.name]

async def main():
    async with await Client.connect(sys.argv[1]) as client:
        async with Worker(client, workflows=[Tries], activities=[attempt]):
            policy = WorkflowIDConflictPolicy.USE_EXISTING
            handle = await client.start_workflow(Tries.run, int(sys.argv[2]), id="w", id_conflict_policy=policy)
            result = asyncio.create_task(handle.result())
            while not result.done():
                await asyncio.sleep(0.02)
                pending = (await handle.describe()).pending_activities
                if pending and pending[0].state == "started" and (pending[0].heartbeat_details or result.done()):
                    print("recorded", flush=True)
                    await asyncio.Event().wait()
            import json
            print(json.dumps(await result), flush=True)

asyncio.run(main())
"""


def _die_and_run_again(url: str, attempts: int) -> tuple[str, list[Any]]:
    """What the second process printed of its attempts, and the result, after the first was killed in its attempt."""
    with python(DIES, url, attempts) as first:
        assert line_of(first) == "attempt 1"
        assert line_of(first) == "recorded"
        first.kill()
        first.wait()
    with python(DIES, url, attempts) as second:
        *said, result = finish(second).splitlines()
    return " ".join(said), json.loads(result)


def test_an_attempt_that_was_running_when_its_process_died_counts_and_the_next_knows_of_it(url: str) -> None:
    said, (attempt, details, failed, key) = _die_and_run_again(url, 0)
    assert said == "attempt 2"
    assert (attempt, details) == (2, ["half way"])
    assert "TimeoutError" in failed
    assert key.endswith(":1")


def test_an_activity_with_one_attempt_is_run_at_most_once(url: str) -> None:
    said, result = _die_and_run_again(url, 1)
    assert said == ""
    assert result == ["TimeoutError", "MAXIMUM_ATTEMPTS_REACHED"]


async def test_an_activity_with_one_attempt_begins_after_its_start_is_on_record(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(Once, activities=[look], url=url) as client:
        assert await client.execute_workflow(Once.run, url, id="w") == ["started", 1]


@activity.defn
async def look(url: str) -> list[Any]:
    async with await Client.connect(url) as other:
        (pending,) = (await other.get_workflow_handle("w").describe()).pending_activities
    return [pending.state, pending.attempt]


@workflow.defn
class Once:
    @workflow.run
    async def run(self, url: str) -> list[Any]:
        return await workflow.execute_activity(look, url, retry_policy=ONCE)


async def test_an_execution_that_is_served_by_nobody_can_be_looked_at(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    async with serving(Sleeper, url=url) as client:
        handle = await client.start_workflow(Sleeper.run, 1000, id="w")
        await until(lambda: _sleeps(handle))
    async with await Client.connect(url) as client:
        handle = client.get_workflow_handle("w")
        description = await handle.describe()
        assert description.status.name == "RUNNING"
        assert len(description.pending_timers) == 1
        assert len(of_type(await history(handle), ev.TimerStarted)) == 1
        await handle.terminate()
    async with await Client.connect(url) as client, Worker(client, workflows=[Sleeper]):
        assert (await client.get_workflow_handle("w").describe()).status.name == "TERMINATED"
