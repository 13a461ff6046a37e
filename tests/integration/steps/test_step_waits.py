"""Sleeps and waits for events, and what tests can make of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tenuto.model import events as ev
from tenuto.steps import WorkflowEntrypoint, WorkflowStep, WorkflowTimeoutError
from tenuto.testing.clock import ManualClock
from tests.support.durable import an_id, failure_of, history, of_type, serving, until
from tests.support.step_hooks import Hooks

DAY = 86_400


class Waits(WorkflowEntrypoint):
    """Does what its environment says."""

    async def run(self, event: Any, step: WorkflowStep) -> Any:
        return await self.env.run(step)


async def result_of(run: Any, **options: Any) -> Any:
    async with serving(Waits, env={"run": run}, **options) as client:
        async with asyncio.timeout(10):
            return await client.execute_workflow(Waits, id=an_id())


# -- sleeps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duration", ["7 days", timedelta(days=7), 7 * DAY, "168 hours", "6 days 24 hours"])
async def test_a_sleep_lasts_as_long_as_it_says(duration: Any) -> None:
    clock = ManualClock()

    async def run(step: WorkflowStep) -> str:
        await step.sleep("nap", duration)
        return "awake"

    async with serving(Waits, env={"run": run}, connect={"clock": clock}) as client:
        handle = await client.start_workflow(Waits, id=an_id())
        started = await until(lambda: timers(handle))
        assert (started[0].timer_id, started[0].start_to_fire_timeout) == ("nap-1", 7 * DAY)
        clock.advance(7 * DAY - 1)
        await asyncio.sleep(0.01)
        assert not of_type(await history(handle), ev.TimerFired)
        clock.advance(1)
        assert await handle.result() == "awake"


async def timers(handle: Any) -> list[Any]:
    return of_type(await history(handle), ev.TimerStarted)


@pytest.mark.parametrize("form", ["datetime", "timestamp"])
async def test_a_sleep_may_end_at_a_given_time(form: str) -> None:
    clock = ManualClock()

    async def run(step: WorkflowStep) -> None:
        when = clock_start + timedelta(days=2)
        await step.sleep_until("until", when if form == "datetime" else when.timestamp())

    clock_start = datetime.fromtimestamp(clock.now() / 1e9, UTC)
    async with serving(Waits, env={"run": run}, connect={"clock": clock}) as client:
        handle = await client.start_workflow(Waits, id=an_id())
        started = await until(lambda: timers(handle))
        assert started[0].start_to_fire_timeout == pytest.approx(2 * DAY)


@pytest.mark.parametrize(
    ("wait", "message"),
    [
        (lambda step: step.sleep("s", "366 days"), "365 days at most"),
        (lambda step: step.sleep("s", -1), "can't be negative"),
        (lambda step: step.sleep("s", "a while"), "is not a duration"),
        (lambda step: step.sleep_until("s", datetime(2020, 1, 1, tzinfo=UTC)), "is past"),
        (lambda step: step.sleep_until("s", datetime.now(UTC) + timedelta(days=400)), "365 days at most"),
        (lambda step: step.wait_for_event("s", "t", timeout="2 years"), "365 days at most"),
        (lambda step: step.wait_for_event("s"), "needs the type"),
        (lambda step: step.sleep("", 1), "needs a name"),
    ],
)
async def test_waits_that_cannot_be_are_refused(wait: Any, message: str) -> None:
    async def run(step: WorkflowStep) -> None:
        await wait(step)

    async with serving(Waits, env={"run": run}) as client:
        error = await failure_of(client.execute_workflow(Waits, id=an_id()))
    assert str(error).startswith("WorkflowFatalError: ")
    assert message in str(error)


# -- events ------------------------------------------------------------------------------------------------------------


async def test_events_are_kept_by_type_and_handed_out_in_their_order() -> None:
    async def run(step: WorkflowStep) -> list[Any]:
        await step.do("begun", begun.set)
        await step.wait_for_event("go", type="go")
        first = await step.wait_for_event("b", type="b")
        return [first.payload, *[(await step.wait_for_event("a", type="a")).payload for _ in range(3)]]

    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    begun.set = lambda set=begun.set: loop.call_soon_threadsafe(set) and None  # type: ignore[method-assign]
    for cached in (1000, 0):
        begun.clear()
        async with serving(Waits, env={"run": run}, max_cached_workflows=cached) as client:
            handle = await client.start_workflow(Waits, id=an_id())
            await begun.wait()
            for type, payload in (("a", 1), ("b", 2), ("a", 3), ("a", 4), ("a", 5), ("go", None)):
                await handle.signal(type, payload)
            assert await handle.result() == [2, 1, 3, 4]


async def test_each_event_is_for_one_and_the_longest_waiting_comes_first() -> None:
    async def run(step: WorkflowStep) -> list[Any]:
        got = await asyncio.gather(*(step.wait_for_event(name, type="go") for name in ("a", "b", "c")))
        return [event.payload for event in got]

    async with serving(Waits, env={"run": run}) as client:
        handle = await client.start_workflow(Waits, id=an_id())
        for number in range(3):
            await handle.signal("go", number)
        assert await handle.result() == [0, 1, 2]


async def test_an_event_that_comes_to_somebody_who_gives_up_at_that_moment_is_for_the_next() -> None:
    async def run(step: WorkflowStep) -> Any:
        first = asyncio.create_task(step.wait_for_event("first", type="go"))
        stop = asyncio.create_task(step.wait_for_event("stop", type="stop"))
        stop.add_done_callback(lambda _: first.cancel())
        await asyncio.wait([first, stop], return_when=asyncio.ALL_COMPLETED)
        return [first.cancelled(), (await step.wait_for_event("second", type="go")).payload]

    async with serving(Waits, env={"run": run}) as client:
        handle = await client.start_workflow(Waits, id=an_id())
        await until(lambda: timers(handle))
        await asyncio.gather(handle.signal("stop"), handle.signal("go", "for you"))
        assert await handle.result() == [True, "for you"]


# -- hooks for tests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [1000, 0])
async def test_tests_may_say_what_comes_of_steps_sleeps_and_waits(cached: int) -> None:
    async def run(step: WorkflowStep) -> Any:
        said = [await step.do("real", lambda: "real"), await step.do("mocked", lambda: "not this")]
        for name in ("fails", "slow"):
            try:
                await step.do(name, {"retries": {"limit": 2}}, lambda: "nor this")
            except Exception as error:
                said.append(f"{type(error).__name__}: {error}")
        await step.sleep("skipped", "300 days")
        try:
            await step.wait_for_event("forced", type="go")
        except WorkflowTimeoutError:
            said.append("timed out")
        said.append((await step.wait_for_event("next", type="go")).payload)
        return said

    hooks = Hooks()
    hooks.results["mocked"] = "mocked"
    hooks.errors["fails"] = ValueError("told to")
    hooks.timed_out |= {"slow", "forced"}
    hooks.skipped.add("skipped")
    async with serving(Waits, env={"run": run}, max_cached_workflows=cached) as client:
        client.step_hooks = hooks
        handle = await client.start_workflow(Waits, id=an_id())
        await handle.signal("go", "event")
        assert await handle.result() == [
            *("real", "mocked", "ValueError: told to"),
            "WorkflowTimeoutError: step 'slow' timed out after 600 s (attempt 3)",
            *("timed out", "event"),
        ]
        assert {at.name: at.attempt for at, _ in hooks.delays} == {"fails": 2, "slow": 2}
        assert all(at.workflow_name == "Waits" and at.instance_id == handle.id for at, _ in hooks.delays)


async def test_names_that_look_like_ids_of_another_kind_are_told_apart() -> None:
    async def run(step: WorkflowStep) -> Any:
        woken = asyncio.create_task(step.sleep("event:a", 0.001))
        got = await step.wait_for_event("a", type="go")
        await woken
        await step.do("a", lambda: done.append("a"), rollback=lambda _: done.append("undone"))
        await step.do("rollback:a", lambda: done.append("rollback:a"))
        raise ValueError(got.payload)

    done: list[str] = []
    async with serving(Waits, env={"run": run}, max_cached_workflows=0) as client:
        handle = await client.start_workflow(Waits, id=an_id())
        await until(lambda: timers(handle))
        await handle.signal("go", "went")
        assert str(await failure_of(handle.result())) == "ValueError: went"
    assert done == ["a", "rollback:a", "undone"]
