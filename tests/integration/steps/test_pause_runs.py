"""A run that is paused stands still, whatever it was doing, and goes on as if no time had passed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.client import Client, WorkflowFailureError, WorkflowHandle
from tenuto.common import RetryPolicy
from tenuto.export import WorkflowHistory
from tenuto.model.errors import RPCError, RPCStatusCode
from tenuto.testing.clock import ManualClock
from tenuto.worker import Worker
from tests.support.durable import an_id, history, serving, shape, until
from tests.support.postgres import postgres_url

began: list[str] = []
go_on = asyncio.Event()


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store that outlives its clients."""
    if request.param == "postgres":
        with postgres_url() as made:
            yield made
    else:
        yield f"sqlite:///{tmp_path}/pause.db"


@pytest.fixture(autouse=True)
def _fresh() -> None:
    global go_on
    began.clear()
    go_on = asyncio.Event()


@activity.defn
async def held(name: str) -> str:
    """Runs until the test lets it end."""
    began.append(name)
    await go_on.wait()
    return name


@activity.defn
async def quick(name: str) -> str:
    began.append(name)
    return name


@activity.defn
async def flaky(name: str) -> str:
    began.append(name)
    if len(began) == 1:
        raise ValueError("not yet")
    return name


@workflow.defn
class Sleeper:
    @workflow.run
    async def run(self, seconds: float) -> float:
        before = workflow.now()
        await asyncio.sleep(seconds)
        return (workflow.now() - before).total_seconds()


@workflow.defn
class TwoSteps:
    @workflow.run
    async def run(self) -> list[str]:
        limit = timedelta(minutes=10)
        first = await workflow.execute_activity(held, "first", start_to_close_timeout=limit)
        return [first, await workflow.execute_activity(quick, "second", start_to_close_timeout=limit)]


@workflow.defn
class BacksOff:
    @workflow.run
    async def run(self) -> str:
        return await workflow.execute_activity(
            flaky,
            "flaky",
            schedule_to_close_timeout=timedelta(seconds=100),
            retry_policy=RetryPolicy(initial_interval=timedelta(seconds=60)),
        )


@workflow.defn
class Listener:
    def __init__(self) -> None:
        self.heard: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: "end" in self.heard)
        return self.heard

    @workflow.signal
    def hear(self, what: str) -> None:
        self.heard.append(what)

    @workflow.query
    def so_far(self) -> list[str]:
        return self.heard

    @workflow.update
    def ask(self) -> str:
        return "answer"


CODE: dict[str, Any] = {
    "workflows": [Sleeper, TwoSteps, BacksOff, Listener],
    "activities": [held, quick, flaky],
}


async def waits(handle: WorkflowHandle[Any]) -> bool:
    description = await handle.describe()
    return bool(description.pending_timers or description.pending_activities)


async def is_over(handle: WorkflowHandle[Any]) -> bool:
    return (await handle.describe()).close_time is not None


async def turns() -> None:
    """Let the engine do what it would do now, if it did anything."""
    for _ in range(20):
        await asyncio.sleep(0.001)


async def test_a_timer_fires_later_by_the_time_spent_paused_also_after_a_restart(url: str) -> None:
    clock, id = ManualClock(), an_id()
    async with await Client.connect(url, clock=clock) as client, Worker(client, **CODE):
        handle = await client.start_workflow(Sleeper.run, 60.0, id=id)
        await until(lambda: waits(handle))
        clock.advance(10)
        await handle.pause("lunch")
        clock.advance(500)
        await turns()
        assert (await handle.describe()).pending_timers
    async with await Client.connect(url, clock=clock) as client, Worker(client, **CODE):
        handle = client.get_workflow_handle(id)
        description = await handle.describe()
        assert description.paused
        assert description.problem == "paused: lunch"
        assert description.paused_time is not None
        assert [row.id async for row in client.list_workflows("Stuck = true") if row.paused] == [id]
        clock.advance(500)
        await turns()
        await handle.unpause()
        clock.advance(49)
        await turns()
        assert not await is_over(handle)
        assert not (await handle.describe()).paused
    async with await Client.connect(url, clock=clock) as client, Worker(client, **CODE):
        handle = client.get_workflow_handle(id)
        clock.advance(1.5)
        assert await handle.result() >= 1060
        assert [name for name in await shape(handle) if "aused" in name] == ["Paused", "Unpaused"]


async def test_an_attempt_that_runs_may_end_and_no_other_begins() -> None:
    async with serving(Sleeper, TwoSteps, activities=[held, quick]) as client:
        handle = await client.start_workflow(TwoSteps.run, id=an_id())
        await until(lambda: began == ["first"])
        await handle.pause()
        assert (await handle.describe()).pending_activities[0].state == "started"
        go_on.set()
        await until(lambda: _events(handle, "ActivityCompleted"))
        await turns()
        assert began == ["first"]
        await handle.unpause()
        assert await handle.result() == ["first", "second"]


async def _events(handle: WorkflowHandle[Any], name: str) -> int:
    return (await shape(handle)).count(name)


async def test_a_back_off_ends_later_and_so_does_the_limit_on_the_whole(url: str) -> None:
    clock, id = ManualClock(), an_id()
    async with await Client.connect(url, clock=clock) as client, Worker(client, **CODE):
        handle = await client.start_workflow(BacksOff.run, id=id)
        await until(lambda: _backs_off(handle))
        clock.advance(20)
        await handle.pause()
        clock.advance(1000)
        await turns()
        assert began == ["flaky"]
        await handle.unpause()
        clock.advance(39)
        await turns()
        assert began == ["flaky"]
        clock.advance(2)
        assert await handle.result() == "flaky"


async def _backs_off(handle: WorkflowHandle[Any]) -> bool:
    return any(pending.state == "backing_off" for pending in (await handle.describe()).pending_activities)


async def test_an_attempt_that_fails_while_paused_backs_off_from_when_the_run_goes_on() -> None:
    clock = ManualClock()

    @activity.defn(name="flaky")
    async def fails_late(name: str) -> str:
        began.append(name)
        if len(began) == 1:
            await go_on.wait()
            raise ValueError("not yet")
        return name

    async with serving(BacksOff, activities=[fails_late], connect={"clock": clock}) as client:
        handle = await client.start_workflow(BacksOff.run, id=an_id())
        await until(lambda: began)
        clock.advance(10)
        await handle.pause()
        clock.advance(30)
        go_on.set()
        await until(lambda: _backs_off(handle))
        clock.advance(1000)
        await handle.unpause()
        clock.advance(59)
        await turns()
        assert len(began) == 1
        clock.advance(2)
        assert await handle.result() == "flaky"


async def test_messages_are_taken_in_and_seen_when_the_run_goes_on() -> None:
    async with serving(Listener) as client:
        handle = await client.start_workflow(Listener.run, id=an_id())
        await handle.signal(Listener.hear, "before")
        await handle.pause()
        await handle.signal(Listener.hear, "while")
        await handle.signal(Listener.hear, "end")
        assert "while" not in await handle.query(Listener.so_far)
        with pytest.raises(RPCError, match="is paused") as caught:
            await handle.execute_update(Listener.ask)
        assert caught.value.status is RPCStatusCode.FAILED_PRECONDITION
        await turns()
        assert not await is_over(handle)
        await handle.unpause()
        assert await handle.result() == ["before", "while", "end"]
        await history(handle)


async def test_pausing_twice_is_pausing_once_and_what_has_closed_is_not_found() -> None:
    async with serving(Listener) as client:
        handle = await client.start_workflow(Listener.run, id=an_id())
        await handle.unpause()
        await handle.pause()
        await handle.pause("again")
        await handle.cancel()
        await turns()
        assert (await handle.describe()).close_time is None
        await handle.unpause()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        assert [name for name in await shape(handle) if "aused" in name] == ["Paused", "Unpaused"]
        with pytest.raises(RPCError) as caught:
            await handle.pause()
        assert caught.value.status is RPCStatusCode.NOT_FOUND


async def test_a_paused_run_can_be_terminated_and_times_out() -> None:
    clock = ManualClock()
    async with serving(Listener, Sleeper, connect={"clock": clock}) as client:
        first = await client.start_workflow(Listener.run, id=an_id())
        await first.pause()
        await first.terminate()
        assert await is_over(first)
        assert not (await first.describe()).paused
        second = await client.start_workflow(Sleeper.run, 5.0, id=an_id(), run_timeout=60)
        await second.pause()
        clock.advance(61)
        with pytest.raises(WorkflowFailureError, match="timed out"):
            await second.result()


async def test_what_was_closed_a_moment_ago_takes_nothing_in() -> None:
    async with serving(Listener) as client:
        handle = await client.start_workflow(Listener.run, id=an_id())
        asked = handle.terminate(), handle.terminate(), handle.pause(), handle.signal("hear", "late"), handle.unpause()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert answers[0] is None
        assert [type(answer) for answer in answers[1:]] == [RPCError] * 4
        assert (await shape(handle))[-1] == "Terminated"


async def test_a_start_delay_stands_still_too() -> None:
    clock = ManualClock()
    async with serving(Sleeper, connect={"clock": clock}) as client:
        handle = await client.start_workflow(Sleeper.run, 0.0, id=an_id(), start_delay=60)
        clock.advance(10)
        await handle.pause()
        clock.advance(100)
        await handle.unpause()
        clock.advance(40)
        await turns()
        assert await shape(handle) == ["Started", "Paused", "Unpaused"]
        clock.advance(11)
        assert await handle.result() == 0.0


async def test_what_waits_for_workers_elsewhere_waits_no_more_while_paused(url: str) -> None:
    async with await Client.connect(url) as client:
        handle = await client.start_workflow(TwoSteps.run, id=an_id())
        await handle.pause()
        async with Worker(client, **CODE):
            await turns()
            assert await shape(handle) == ["Started", "TaskScheduled", "Paused"]
            await handle.unpause()
            await until(lambda: began == ["first"])
            go_on.set()
            assert await handle.result() == ["first", "second"]


async def test_a_decision_of_another_process_that_comes_while_paused_is_made_again() -> None:
    with postgres_url() as url:
        async with (
            await Client.connect(url) as owner,
            await Client.connect(url) as other,
            Worker(owner, task_queue="unused", **CODE),
            Worker(other, **CODE),
        ):
            handle = await owner.start_workflow(TwoSteps.run, id=an_id(), task_queue="default")
            await until(lambda: began == ["first"])
            await handle.pause()
            go_on.set()
            await until(lambda: _events(handle, "ActivityCompleted"))
            await asyncio.sleep(0.1)
            assert began == ["first"]
            await handle.unpause()
            assert await handle.result() == ["first", "second"]
            await history(handle)


async def test_exported_histories_carry_pauses() -> None:
    async with serving(Sleeper) as client:
        handle = await client.start_workflow(Sleeper.run, 3600, id=an_id())
        await handle.pause("a reason")
        await handle.unpause("another")
        await handle.terminate()
        exported = await handle.fetch_history()
        again = WorkflowHistory.from_json(exported.workflow_id, exported.to_json())
        assert again.events == exported.events
        assert "EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED" in exported.to_json()
