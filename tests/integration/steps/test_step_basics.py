"""Steps run, and what they leave behind: results, waits, sleeps, in memory and on PostgreSQL."""

from __future__ import annotations

import asyncio
import copy
from datetime import date
from typing import Any

import pytest

from tenuto import activity, workflow
from tenuto.client import Client
from tenuto.exceptions import ApplicationError, ChildWorkflowError
from tenuto.steps import WorkflowEntrypoint, WorkflowStep, WorkflowTimeoutError
from tenuto.worker import Worker
from tests.support.durable import an_id, failure_of, serving, shape
from tests.support.postgres import postgres_url


class Publish(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        image = await step.do("fetch", lambda: self.env["BUCKET"][event.payload["key"]])

        async def describe(ctx: Any) -> str:
            if ctx.attempt < 3:
                raise ValueError("not yet")
            return f"{image}, attempt {ctx.attempt} of {ctx.step.name}-{ctx.step.count}"

        retries = {"limit": 10, "delay": "1 ms", "backoff": "exponential"}
        text = await step.do("describe", {"retries": retries, "timeout": "5 minutes"}, describe)
        approval = await step.wait_for_event("await approval", type="approved", timeout="24h")
        await step.sleep("cool down", "5 ms")
        return [text, approval.payload, approval.type]


async def run(client: Client, workflow: type[WorkflowEntrypoint], payload: Any = None) -> Any:
    return await client.execute_workflow(workflow, payload, id=an_id())


@pytest.mark.parametrize("cached", [1000, 0])
@pytest.mark.parametrize("store", ["memory", "postgres"])
async def test_steps_sleeps_and_waits_run_to_the_end(store: str, cached: int) -> None:
    async def publish(url: str) -> None:
        async with serving(Publish, url=url, env={"BUCKET": {"k": "a cat"}}, max_cached_workflows=cached) as client:
            handle = await client.start_workflow(Publish, {"key": "k"}, id=an_id())
            await handle.signal("approved", {"by": "Ada"})
            assert await handle.result() == ["a cat, attempt 3 of describe-1", {"by": "Ada"}, "approved"]
            assert [line for line in await shape(handle) if not line.startswith("Task")] == [
                "Started",
                *(["ActivityScheduled", "Signaled", "ActivityStarted", "ActivityCompleted"]),
                *(["ActivityScheduled", "ActivityStarted", "ActivityCompleted"]),
                *(["TimerStarted", "TimerFired", "Completed"]),
            ] or store == "postgres"

    if store == "memory":
        await publish("memory://")
    else:
        with postgres_url() as url:
            await publish(url)


async def test_many_steps_of_one_name_run_at_the_same_time() -> None:
    class FanOut(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            return await asyncio.gather(*(step.do("square", lambda n=n: n * n) for n in range(event.payload)))

    async with serving(FanOut) as client:
        assert await run(client, FanOut, 2_500) == [n * n for n in range(2_500)]


async def test_a_wait_that_timed_out_does_not_swallow_the_next_event() -> None:
    class Waits(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            said = []
            try:
                await step.wait_for_event("first", type="go", timeout=0.01)
            except WorkflowTimeoutError as error:
                said.append(error.name)
            await step.do("timed out", lambda: timed_out.set())
            said.append((await step.wait_for_event("second", event_type="go"))["payload"])
            said.append((await step.wait_for_event("third", {"type": "go", "timeout": "1 minute"})).payload)
            return said

    timed_out = asyncio.Event()
    loop = asyncio.get_running_loop()
    timed_out.set = lambda set=timed_out.set: loop.call_soon_threadsafe(set) and None  # type: ignore[method-assign]
    async with serving(Waits, max_cached_workflows=0) as client:
        handle = await client.start_workflow(Waits, id=an_id())
        await timed_out.wait()
        for number in (1, 2):
            await handle.signal("go", number)
        assert await handle.result() == ["WorkflowTimeoutError", 1, 2]


async def test_the_event_says_who_and_when_and_cannot_be_changed() -> None:
    class Tells(WorkflowEntrypoint, name="teller"):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            with pytest.raises(TypeError, match="read-only"):
                event.payload["list"].append(3)
            with pytest.raises(TypeError, match="read-only"):
                event["payload"]["list"] = []
            assert event.timestamp.tzinfo is not None
            copied = copy.deepcopy(event.payload)
            copied["list"].append(3)
            assert await step.do("store", lambda: event) == {
                **event,
                "timestamp": event.timestamp.isoformat().replace("+00:00", "Z"),
            }
            return [event.instance_id == event["instanceId"], event["workflow_name"], event.payload]

    async with serving(Tells) as client:
        assert await run(client, Tells, {"list": [1, 2]}) == [True, "teller", {"list": [1, 2]}]


@activity.defn
async def double(n: int) -> int:
    return 2 * n


class AddsOne(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        return await step.do("add one", {"retries": {"limit": 0}}, lambda: event.payload + 1)


@workflow.defn
class Both:
    """Durable code that uses steps as a child."""

    @workflow.run
    async def run(self, n: Any) -> Any:
        return await double(await workflow.execute_child_workflow(AddsOne, n))


async def test_a_worker_runs_entrypoints_beside_other_workflows() -> None:
    async with serving(Both, AddsOne, activities=[double]) as client:
        assert await client.execute_workflow(Both.run, 3, id=an_id()) == 8
        error = await failure_of(client.execute_workflow(Both.run, "three", id=an_id()))
    assert isinstance(error, ChildWorkflowError)
    assert isinstance(error.cause, ApplicationError)
    assert error.cause.type == "TypeError"


async def test_what_is_no_entrypoint_is_refused() -> None:
    class Base(WorkflowEntrypoint):
        """Without a run method of its own."""

    async with await Client.connect("memory://") as client:
        with pytest.raises(TypeError, match="give it a run method"):
            Worker(client, workflows=[Base])
    with pytest.raises(TypeError, match="must be 'async def run"):

        class Sync(WorkflowEntrypoint):
            def run(self, event: Any, step: WorkflowStep) -> Any: ...  # type: ignore[override]


async def test_a_base_class_may_have_the_run_method() -> None:
    class Base(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            return await step.do("work", self.work)

        def work(self) -> str:
            return "base"

    class Derived(Base):
        def __init__(self) -> None:
            self.made = f"derived in {self.env.place}"

        def work(self) -> str:
            return self.made

    async with serving(Base, Derived, env={"place": "here"}) as client:
        assert [await run(client, each) for each in (Base, Derived)] == ["base", "derived in here"]


async def test_a_result_has_the_type_that_the_callback_says() -> None:
    class Typed(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            async def tomorrow() -> date:
                return date(2026, 11, 22)

            return (await step.do("date", tomorrow)).year

    async with serving(Typed) as client:
        assert await run(client, Typed) == 2026
