"""Whatever is asked of instances, and wherever the process dies meanwhile: nothing is lost, nothing done twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

import pytest

from tenuto.model import events as ev
from tenuto.steps import Workflow, WorkflowEntrypoint, WorkflowInstance, WorkflowInstanceError, WorkflowStep
from tenuto.testing import WorkflowEnvironment, crash_points
from tenuto.worker import Worker
from tests.support.history_checker import check_history

ran: Counter[str] = Counter()
at_work = 0


class Held(WorkflowEntrypoint):
    """Two steps around a wait; no two instances may be in a step at a time."""

    async def run(self, event: Any, step: WorkflowStep) -> Any:
        async def work(name: str) -> str:
            global at_work
            at_work += 1
            try:
                assert at_work == 1
                await asyncio.sleep(0)
                ran[f"{event.instance_id} {name}"] += 1
                return name
            finally:
                at_work -= 1

        first = await step.do("first", lambda: work("first"))
        said = await step.wait_for_event("go", type="go")
        await step.sleep("rest", "1 hour")
        return [first, said.payload, await step.do("second", lambda: work("second"))]


async def ended(instance: WorkflowInstance) -> Any:
    """Its output, once it is complete."""
    await instance._handle.result()
    return (await instance.status()).output


async def made(held: Workflow, *ids: str) -> list[WorkflowInstance]:
    await held.create_batch([{"id": id} for id in ids])
    return [await held.get(id) for id in ids]


async def unless_done(request: Any) -> None:
    """A life before may have done it, and more."""
    with contextlib.suppress(WorkflowInstanceError):
        await request


@pytest.mark.timeout(300)
async def test_pauses_events_and_a_limit() -> None:
    async def scenario(env: WorkflowEnvironment) -> Any:
        global at_work
        at_work = 0
        async with Worker(env.client, workflows=[Held]):
            instances = await made(Workflow(env.client, Held, concurrency=1), "a", "b", "c")
            for instance in instances:
                await unless_done(instance.pause())
                await unless_done(instance.send_event("go", "gone"))
                await unless_done(instance.resume())
            return [await ended(instance) for instance in instances]

    async for point in crash_points(scenario):
        assert point.result == [["first", "gone", "second"]] * 3, str(point)
        for id in "abc":
            check_history((await point.env.client.get_workflow_handle(id).fetch_history()).events)
            assert ran[f"{id} first"] <= 2
        ran.clear()


@pytest.mark.timeout(300)
async def test_restarts_from_a_step() -> None:
    async def scenario(env: WorkflowEnvironment) -> Any:
        global at_work
        at_work = 0
        async with Worker(env.client, workflows=[Held]):
            (instance,) = await made(Workflow(env.client, Held), "a")
            await unless_done(instance.send_event("go", "gone"))
            await ended(instance)
            await instance.restart(from_step=("second", 1))
            return await ended(instance)

    async for point in crash_points(scenario):
        assert point.result == ["first", "gone", "second"], str(point)
        events = (await point.env.client.get_workflow_handle("a").fetch_history()).events
        check_history(events)
        assert sum(isinstance(event, ev.ActivityTaskScheduled) for event in events) == 1
        assert ran["a first"] <= 2
        ran.clear()
