"""Rollbacks: what undoes the steps of an instance that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tenuto.client import Client, WorkflowHandle
from tenuto.converter import DataConverter
from tenuto.exceptions import ApplicationError
from tenuto.steps import NonRetryableError, WorkflowEntrypoint, WorkflowStep
from tenuto.steps.control import RollbackOutcome, rollback_outcome
from tests.support.durable import an_id, ended, failure_of, serving, until

Steps = Callable[[WorkflowStep, list[Any]], Any]

NOW = {"retries": {"limit": 2, "delay": 0}}
ONCE = {"retries": {"limit": 0}}


class Books(WorkflowEntrypoint):
    """Does what its environment says; `done` is what has been done and undone, as the world sees it."""

    async def run(self, event: Any, step: WorkflowStep) -> Any:
        return await self.env.steps(step, self.env.done)


def no() -> None:
    raise ValueError("full")


def undo(done: list[Any]) -> Callable[[Any], None]:
    def undo_it(undone: Any) -> None:
        assert (undone.error.name, undone.error.message) == ("ValueError", "full")
        done.append((f"un{undone.step.name}", undone["output"], str(undone.error)))

    return undo_it


async def three(step: WorkflowStep, done: list[Any]) -> None:
    await step.do("flight", lambda: done.append("flight") or 1, rollback=undo(done))
    await step.do("nothing to undo", lambda: None)
    await step.do("hotel", ONCE, lambda: done.append("hotel") or {"room": 2}, rollback=undo(done))
    await step.do("car", ONCE, no, rollback=undo(done))


UNDONE = ["flight", "hotel", ("uncar", None, "full"), ("unhotel", {"room": 2}, "full"), ("unflight", 1, "full")]


async def outcome_of(client: Client, run: WorkflowHandle[Any]) -> RollbackOutcome | None:
    closing = (await run.fetch_history()).events[-1]
    return rollback_outcome(closing, DataConverter.default)


@pytest.mark.parametrize("cached", [1000, 0])
async def test_on_an_uncaught_failure_all_steps_that_began_are_rolled_back_newest_first(cached: int) -> None:
    done: list[Any] = []
    async with serving(Books, env={"steps": three, "done": done}, max_cached_workflows=cached) as client:
        run = await client.start_workflow(Books, id=an_id())
        error = await failure_of(run.result())
        assert isinstance(error, ApplicationError)
        assert (error.type, error.message) == ("ValueError", "full")
        assert done == UNDONE
        assert await outcome_of(client, run) == RollbackOutcome("complete", ["car", "hotel", "flight"])


async def test_a_failure_that_is_caught_rolls_nothing_back() -> None:
    async def caught(step: WorkflowStep, done: list[Any]) -> str:
        try:
            await three(step, done)
        except ValueError:
            return "went by train"
        return "flew"

    done: list[Any] = []
    async with serving(Books, env={"steps": caught, "done": done}) as client:
        run = await client.start_workflow(Books, id=an_id())
        assert await run.result() == "went by train"
        assert await outcome_of(client, run) is None
    assert done == ["flight", "hotel"]


async def test_rollbacks_are_tried_again_and_stop_at_the_first_that_fails() -> None:
    async def steps(step: WorkflowStep, done: list[Any]) -> None:
        def undo_hotel(undone: Any) -> None:
            done.append("tried")
            raise NonRetryableError("closed") if len(done) == 6 else ValueError("busy")

        await step.do("flight", lambda: done.append("flight"), rollback=undo(done))
        await step.do("hotel", lambda: done.append("hotel"), rollback=undo_hotel, rollback_config=NOW)
        await step.do("car", lambda: done.append("car"), rollback=undo(done))
        no()

    done: list[Any] = []
    async with serving(Books, env={"steps": steps, "done": done}) as client:
        run = await ended(await client.start_workflow(Books, id=an_id()))
        assert done == ["flight", "hotel", "car", ("uncar", None, "full"), "tried", "tried"]
        wanted = RollbackOutcome("failed", ["car"], "hotel", "NonRetryableError", "closed")
        assert await outcome_of(client, run) == wanted


async def test_steps_under_way_are_stopped_before_anything_is_rolled_back() -> None:
    async def steps(step: WorkflowStep, done: list[Any]) -> None:
        async def slow() -> None:
            try:
                done.append("slow began")
                await asyncio.sleep(60)
            finally:
                done.append("slow stopped")

        async def fails() -> None:
            await until(lambda: done)
            no()

        slow_step = step.do("slow", slow, rollback=undo(done))
        await asyncio.gather(slow_step, step.do("fails", ONCE, fails, rollback=undo(done)))

    done: list[Any] = []
    async with serving(Books, env={"steps": steps, "done": done}) as client:
        await ended(await client.start_workflow(Books, id=an_id()))
    assert done == ["slow began", "slow stopped", ("unfails", None, "full"), ("unslow", None, "full")]


async def test_a_cancel_request_rolls_back_and_ends_the_instance_as_cancelled() -> None:
    async def steps(step: WorkflowStep, done: list[Any]) -> None:
        await step.do("flight", lambda: done.append("flight"), rollback=lambda _: done.append("unflight"))
        await step.sleep("long", "7 days")

    done: list[Any] = []
    async with serving(Books, env={"steps": steps, "done": done}) as client:
        run = await client.start_workflow(Books, id=an_id())
        await until(lambda: done)
        await run.cancel()
        await ended(run)
        description = await run.describe()
        assert description.status is not None
        assert (description.status.name, done) == ("CANCELED", ["flight", "unflight"])
        assert await outcome_of(client, run) == RollbackOutcome("complete", ["flight"])


async def test_a_failing_instance_begins_no_new_steps() -> None:
    async def steps(step: WorkflowStep, done: list[Any]) -> None:
        async def stubborn() -> None:
            try:
                await step.sleep("long", "7 days")
            except asyncio.CancelledError:
                try:
                    await step.do("more", lambda: done.append("more"))
                except Exception as error:
                    refused.append(str(error))

        await step.do("flight", lambda: done.append("flight"), rollback=undo(done))
        await asyncio.gather(stubborn(), step.do("car", ONCE, no))

    refused: list[str] = []
    done: list[Any] = []
    async with serving(Books, env={"steps": steps, "done": done}) as client:
        await ended(await client.start_workflow(Books, id=an_id()))
    assert done == ["flight", ("unflight", None, "full")]
    assert "rolled back" in refused[0]


# -- the forms with decorators -----------------------------------------------------------------------------------------


async def test_a_decorated_step_may_say_how_it_is_undone() -> None:
    async def steps(step: WorkflowStep, done: list[Any]) -> None:
        @step.with_rollback("flight", {"timeout": "1 minute"})
        async def flight() -> int:
            done.append("flight")
            return 1

        @flight.undo
        async def undo_flight(undone: Any) -> None:
            done.append(("unflight", undone.output))

        @step.with_rollback("hotel")
        def hotel() -> None:
            done.append("hotel")

        @hotel.undo(NOW)
        def undo_hotel(undone: Any) -> None:
            done.append("tried")
            if done.count("tried") < 3:
                no()

        await flight()
        await hotel()
        no()

    done: list[Any] = []
    async with serving(Books, env={"steps": steps, "done": done}) as client:
        await ended(await client.start_workflow(Books, id=an_id()))
    assert done == ["flight", "hotel", "tried", "tried", "tried", ("unflight", 1)]


async def test_rollbacks_can_be_asked_for() -> None:
    async def steps(step: WorkflowStep, done: list[Any]) -> Any:
        try:
            await three(step, done)
        except ValueError as error:
            await step.rollback_all(error)
            await step.do("train", lambda: done.append("train"))
            raise

    done: list[Any] = []
    async with serving(Books, env={"steps": steps, "done": done}, max_cached_workflows=0) as client:
        await ended(await client.start_workflow(Books, id=an_id()))
    assert done == [*UNDONE, "train"]


@pytest.mark.parametrize("on", [True, False])
async def test_rollbacks_that_are_asked_for_stop_at_the_first_failure_or_go_on(on: bool) -> None:
    async def steps(step: WorkflowStep, done: list[Any]) -> Any:
        def fail(undone: Any) -> None:
            done.append(f"un{undone.step.name}")
            raise NonRetryableError(undone.step.name)

        for name in ("a", "b", "c"):
            await step.do(name, lambda: None, rollback=fail)
        try:
            await step.rollback_all(ValueError("x"), continue_on_error=on)
        except ExceptionGroup as group:
            return [str(error) for error in group.exceptions]
        except NonRetryableError as error:
            return error.message

    done: list[Any] = []
    async with serving(Books, env={"steps": steps, "done": done}) as client:
        assert await client.execute_workflow(Books, id=an_id()) == (["c", "b", "a"] if on else "c")
    assert done == (["unc", "unb", "una"] if on else ["unc"])
