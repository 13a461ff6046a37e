"""Steps outlive processes, evictions and changes of the code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tenuto import workflow
from tenuto.client import Client
from tenuto.model import events as ev
from tenuto.steps import StepError, WorkflowEntrypoint, WorkflowInternalError, WorkflowStep, WorkflowTimeoutError
from tenuto.steps.control import ASKED_QUERY
from tests.support.durable import an_id, history, of_type, serving, until
from tests.support.postgres import postgres_url
from tests.support.processes import a_store, dying, owning, working

#: What stands at the end of a history when code has decided.
_DECIDED = (ev.WorkflowTaskCompleted, ev.TimerStarted, ev.TimerCanceled, ev.ActivityTaskScheduled)
ALWAYS = {"retries": {"limit": float("inf"), "delay": 0}}
Run = Callable[[Any, WorkflowStep], Any]


def version(run: Run) -> type[WorkflowEntrypoint]:
    """The workflow `Flow` with this code."""

    class Flow(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            return await run(self, step)

    return Flow


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/steps.db"


async def begun(url: str, run: Run, ran: list[Any], steps: int, **env: Any) -> str:
    """Start the workflow, and end the process once so many entries are in `ran`; returns its id."""
    workflow_id = an_id()
    async with serving(version(run), url=url, env={"ran": ran, **env}) as client:
        handle = await client.start_workflow(version(run), id=workflow_id)
        await until(lambda: len(ran) >= steps)
        await until(lambda: idle(handle))
    return workflow_id


async def idle(handle: Any) -> bool:
    """Has the code decided about all that has happened?"""
    return isinstance((await handle.fetch_history()).events[-1], _DECIDED)


async def continued(url: str, run: Run, ran: list[Any], workflow_id: str, **options: Any) -> Any:
    async with serving(version(run), url=url, env={"ran": ran}, **options) as client:
        handle = client.get_workflow_handle(workflow_id)
        await handle.signal("go on")
        async with asyncio.timeout(10):
            return await handle.result()


async def go_on(step: WorkflowStep) -> None:
    await step.wait_for_event("go on", type="go on")


# -- restarts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", [1000, 0])
async def test_what_is_done_is_not_done_again_by_the_next_process(url: str, cached: int) -> None:
    async def run(self: Any, step: WorkflowStep) -> Any:
        a, b = await asyncio.gather(
            step.do("a", lambda: self.env.ran.append("a") or 1), step.do("b", lambda: self.env.ran.append("b") or 2)
        )
        try:
            await step.wait_for_event("too short", type="never", timeout=0.001)
        except WorkflowTimeoutError:
            c = await step.do("c", lambda: self.env.ran.append("c") or 3)
        await go_on(step)
        return [a, b, c, await step.do("d", lambda: self.env.ran.append("d") or 4)]

    ran: list[Any] = []
    workflow_id = await begun(url, run, ran, 3)
    assert await continued(url, run, ran, workflow_id, max_cached_workflows=cached) == [1, 2, 3, 4]
    assert sorted(ran) == ["a", "b", "c", "d"]


async def test_the_winner_of_a_race_stays_the_winner(url: str) -> None:
    async def run(self: Any, step: WorkflowStep) -> Any:
        slow_may_end: asyncio.Event = asyncio.Event()

        async def slow() -> str:
            await slow_may_end.wait()
            return "slow"

        async def fast() -> str:
            slow_may_end.set()
            return "fast"

        # The slow one is asked for first, and both have results in the end.
        racing = {asyncio.create_task(step.do("race", racer), name=racer.__name__) for racer in (slow, fast)}
        done, left = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
        winner = done.pop().result()
        await asyncio.gather(*left)
        await step.do("told", lambda: self.env.ran.append(winner))
        await go_on(step)
        return winner

    ran: list[Any] = []
    workflow_id = await begun(url, run, ran, 1)
    assert await continued(url, run, ran, workflow_id) == ran[0]
    assert len(ran) == 1


async def test_a_loser_of_a_race_may_be_cancelled(url: str) -> None:
    async def run(self: Any, step: WorkflowStep) -> Any:
        async def slow() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                self.env.ran.append("slow stopped")

        slow_task = asyncio.create_task(step.do("slow", slow))
        fast_task = asyncio.create_task(step.do("fast", lambda: "fast"))
        sleep_task = asyncio.create_task(step.sleep("sleep", "1 day"))
        done, left = await asyncio.wait({slow_task, fast_task, sleep_task}, return_when=asyncio.FIRST_COMPLETED)
        for loser in left:
            loser.cancel()
        await go_on(step)
        return done.pop().result()

    ran: list[Any] = []
    workflow_id = await begun(url, run, ran, 1)
    assert await continued(url, run, ran, workflow_id) == "fast"
    assert ran == ["slow stopped"]


@pytest.mark.parametrize("duration", [3_600, -5, "nonsense"])
async def test_a_sleep_whose_duration_is_computed_anew_goes_on(url: str, duration: Any) -> None:
    async def run(self: Any, step: WorkflowStep) -> Any:
        self.env.ran.append("began")
        first = len(self.env.ran) == 1
        with suppress(WorkflowTimeoutError):
            await step.wait_for_event("nothing", type="nothing", timeout=0.001 if first else -5)
        await step.sleep("nap", 0.2 if first else duration)
        return "awake"

    ran: list[Any] = []
    workflow_id = await begun(url, run, ran, 1)
    async with serving(version(run), url=url, env={"ran": ran}) as client:
        handle = client.get_workflow_handle(workflow_id)
        async with asyncio.timeout(5):
            assert await handle.result() == "awake"
        assert len(of_type(await history(handle), ev.TimerStarted)) == 2
    assert len(ran) >= 2


# -- code that has changed ---------------------------------------------------------------------------------------------


async def test_steps_may_be_reordered_added_and_left_out(url: str) -> None:
    async def before(self: Any, step: WorkflowStep) -> Any:
        for name in ("a", "b", "c"):
            await step.do(name, lambda name=name: self.env.ran.append(name) or name)
        await go_on(step)

    async def after(self: Any, step: WorkflowStep) -> Any:
        done = [
            await step.do(name, lambda name=name: self.env.ran.append(f"new {name}") or f"new {name}")
            for name in ("c", "x", "a")
        ]
        await go_on(step)
        return done

    ran: list[Any] = []
    workflow_id = await begun(url, before, ran, 3)
    assert await continued(url, after, ran, workflow_id) == ["c", "new x", "a"]
    assert ran == ["a", "b", "c", "new x"]


@pytest.mark.parametrize("under_way", ["attempt", "delay"])
async def test_a_step_that_is_renamed_while_it_is_under_way_is_given_up(url: str, under_way: str) -> None:
    async def before(self: Any, step: WorkflowStep) -> Any:
        async def work() -> None:
            self.env.ran.append("old")
            if under_way == "attempt":
                await asyncio.sleep(60)
            raise ValueError

        await step.do("old", {"retries": {"delay": 0.2, "backoff": "constant"}}, work)

    async def after(self: Any, step: WorkflowStep) -> Any:
        new = await step.do("new", lambda: "new")
        await step.sleep("long enough", 0.3)
        return new

    ran: list[Any] = []
    workflow_id = await begun(url, before, ran, 1)
    async with serving(version(after), url=url, env={"ran": ran}) as client:
        handle = client.get_workflow_handle(workflow_id)
        async with asyncio.timeout(5):
            assert await handle.result() == "new"
        events = await history(handle)
    assert ran == ["old"]
    assert [event.scheduled_event_id for event in of_type(events, ev.ActivityTaskCanceled)] == [5]


async def test_a_step_before_which_others_are_put_while_it_is_under_way_is_done_when_its_turn_comes(url: str) -> None:
    def made(first: str | None) -> Run:
        async def run(self: Any, step: WorkflowStep) -> Any:
            if first is not None:
                await step.do(first, lambda: self.env.ran.append(first))

            async def work() -> str:
                self.env.ran.append("work")
                if first is None:
                    await asyncio.sleep(60)
                return "worked"

            return await step.do("work", ALWAYS, work)

        return run

    ran: list[Any] = []
    workflow_id = await begun(url, made(None), ran, 1)
    async with serving(version(made("new")), url=url, env={"ran": ran}) as client:
        async with asyncio.timeout(5):
            assert await client.get_workflow_handle(workflow_id).result() == "worked"
    assert ran == ["work", "new", "work"]
    # The code of before would find everything, too.
    async with serving(version(made(None)), url=url, env={"ran": ran}) as client:
        assert await client.get_workflow_handle(workflow_id).query(ASKED_QUERY) == [
            {"kind": "do", "name": "work", "count": 1}
        ]


async def test_options_that_change_do_not_reach_a_step_that_has_begun(url: str) -> None:
    def made(limit: int) -> Run:
        async def run(self: Any, step: WorkflowStep) -> Any:
            def fail(ctx: Any) -> None:
                self.env.ran.append(ctx.config["retries"]["limit"])
                raise ValueError("never")

            try:
                await step.do("work", {"retries": {"limit": limit, "delay": 0.1, "backoff": "constant"}}, fail)
            except ValueError:
                return "failed"

        return run

    ran: list[Any] = []
    workflow_id = await begun(url, made(2), ran, 1)
    async with serving(version(made(50)), url=url, env={"ran": ran}) as client:
        assert await client.get_workflow_handle(workflow_id).result() == "failed"
    assert ran == [2, 2, 2]


async def test_code_that_ends_sooner_than_it_did_ends_the_instance(url: str) -> None:
    async def before(self: Any, step: WorkflowStep) -> Any:
        await step.do("a", lambda: self.env.ran.append("a"))
        await step.do("b", lambda: self.env.ran.append("b"))
        await go_on(step)

    async def after(self: Any, step: WorkflowStep) -> Any:
        return await step.do("a", lambda: 1 / 0)

    ran: list[Any] = []
    workflow_id = await begun(url, before, ran, 2)
    assert await continued(url, after, ran, workflow_id) is None


# -- processes ---------------------------------------------------------------------------------------------------------


class Slow(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        first = await step.do("first", lambda: "first")

        async def wait(ctx: Any) -> str:
            self.env.ran.append((self.env.name, ctx.attempt))
            if self.env.name == "A":
                await asyncio.sleep(60)
            return f"{first} {self.env.name} {ctx.attempt}"

        try:
            return await step.do("wait", {"retries": {"limit": event.payload}}, wait)
        except StepError as error:
            return [error.name, isinstance(error, WorkflowInternalError)]


@pytest.mark.parametrize(("limit", "result"), [(5, "first B 2"), (0, ["WorkflowInternalError", True])])
async def test_an_attempt_whose_process_dies_counts_and_is_made_again(limit: int, result: Any) -> None:
    url, ran = a_store(), list[Any]()
    workflow_id = an_id()
    async with owning(url) as client:
        async with dying(url, Slow, env={"ran": ran, "name": "A"}):
            handle = await client.start_workflow(Slow, limit, id=workflow_id)
            await until(lambda: ran)
        async with working(url, Slow, env={"ran": ran, "name": "B"}):
            async with asyncio.timeout(30):
                assert await handle.result() == result


class Spread(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        squares = await asyncio.gather(*(step.do("square", lambda n=n: self.env.work(n)) for n in range(20)))
        approval = await step.wait_for_event("approval", type="approved")
        return [sum(squares), approval.payload]


async def test_steps_of_one_instance_run_in_several_processes() -> None:
    ran: dict[str, int] = {}

    def work(name: str) -> Callable[[int], int]:
        async def square(n: int) -> int:
            ran[name] = ran.get(name, 0) + 1
            await asyncio.sleep(0.01)
            return n * n

        return square  # type: ignore[return-value]

    with postgres_url() as url:
        async with owning(url) as client:
            few = {"max_concurrent_activities": 2}
            async with (
                working(url, Spread, env={"work": work("A")}, **few),
                working(url, Spread, env={"work": work("B")}, **few),
            ):
                handle = await client.start_workflow(Spread, id=an_id())
                await handle.signal("approved", "yes")
                async with asyncio.timeout(20):
                    assert await handle.result() == [sum(n * n for n in range(20)), "yes"]
    assert sum(ran.values()) >= 20
    assert set(ran) == {"A", "B"}


async def test_another_process_takes_over_what_one_leaves(tmp_path: Path) -> None:
    with postgres_url() as url:
        handle_id = an_id()

        async def run(self: Any, step: WorkflowStep) -> Any:
            done = [await step.do("a", lambda: self.env.ran.append("a") or "a")]
            await step.sleep("nap", 0.3)
            done.append(await step.do("b", lambda: self.env.ran.append("b") or "b"))
            return done

        ran: list[Any] = []
        async with await Client.connect(url) as onlooker:
            async with serving(version(run), url=url, env={"ran": ran}) as client:
                await client.start_workflow(version(run), id=handle_id)
                await until(lambda: ran)
            async with serving(version(run), url=url, env={"ran": ran}):
                async with asyncio.timeout(20):
                    assert await onlooker.get_workflow_handle(handle_id).result() == ["a", "b"]
        assert ran == ["a", "b"]


async def test_code_that_asks_later_for_what_raced_finds_the_same_winner(url: str) -> None:
    def made(first: list[str]) -> Run:
        async def run(self: Any, step: WorkflowStep) -> Any:
            for name in first:
                await step.do(name, lambda name=name: self.env.ran.append(name))

            async def fast() -> str:
                return "fast"

            async def slow() -> str:
                await asyncio.sleep(0.05)
                return "slow"

            racing = {asyncio.create_task(step.do(racer.__name__, racer)) for racer in (slow, fast)}
            done, left = await asyncio.wait(racing, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.gather(*left)
            await step.do("end", lambda: self.env.ran.append("end"))
            await go_on(step)
            return done.pop().result()

        return run

    ran: list[Any] = []
    workflow_id = await begun(url, made([]), ran, 1)
    # The new step has to be done before, but what is on record is not raced for again.
    assert await continued(url, made(["new"]), ran, workflow_id) == "fast"
    assert ran == ["end", "new"]


class Sleeper(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        await step.sleep("long", event.payload)
        return "slept"


@pytest.mark.parametrize("cached", [1000, 0])
async def test_children_of_the_run_method_are_found_again_and_can_be_cancelled(url: str, cached: int) -> None:
    async def run(self: Any, step: WorkflowStep) -> Any:
        slept = await workflow.execute_child_workflow(Sleeper, 0.001)
        losing = asyncio.create_task(workflow.execute_child_workflow(Sleeper, "1 day"))
        done, left = await asyncio.wait(
            [losing, asyncio.create_task(step.do("fast", lambda: "fast"))], return_when=asyncio.FIRST_COMPLETED
        )
        for loser in left:
            loser.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await step.do("told", lambda: self.env.ran.append(slept))
        return [slept, done.pop().result(), [loser.cancelled() for loser in left]]

    ran: list[Any] = []
    async with serving(version(run), Sleeper, url=url, env={"ran": ran}, max_cached_workflows=cached) as client:
        handle = await client.start_workflow(version(run), id=an_id())
        async with asyncio.timeout(10):
            assert await handle.result() == ["slept", "fast", [True]]
    assert ran == ["slept"]
