"""Environments: time passes when nothing runs, and only then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tenuto import activity, exceptions, workflow
from tenuto.common import RetryPolicy
from tenuto.exceptions import ActivityError
from tenuto.model.errors import StoreError
from tenuto.testing import WorkflowEnvironment, skipping
from tenuto.worker import Worker
from tests.support.durable import failure_of, until

DAY = timedelta(days=1)


@workflow.defn
class Sleeper:
    """Sleeps, as long as it is told, and tells how long it was."""

    @workflow.run
    async def run(self, seconds: float, naps: int = 1) -> float:
        began = workflow.time()
        for _ in range(naps):
            await asyncio.sleep(seconds)
        return workflow.time() - began


@workflow.defn
class Waiter:
    def __init__(self) -> None:
        self.said: list[str] = []

    @workflow.run
    async def run(self, seconds: float) -> list[str]:
        try:
            await workflow.wait_condition(lambda: "end" in self.said, timeout=seconds)
        except TimeoutError:
            self.said.append("time-out")
        return self.said

    @workflow.signal
    def say(self, word: str) -> None:
        self.said.append(word)

    @workflow.update
    async def say_later(self, word: str, seconds: float) -> str:
        await asyncio.sleep(seconds)
        self.said.append(word)
        return word


@workflow.defn
class Works:
    """One activity beside a timer."""

    @workflow.run
    async def run(self, options: dict[str, float], timer: float) -> str:
        work = asyncio.create_task(
            workflow.execute_activity("work", retry_policy=RetryPolicy(maximum_attempts=3), **options)
        )
        nap = asyncio.create_task(asyncio.sleep(timer))
        done, _ = await asyncio.wait([work, nap], return_when=asyncio.FIRST_COMPLETED)
        return "work" if work in done else "timer"


@workflow.defn
class Calls:
    @workflow.run
    async def run(self, options: dict[str, float], attempts: int) -> Any:
        return await workflow.execute_activity(
            "work", retry_policy=RetryPolicy(maximum_attempts=attempts, initial_interval=DAY), **options
        )


async def test_a_month_passes_in_no_time() -> None:
    began = time.monotonic()
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Sleeper]),
    ):
        before = await env.get_current_time()
        slept = await env.client.execute_workflow(Sleeper.run, 30 * 86400.0, id="month")
        assert slept == pytest.approx(30 * 86400, abs=30)
        assert (await env.get_current_time()) - before >= 30 * DAY
    assert time.monotonic() - began < 5


async def test_it_can_be_awaited_and_shut_down() -> None:
    env = await WorkflowEnvironment.start_time_skipping()
    async with Worker(env.client, workflows=[Sleeper]):
        assert await env.client.execute_workflow(Sleeper.run, 3600.0, id="hour") >= 3600
    await env.shutdown()
    await env.shutdown()
    async with await WorkflowEnvironment.start_local() as local:
        assert local.is_running
    assert not local.is_running


async def test_faults_of_the_store_can_be_injected() -> None:
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Sleeper]),
    ):
        env.store.fail_next("commit")
        with pytest.raises(StoreError, match="injected"):
            await env.client.start_workflow(Sleeper.run, 60.0, id="s")
        env.store.fail("commit", env.store.calls["commit"] + 2, after=True)
        assert await env.client.execute_workflow(Sleeper.run, 60.0, id="s") >= 60


async def test_many_naps_of_many_workflows() -> None:
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Sleeper]),
    ):
        running = [env.client.execute_workflow(Sleeper.run, args=[60.0 * (1 + n), 10], id=f"s-{n}") for n in range(20)]
        slept = await asyncio.gather(*running)
        for n, seconds in enumerate(slept):
            assert seconds == pytest.approx(600 * (1 + n), abs=30)


@pytest.mark.parametrize("cached", [0, 1000])
async def test_executions_that_have_left_memory_wake_up(cached: int) -> None:
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Sleeper], max_cached_workflows=cached),
    ):
        slept = await env.client.execute_workflow(Sleeper.run, args=[10 * 86400.0, 3], id="naps")
        assert slept == pytest.approx(30 * 86400, abs=30)


async def test_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    async with (
        WorkflowEnvironment.start_time_skipping(path) as env,
        Worker(env.client, workflows=[Sleeper], max_cached_workflows=0),
    ):
        assert await env.client.execute_workflow(Sleeper.run, args=[86400.0, 5], id="naps") >= 5 * 86400
    assert path.exists()


async def test_time_stands_by_while_nobody_waits() -> None:
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Waiter]),
    ):
        handle = await env.client.start_workflow(Waiter.run, 3600.0, id="w")
        await handle.signal(Waiter.say, "hello")
        await handle.describe()
        await asyncio.sleep(0.05)
        await handle.signal(Waiter.say, "end")
        assert await handle.result() == ["hello", "end"]


async def test_sleep_lets_things_happen_in_order() -> None:
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Waiter, Sleeper]),
    ):
        handle = await env.client.start_workflow(Waiter.run, 7200.0, id="w")
        began = await env.get_current_time()
        nap = await env.client.start_workflow(Sleeper.run, 60.0, id="nap")
        await env.sleep(timedelta(hours=1))
        assert (await env.get_current_time()) - began == pytest.approx(timedelta(hours=1), abs=timedelta(seconds=30))
        assert (await nap.describe()).status.name == "COMPLETED"
        assert (await handle.describe()).status.name == "RUNNING"
        await env.sleep(3601)
        assert (await handle.describe()).status.name == "COMPLETED"
        assert await handle.result() == ["time-out"]
        with pytest.raises(ValueError, match="can't go back"):
            await env.sleep(-1)


async def test_waiting_for_an_update_skips_time() -> None:
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Waiter]),
    ):
        handle = await env.client.start_workflow(Waiter.run, 30 * 86400.0, id="w")
        assert await handle.execute_update(Waiter.say_later, args=["later", 86400.0]) == "later"


async def test_skipping_can_be_switched_off_for_a_block() -> None:
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Sleeper]),
    ):
        handle = await env.client.start_workflow(Sleeper.run, 3600.0, id="s")
        with env.auto_time_skipping_disabled():
            with pytest.raises(asyncio.TimeoutError):
                async with asyncio.timeout(0.1):
                    await handle.result()
            await env.sleep(1800)
            assert (await handle.describe()).status.name == "RUNNING"
        assert await handle.result() >= 3600


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_no_time_is_skipped_while_an_activity_runs(kind: str) -> None:
    @activity.defn(name="work")
    async def work() -> None:
        await asyncio.sleep(0.1)

    @activity.defn(name="work")
    def work_in_a_thread() -> None:
        time.sleep(0.1)

    chosen: Callable[..., Any] = work if kind == "async" else work_in_a_thread
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Works], activities=[chosen]),
    ):
        for n in range(3):
            result = await env.client.execute_workflow(Works.run, args=[{}, 60.0], id=f"w-{n}")
            assert result == "work"


async def test_retries_wait_no_longer_than_it_takes() -> None:
    attempts = []

    @activity.defn
    async def work() -> int:
        attempts.append(await env.get_current_time())
        if len(attempts) < 4:
            raise RuntimeError("not yet")
        return len(attempts)

    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Calls], activities=[work]),
    ):
        assert await env.client.execute_workflow(Calls.run, args=[{}, 10], id="c") == 4
    assert attempts[1] - attempts[0] >= DAY
    assert attempts[3] - attempts[0] >= 7 * DAY


async def test_an_activity_that_takes_long_by_the_clock_times_out() -> None:
    @activity.defn
    async def work() -> None:
        await env.sleep(DAY)

    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Calls], activities=[work]),
    ):
        began = await env.get_current_time()
        running = env.client.execute_workflow(Calls.run, args=[{"start_to_close_timeout": 3600.0}, 1], id="c")
        error = await failure_of(running)
        assert isinstance(error, ActivityError)
        assert isinstance(error.cause, exceptions.TimeoutError)
        assert (await env.get_current_time()) - began == pytest.approx(timedelta(hours=1), abs=timedelta(seconds=30))


async def test_a_task_that_no_worker_takes_times_out() -> None:
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Calls]),
    ):
        running = env.client.execute_workflow(Calls.run, args=[{"schedule_to_start_timeout": 86400.0}, 1], id="c")
        error = await failure_of(running)
        assert isinstance(error, ActivityError)


async def test_environments_side_by_side() -> None:
    async def one(seconds: float) -> float:
        async with (
            WorkflowEnvironment.start_time_skipping() as env,
            Worker(env.client, workflows=[Sleeper]),
        ):
            before = await env.get_current_time()
            await env.client.execute_workflow(Sleeper.run, seconds, id="the same id")
            return ((await env.get_current_time()) - before).total_seconds()

    passed = await asyncio.gather(*(one(seconds) for seconds in (60.0, 3600.0, 86400.0)))
    assert passed == pytest.approx([60, 3600, 86400], abs=30)


async def test_local_is_in_real_time() -> None:
    async with (
        WorkflowEnvironment.start_local() as env,
        Worker(env.client, workflows=[Sleeper, Waiter]),
    ):
        began = time.monotonic()
        assert await env.client.execute_workflow(Sleeper.run, 0.1, id="s") >= 0.1
        await env.sleep(0.05)
        assert time.monotonic() - began >= 0.15
        with env.auto_time_skipping_disabled():
            handle = await env.client.start_workflow(Waiter.run, 60.0, id="w")
        await handle.signal(Waiter.say, "end")
        assert await handle.result() == ["end"]


async def test_before_it_is_started_it_says_so() -> None:
    env = WorkflowEnvironment.start_time_skipping()
    with pytest.raises(RuntimeError, match="has not been started"):
        await env.sleep(1)


async def test_runs_do_not_grow_old_by_skipped_time() -> None:
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Sleeper]),
    ):
        first = await env.client.start_workflow(Sleeper.run, 1.0, id="first")
        await first.result()
        await env.sleep(timedelta(days=5 * 365))
        await until(lambda: first.fetch_history())


async def test_the_log_says_that_a_test_waits_in_vain(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skipping, "PATIENCE", 0.05)
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Calls]),
    ):
        waiting = asyncio.create_task(env.client.execute_workflow(Calls.run, args=[{}, 1], id="c"))
        (said,) = await until(lambda: [record for record in caplog.records if record.name == "tenuto.testing"])
        waiting.cancel()
    assert "nothing will happen any more" in said.getMessage()
    assert "waits for activity work" in said.getMessage()
