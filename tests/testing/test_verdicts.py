"""What fails in the code of workflows and activities fails the test that waits for them."""

from __future__ import annotations

import asyncio
import random
import traceback
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.client import WorkflowFailureError
from tenuto.exceptions import ApplicationError
from tenuto.replay.matching import NondeterminismError
from tenuto.steps import WorkflowEntrypoint, WorkflowStep
from tenuto.testing import WorkflowEnvironment
from tenuto.worker import Worker
from tests.support.durable import until


@workflow.defn
class Careless:
    @workflow.run
    async def run(self, number: int) -> int:
        await asyncio.sleep(60)
        assert number == 42, "wrong number"
        return number


@workflow.defn
class Buggy:
    @workflow.run
    async def run(self) -> Any:
        return {}["missing"]


@workflow.defn(name="Buggy")
class Mended:
    @workflow.run
    async def run(self) -> str:
        return "mended"


@workflow.defn
class Parent:
    @workflow.run
    async def run(self) -> Any:
        return await workflow.execute_child_workflow(Careless.run, 7, id=f"{workflow.info().workflow_id}-child")


@workflow.defn
class Fails:
    @workflow.run
    async def run(self) -> None:
        raise ApplicationError("as it should")


@workflow.defn
class Calls:
    @workflow.run
    async def run(self) -> None:
        await workflow.execute_activity("check")


@activity.defn(name="check")
async def check() -> None:
    assert 1 + 1 == 3, "sums are hard"


@activity.defn(name="check")
def check_in_a_thread() -> None:
    assert 1 + 1 == 3, "sums are hard"


def lines(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


async def test_an_assertion_in_a_workflow_is_raised_as_it_was() -> None:
    with pytest.raises(AssertionError, match="wrong number") as caught:
        async with (
            WorkflowEnvironment.start_time_skipping() as env,
            Worker(env.client, workflows=[Careless]),
        ):
            await env.client.execute_workflow(Careless.run, 41, id="w")
    assert 'assert number == 42, "wrong number"' in lines(caught.value)
    assert "workflow 'w' (Careless)" in caught.value.__notes__[0]


async def test_an_assertion_in_a_child_reaches_whoever_waits_for_the_parent() -> None:
    with pytest.raises(AssertionError, match="wrong number"):
        async with (
            WorkflowEnvironment.start_time_skipping() as env,
            Worker(env.client, workflows=[Careless, Parent]),
        ):
            await env.client.execute_workflow(Parent.run, id="p")


@pytest.mark.parametrize("function", [check, check_in_a_thread])
async def test_an_assertion_in_an_activity_is_not_retried(function: Any) -> None:
    with pytest.raises(AssertionError, match="sums are hard") as caught:
        async with (
            WorkflowEnvironment.start_time_skipping() as env,
            Worker(env.client, workflows=[Calls], activities=[function]),
        ):
            await env.client.execute_workflow(Calls.run, id="w")
    assert "1 + 1 == 3" in lines(caught.value)
    assert "activity 'check' of workflow 'w', attempt 1" in caught.value.__notes__[0]


async def test_an_assertion_ends_a_block_that_waits_for_something_else() -> None:
    with pytest.raises(AssertionError, match="sums are hard"):
        async with (
            WorkflowEnvironment.start_time_skipping() as env,
            Worker(env.client, workflows=[Calls], activities=[check]),
        ):
            await env.client.start_workflow(Calls.run, id="w")
            await asyncio.Event().wait()


async def test_an_assertion_is_raised_where_workflow_code_may_fail_of_anything() -> None:
    with pytest.raises(AssertionError, match="wrong number"):
        async with (
            WorkflowEnvironment.start_time_skipping() as env,
            Worker(env.client, workflows=[Careless], workflow_failure_exception_types=[Exception]),
        ):
            await env.client.execute_workflow(Careless.run, 1, id="w")


async def test_stuck_code_raises_its_own_exception() -> None:
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Buggy, Fails]),
    ):
        with pytest.raises(KeyError, match="missing") as caught:
            await env.client.execute_workflow(Buggy.run, id="w")
        assert '{}["missing"]' in lines(caught.value)
        assert "until its code is put right" in caught.value.__notes__[0]


async def test_a_workflow_that_is_put_right_goes_on() -> None:
    async with WorkflowEnvironment.start_time_skipping() as env:
        async with Worker(env.client, workflows=[Buggy]):
            handle = await env.client.start_workflow(Buggy.run, id="w")

            async def problem() -> str | None:
                return (await handle.describe()).problem

            assert "KeyError" in await until(problem)
        async with Worker(env.client, workflows=[Mended]):
            await until(lambda: is_completed(handle))
            assert await handle.result() == "mended"


async def test_a_stuck_workflow_that_is_ended_is_forgotten() -> None:
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Buggy, Careless]),
    ):
        stuck = await env.client.start_workflow(Buggy.run, id="w")
        with pytest.raises(KeyError):
            await stuck.result()
        await stuck.terminate()
        assert await env.client.execute_workflow(Careless.run, 42, id="c") == 42


async def is_completed(handle: Any) -> bool:
    return (await handle.describe()).status.name == "COMPLETED"


async def test_what_the_worker_has_not_got_is_an_error() -> None:
    with pytest.raises(ApplicationError, match="activity 'check' is not registered with the worker of task queue"):
        async with (
            WorkflowEnvironment.start_time_skipping() as env,
            Worker(env.client, workflows=[Calls], activities=[step]),
        ):
            await env.client.execute_workflow(Calls.run, id="w")
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Fails]),
    ):
        with pytest.raises(ApplicationError, match="workflow type 'Calls' is not registered"):
            await env.client.execute_workflow(Calls.run, id="w")


async def test_a_workflow_that_fails_is_no_fault_of_the_test() -> None:
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[Fails]),
    ):
        with pytest.raises(WorkflowFailureError):
            await env.client.execute_workflow(Fails.run, id="w")


async def test_of_two_environments_each_has_its_own() -> None:
    async with WorkflowEnvironment.start_time_skipping() as other, Worker(other.client, workflows=[Fails]):
        with pytest.raises(AssertionError):
            async with (
                WorkflowEnvironment.start_time_skipping() as env,
                Worker(env.client, workflows=[Careless]),
            ):
                await env.client.execute_workflow(Careless.run, 41, id="w")
        with pytest.raises(WorkflowFailureError):
            await other.client.execute_workflow(Fails.run, id="w")


# -- always replay -----------------------------------------------------------------------------------------------------


@workflow.defn
class Fickle:
    """Decides by something that is not the same the next time."""

    calls = 0

    @workflow.run
    async def run(self) -> None:
        Fickle.calls += 1
        if Fickle.calls % 2:
            await asyncio.sleep(1)
        await workflow.execute_activity("step")


class FickleSteps(WorkflowEntrypoint):
    """The name of a step is not the same the next time."""

    calls = 0

    async def run(self, event: Any, step: WorkflowStep) -> Any:
        FickleSteps.calls += 1
        await step.do(f"fetch {FickleSteps.calls}", lambda: 1)
        await step.sleep("a nap", "1 hour")


@workflow.defn
class Steady:
    def __init__(self) -> None:
        self.seen: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        for _ in range(3):
            await asyncio.sleep(workflow.random().randint(1, 100))
            self.seen.append(str(await workflow.execute_activity("step", result_type=int)))
        await workflow.wait_condition(lambda: "end" in self.seen)
        return self.seen

    @workflow.signal
    def say(self, word: str) -> None:
        self.seen.append(word)

    @workflow.update
    async def ask(self, word: str) -> str:
        await asyncio.sleep(1)
        self.seen.append(word)
        return word

    @workflow.query
    def so_far(self) -> list[str]:
        return self.seen


@activity.defn(name="step")
async def step() -> int:
    return random.randint(1, 6)


async def test_without_it_fickle_code_is_not_noticed() -> None:
    async with (
        WorkflowEnvironment.start_time_skipping(always_replay=False) as env,
        Worker(env.client, workflows=[Fickle], activities=[step]),
    ):
        await env.client.execute_workflow(Fickle.run, id="w")


async def test_always_replay_finds_fickle_code() -> None:
    async with (
        WorkflowEnvironment.start_time_skipping(always_replay=True) as env,
        Worker(env.client, workflows=[Fickle], activities=[step]),
    ):
        with pytest.raises(NondeterminismError, match="recorded event"):
            await env.client.execute_workflow(Fickle.run, id="w")


async def test_always_replay_finds_fickle_names_of_steps() -> None:
    async with (
        WorkflowEnvironment.start_time_skipping(always_replay=True) as env,
        Worker(env.client, workflows=[FickleSteps]),
    ):
        with pytest.raises(
            NondeterminismError, match=r"activity_id='fetch 1-1'\), which the same code does not ask for"
        ):
            await env.client.execute_workflow(FickleSteps, id="w")


async def test_always_replay_is_no_hindrance_to_code_that_is_right() -> None:
    async with (
        WorkflowEnvironment.start_time_skipping(always_replay=True) as env,
        Worker(env.client, workflows=[Steady, Careless, Parent], activities=[step]),
    ):
        handle = await env.client.start_workflow(Steady.run, id="w")
        await handle.signal(Steady.say, "hello")
        assert await handle.execute_update(Steady.ask, "why") == "why"
        await env.sleep(1000)
        assert len(await handle.query(Steady.so_far)) == 5
        await handle.signal(Steady.say, "end")
        assert len(await handle.result()) == 6
        assert await env.client.execute_workflow(Careless.run, 42, id="c") == 42
