"""Instances of steps are looked into, and what their steps do is changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tenuto.client import Client
from tenuto.model.events import ActivityTaskFailed, ActivityTaskStarted
from tenuto.steps import NonRetryableError, WorkflowEntrypoint, WorkflowStep, WorkflowTimeoutError
from tenuto.steps.binding import Workflow
from tenuto.testing import (
    UnreachableError,
    WorkflowEnvironment,
    introspect_workflow,
    introspect_workflow_instance,
)
from tenuto.worker import Worker
from tests.support.durable import an_id

ran: list[str] = []


class Publish(WorkflowEntrypoint):
    """Fetches, waits for an approval, sleeps and publishes."""

    async def run(self, event: Any, step: WorkflowStep) -> Any:
        async def fetch() -> str:
            ran.append("fetch")
            return f"image of {event.payload}"

        image = await step.do("fetch", fetch)
        try:
            approval = await step.wait_for_event("approval", type="approved", timeout="24h")
        except WorkflowTimeoutError:
            return "not approved"
        await step.sleep("cool down", "7 days")
        retries = {"retries": {"limit": 2, "delay": "1 hour", "backoff": "constant"}}
        await step.do("publish", retries, lambda: ran.append("publish"))
        return [image, approval.payload]


class Fails(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        await step.do("fine", lambda: 1)
        await step.do("hopeless", lambda: _raise(NonRetryableError("no use", "Hopeless")))


class Twice(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        return [await step.do("throw", lambda: 6), await step.do("throw", lambda: 6)]


class Careless(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        return await step.do("check", lambda: _check(3))


def _raise(error: Exception) -> None:
    raise error


def _check(number: int) -> None:
    assert number == 2, "that is not two"


@asynccontextmanager
async def publishing(cls: type[WorkflowEntrypoint] = Publish) -> AsyncIterator[tuple[WorkflowEnvironment, Workflow]]:
    ran.clear()
    async with (
        WorkflowEnvironment.start_time_skipping() as env,
        Worker(env.client, workflows=[cls]),
    ):
        yield env, Workflow(env.client, cls)


async def events_of(env: WorkflowEnvironment, id: str) -> list[Any]:
    return list((await env.client.get_workflow_handle(id).fetch_history()).events)


async def test_the_happy_path_with_mocks() -> None:
    async with publishing() as (env, publish), introspect_workflow_instance(publish, "p") as instance:
        before = await env.get_current_time()

        async def change(m: Any) -> None:
            await m.disable_sleeps()
            await m.mock_step_result("fetch", "a cat")
            m.mock_event("approved", {"by": "Ada"})

        await instance.modify(change)
        await publish.create("p", "x")
        assert await instance.wait_for_step_result("fetch") == "a cat"
        assert (await instance.wait_for_status("complete")).output == ["a cat", {"by": "Ada"}]
        assert await instance.get_output() == ["a cat", {"by": "Ada"}]
        assert ran == ["publish"]
        assert ((await env.get_current_time()) - before).total_seconds() < 60
        events = await events_of(env, "p")
        assert sum(isinstance(event, ActivityTaskStarted) for event in events) == 2, "mocked steps are on record"


async def test_events_can_be_sent_before_and_after_it_was_created() -> None:
    async with publishing() as (_, publish), introspect_workflow_instance(publish, "p") as instance:
        await publish.create("p", "x")
        assert await instance.wait_for_step_result({"name": "fetch"}) == "image of x"
        await instance.wait_for_status("waiting")
        await instance.modify(lambda m: m.mock_event({"type": "approved", "payload": 7}))
        assert await instance.get_output() == ["image of x", 7]


async def test_waiting_for_a_step_lets_no_more_time_pass_than_that_takes() -> None:
    async with publishing() as (_, publish):
        for n in range(20):
            id = f"p-{n}"
            async with introspect_workflow_instance(publish, id) as instance:
                await publish.create(id, "x")
                await instance.wait_for_step_result("fetch")
                await (await publish.get(id)).send_event("approved", n)
                assert await instance.get_output() == ["image of x", n]


async def test_errors_count_up() -> None:
    async with publishing() as (env, publish), introspect_workflow_instance(publish, "p") as instance:

        def change(m: Any) -> None:
            m.mock_step_error("fetch", ValueError("first"), times=1)
            m.force_step_timeout("fetch", times=2)
            m.mock_step_error("fetch", RuntimeError("last"), times=1)
            m.mock_step_result("fetch", "at last")
            m.disable_retry_delays()
            m.mock_event("approved")

        await instance.modify(change)
        before = await env.get_current_time()
        await publish.create("p")
        assert await instance.wait_for_step_result("fetch") == "at last"
        assert ((await env.get_current_time()) - before).total_seconds() < 60
        started = next(event for event in await events_of(env, "p") if isinstance(event, ActivityTaskStarted))
        assert started.attempt == 5
        assert "RuntimeError" in str(started.last_failure)


async def test_every_attempt_can_fail() -> None:
    async with publishing() as (env, publish), introspect_workflow_instance(publish, "p") as instance:
        await instance.modify(lambda m: m.mock_step_error("publish", ConnectionError("down")))
        await instance.modify(lambda m: m.mock_event("approved"))
        await publish.create("p")
        with pytest.raises(ConnectionError, match="down"):
            await instance.wait_for_step_result("publish")
        error = await instance.get_error()
        assert (error.name, error.message) == ("ConnectionError", "down")
        failed = next(event for event in await events_of(env, "p") if isinstance(event, ActivityTaskFailed))
        assert failed.retry_state.name != "IN_PROGRESS"
        assert ran == ["fetch"]


async def test_a_time_out_of_every_attempt() -> None:
    async with publishing() as (_, publish), introspect_workflow_instance(publish, "p") as instance:
        await instance.modify(lambda m: m.force_step_timeout("fetch"))
        await publish.create("p")
        assert (await instance.get_error()).name == "WorkflowTimeoutError"


async def test_a_wait_that_times_out_at_once() -> None:
    async with publishing() as (env, publish), introspect_workflow_instance(publish, "p") as instance:
        before = await env.get_current_time()
        await instance.modify(lambda m: m.force_event_timeout("approval"))
        await publish.create("p")
        assert await instance.get_output() == "not approved"
        assert ((await env.get_current_time()) - before).total_seconds() < 60


async def test_what_cannot_come_is_refused_at_once() -> None:
    async with publishing(Fails) as (_, fails), introspect_workflow_instance(fails, "f") as instance:
        await fails.create("f")
        with pytest.raises(UnreachableError, match=r"'f' of 'Fails' is errored \(Hopeless: no use\) and will never be"):
            await instance.wait_for_status("complete")
        with pytest.raises(UnreachableError, match="has not done step 'other-1'"):
            await instance.wait_for_step_result("other")
        with pytest.raises(UnreachableError, match="has no output"):
            await instance.get_output()
        with pytest.raises(NonRetryableError, match="no use"):
            await instance.wait_for_step_result("hopeless")
        with pytest.raises(ValueError, match="'done' is no status"):
            await instance.wait_for_status("done")  # type: ignore[arg-type]
        assert (await instance.wait_for_status("errored")).error is not None
    async with publishing(Twice) as (_, twice), introspect_workflow_instance(twice, "t") as instance:
        await twice.create("t")
        with pytest.raises(UnreachableError, match="has no error"):
            await instance.get_error()


async def test_steps_of_one_name_are_told_apart() -> None:
    async with publishing(Twice) as (_, twice), introspect_workflow_instance(twice, "t") as instance:
        await instance.modify(lambda m: m.mock_step_result(("throw", 2), 1))
        await twice.create("t")
        assert await instance.get_output() == [6, 1]
        assert await instance.wait_for_step_result({"name": "throw", "index": 2}) == 1


async def test_all_instances_of_a_workflow() -> None:
    async with publishing() as (_, publish), introspect_workflow(publish) as workflow:
        await workflow.modify_all(lambda m: m.mock_event("approved", "all"))
        await publish.create("a", 1)
        await workflow.modify_all(lambda m: m.disable_sleeps(["cool down"]))
        await publish.create_batch([{"id": "b", "params": 2}, {"id": "c", "params": 3}])
        found = workflow.get()
        assert sorted(instance.id for instance in found) == ["a", "b", "c"]
        outputs = sorted([await instance.get_output() for instance in found])
        assert outputs == [["image of 1", "all"], ["image of 2", "all"], ["image of 3", "all"]]


async def test_one_session_at_a_time() -> None:
    async with publishing() as (env, publish):
        gateway = env.client.gateway
        async with introspect_workflow_instance(publish, "p"), introspect_workflow(publish):
            with pytest.raises(ValueError, match="'p' of 'Publish' is being introspected already"):
                introspect_workflow_instance(publish, "p")
            with pytest.raises(ValueError, match="'Publish' is being introspected already"):
                introspect_workflow(publish)
        assert env.client.gateway is gateway
        assert env.client.step_hooks is None
        instance = introspect_workflow_instance(publish, "p")
        await instance.modify(lambda m: m.mock_step_result("fetch", "mocked"))
        await instance.dispose()
        await publish.create("p", "x")
        await (await publish.get("p")).send_event("approved")
        assert (await env.client.get_workflow_handle("p").result())[0] == "image of x"


async def test_modifications_that_contradict_each_other() -> None:
    async with publishing() as (_, publish), introspect_workflow_instance(publish, "p") as instance:

        def change(m: Any) -> None:
            m.mock_step_result("a", 1)
            with pytest.raises(ValueError, match="'a' has a mocked result already"):
                m.mock_step_result("a", 2)
            with pytest.raises(ValueError, match="'a' has a mocked result; say how it fails before"):
                m.mock_step_error("a", ValueError("no"))
            m.force_step_timeout(("b", 2))
            with pytest.raises(ValueError, match=r"'b' \(2\) fails in every attempt"):
                m.mock_step_error(("b", 2), ValueError("no"), 1)
            with pytest.raises(ValueError, match="fails in every attempt, so"):
                m.mock_step_result(("b", 2), 1)
            with pytest.raises(ValueError, match="1 or more"):
                m.force_step_timeout("c", 0)
            for nonsense in (1, ("a",), ("a", 0), {"index": 1}):
                with pytest.raises(ValueError, match="a step is a name"):
                    m.disable_sleeps([nonsense])

        await instance.modify(change)


async def test_an_assertion_in_a_step_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="that is not two") as caught:
        async with publishing(Careless) as (_, careless), introspect_workflow_instance(careless, "c") as instance:
            await careless.create("c")
            await instance.get_output()
    assert caught.traceback[-1].name == "_check"


async def test_without_an_environment() -> None:
    async with (
        await Client.connect("memory://") as client,
        Worker(client, workflows=[Publish]),
    ):
        publish = Workflow(client, Publish)
        id = an_id()
        async with introspect_workflow_instance(publish, id) as instance:
            await instance.modify(lambda m: m.disable_sleeps())
            await instance.modify(lambda m: m.mock_event("approved", 1))
            waiting = asyncio.create_task(instance.get_output())
            await publish.create(id, "y")
            assert await waiting == ["image of y", 1]
