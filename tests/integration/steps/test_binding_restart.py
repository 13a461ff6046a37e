"""An instance is run again: from its beginning, or from a step on, with the outcomes of what came before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tenuto.client import Client
from tenuto.steps import (
    NonRetryableError,
    Workflow,
    WorkflowEntrypoint,
    WorkflowInstance,
    WorkflowInstanceError,
    WorkflowStep,
    WorkflowTimeoutError,
)
from tenuto.testing.clock import ManualClock
from tenuto.worker import Worker
from tests.support.durable import until

done: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    done.clear()


class Order(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        def did(what: str) -> str:
            done.append(what)
            return f"{what} {len(done)}"

        async def charge() -> str:
            done.append("charge")
            if self.env["BROKE"]:
                raise NonRetryableError("no money")
            return "charged"

        first = await step.do("item", lambda: did("first"))
        second = await step.do("item", lambda: did("second"))
        go = await step.wait_for_event("go", type="go")
        try:
            await step.wait_for_event("never", type="never", timeout=1)
        except WorkflowTimeoutError:
            late = True
        await step.sleep("rest", "1 day")
        return [event.payload, first, second, go.payload, late, await step.do("charge", charge)]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    env = {"BROKE": True}
    async with (
        await Client.connect("memory://", clock=ManualClock()) as client,
        Worker(client, workflows=[Order], env=env),
    ):
        yield client


async def stands(instance: WorkflowInstance, *statuses: str) -> None:
    async def so() -> bool:
        clock = instance._client.gateway.clock
        assert isinstance(clock, ManualClock)
        status = (await instance.status()).status
        if status == "waiting":
            clock.advance(3600)
        return status in statuses

    await until(so)


async def failed(client: Client) -> WorkflowInstance:
    """An order whose charge has failed."""
    instance = await Workflow(client, Order).create(params={"order": 1})
    await instance.send_event("go", "now")
    await stands(instance, "errored")
    assert done == ["first", "second", "charge"]
    return instance


async def test_from_the_beginning_everything_is_done_again(client: Client) -> None:
    instance = await failed(client)
    await instance.restart()
    await until(lambda: done == ["first", "second", "charge", "first", "second"])
    await instance.send_event("go", "again")
    await stands(instance, "errored")
    assert len(done) == 6


async def test_from_a_step_what_came_before_is_kept(client: Client) -> None:
    instance = await failed(client)
    for number in range(2):
        await instance.restart(from_step=("charge", 1))
        await until(lambda number=number: done[3:] == ["charge"] * (number + 1))
        await stands(instance, "errored")


@pytest.mark.parametrize(
    ("step", "again"),
    [
        (("item", 2), ["second"]),
        ("item", ["first", "second"]),
        ({"name": "item", "count": 2, "type": "do"}, ["second"]),
    ],
)
async def test_ways_to_name_a_step(client: Client, step: Any, again: list[str]) -> None:
    instance = await failed(client)
    await instance.restart(from_step=step)
    await until(lambda: done[3:] == again)
    await stands(instance, "waiting")


async def test_a_running_instance_is_ended_first(client: Client) -> None:
    order = Workflow(client, Order)
    instance = await order.create(params=1)
    await until(lambda: done == ["first", "second"])
    await instance.restart(from_step=("item", 2))
    await until(lambda: done == ["first", "second", "second"])
    await instance.pause()
    await instance.restart()
    await until(lambda: done[3:] == ["first", "second"])
    assert (await instance.status()).status in ("running", "waiting")


@pytest.mark.parametrize("step", [("charge", 2), ("nothing", 1), {"name": "charge", "type": "sleep"}])
async def test_a_step_that_it_has_not_come_to(client: Client, step: Any) -> None:
    instance = await failed(client)
    with pytest.raises(WorkflowInstanceError, match="those asked for so far: item-1, item-2, go-1") as caught:
        await instance.restart(from_step=step)
    assert caught.value.code == "instance.cannot_restart"


@pytest.mark.parametrize("step", [5, ("charge", "1"), {"count": 1}, {"name": "charge", "type": "cook"}])
async def test_what_names_no_step(client: Client, step: Any) -> None:
    instance = await failed(client)
    with pytest.raises(ValueError, match="names no step"):
        await instance.restart(from_step=step)
