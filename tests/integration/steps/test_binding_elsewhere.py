"""Bindings of processes that own nothing and have no code: everything goes through the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tenuto.client import Client
from tenuto.steps import Workflow, WorkflowEntrypoint, WorkflowInstance, WorkflowInstanceError, WorkflowStep
from tenuto.worker import Worker
from tests.support.durable import an_id, until
from tests.support.postgres import postgres_url

began: list[str] = []
undone: list[str] = []
go_on = asyncio.Event()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    global go_on
    go_on = asyncio.Event()
    began.clear()
    undone.clear()


class Publish(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        async def hold() -> str:
            began.append(event.instance_id)
            await go_on.wait()
            return "held"

        held = await step.do("hold", hold, rollback=lambda what: undone.append(what.step.name))
        approved = await step.wait_for_event("approval", type="approved")
        return [event.payload, held, approved.payload]


@pytest.fixture
async def publish() -> AsyncIterator[Workflow]:
    """As an onlooker has it; two other processes have the code."""
    with postgres_url() as url:
        async with (
            await Client.connect(url) as one,
            await Client.connect(url) as two,
            Worker(one, workflows=[Publish]),
            Worker(two, workflows=[Publish]),
            await Client.connect(url) as onlooker,
        ):
            yield Workflow(onlooker, "Publish")


async def stands(instance: WorkflowInstance, status: str) -> None:
    async def so() -> bool:
        return (await instance.status()).status == status

    await until(so, seconds=20)


async def test_instances_are_looked_after_from_elsewhere(publish: Workflow) -> None:
    instances = await publish.create_batch([{"id": an_id(), "params": number} for number in range(8)])
    await until(lambda: len(began) == 8, seconds=20)
    for instance in instances:
        await instance.pause()
    assert {(await instance.status()).status for instance in instances} == {"waitingForPause"}
    await instances[0].resume()
    go_on.set()
    await stands(instances[0], "waiting")
    for instance in instances[1:]:
        await stands(instance, "paused")
        await instance.send_event("approved", "yes")
        await instance.resume()
    for number, instance in enumerate(instances[1:], 1):
        await stands(instance, "complete")
        assert (await instance.status()).output == [number, "held", "yes"]
    assert len(began) == 8


async def test_restarts_rollbacks_and_deletions_from_elsewhere(publish: Workflow) -> None:
    go_on.set()
    instance = await publish.create(params=1)
    await stands(instance, "waiting")
    await instance.restart(from_step=("approval", 1))
    await stands(instance, "waiting")
    assert began == [instance.id]
    await instance.restart()
    await until(lambda: len(began) == 2, seconds=20)
    await stands(instance, "waiting")
    await instance.terminate(rollback=True)
    await stands(instance, "terminated")
    assert undone == ["hold"]
    await instance.delete()
    with pytest.raises(WorkflowInstanceError, match="no instance"):
        await publish.get(instance.id)
