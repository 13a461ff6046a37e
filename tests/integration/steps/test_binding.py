"""Instances are started, found and looked after through a binding."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from tenuto.client import Client
from tenuto.steps import (
    InstanceError,
    NonRetryableError,
    Workflow,
    WorkflowEntrypoint,
    WorkflowInstance,
    WorkflowInstanceError,
    WorkflowStep,
)
from tenuto.testing.clock import ManualClock
from tenuto.worker import Worker
from tests.support.durable import an_id, until
from tests.support.postgres import postgres_url

began: list[Any] = []
go_on = asyncio.Event()


@pytest.fixture(autouse=True)
def _fresh() -> None:
    global go_on
    began.clear()
    go_on = asyncio.Event()


class Publish(WorkflowEntrypoint):
    """A step that the test lets end, a wait, and a sleep."""

    async def run(self, event: Any, step: WorkflowStep) -> Any:
        async def held() -> str:
            began.append(event.instance_id)
            await go_on.wait()
            return "held"

        await step.do("hold", held)
        approved = await step.wait_for_event("approval", type="approved")
        await step.sleep("cool down", "7 days")
        return [event.payload, approved.payload]


class Fails(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        def undo(what: Any) -> None:
            began.append(f"undo {what.step.name}")

        def fail() -> None:
            raise NonRetryableError("no such page", "PageError")

        await step.do("begin", lambda: "begun", rollback=undo)
        await step.wait_for_event("go", type="go")
        await step.do("fail", fail)


class Other(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        return event.payload


class Parent(WorkflowEntrypoint):
    async def run(self, event: Any, step: WorkflowStep) -> Any:
        async def create() -> str:
            return (await self.env["OTHER"].create(params={"from": event.instance_id})).id

        child = await step.do("create", create)

        async def output() -> Any:
            status = await (await self.env["OTHER"].get(child)).status()
            if status.status != "complete":
                raise ValueError(status.status)
            return status.output

        return await step.do("output", {"retries": {"limit": 100, "delay": 0.01, "backoff": "constant"}}, output)


@pytest.fixture(params=[1000, 0], ids=["cached", "evicted"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    async with (
        await Client.connect("memory://", clock=ManualClock()) as client,
        Worker(client, workflows=[Publish, Fails, Other], max_cached_workflows=request.param),
    ):
        yield client


def clock_of(client: Client) -> ManualClock:
    clock = client.gateway.clock
    assert isinstance(clock, ManualClock)
    return clock


async def stands(instance: WorkflowInstance, status: str) -> None:
    async def so() -> bool:
        return (await instance.status()).status == status

    await until(so)


async def refused(request: Awaitable[Any], code: str) -> str:
    with pytest.raises(WorkflowInstanceError) as caught:
        await request
    assert caught.value.code == f"instance.{code}"
    return str(caught.value)


async def test_an_instance_from_its_creation_to_its_end(client: Client) -> None:
    publish = Workflow(client, Publish)
    instance = await publish.create(params={"key": "a"})
    await stands(instance, "running")
    await until(lambda: began == [instance.id])
    go_on.set()
    await stands(instance, "waiting")
    await instance.send_event("approved", {"by": "Ada"})
    clock_of(client).advance(0.01)
    await stands(instance, "waiting")
    clock_of(client).advance(7 * 86_400)
    await stands(instance, "complete")
    status = await (await publish.get(instance.id)).status()
    assert (status.output, status.error) == ([{"key": "a"}, {"by": "Ada"}], None)


async def test_the_payload_of_an_event_has_a_limit(client: Client) -> None:
    instance = await Workflow(client, Fails).create()
    with pytest.raises(ValueError, match=r"payload of event 'go' has 1,048,577 bytes.*tenuto\.storage"):
        await instance.send_event("go", "x" * (1024 * 1024 - 1))
    await instance.send_event("go", "x" * (1024 * 1024 - 2))
    await stands(instance, "errored")


async def test_what_an_instance_failed_with(client: Client) -> None:
    instance = await Workflow(client, Fails).create()
    await instance.send_event({"type": "go", "payload": None})
    await stands(instance, "errored")
    status = await instance.status()
    assert status.error is not None
    assert (status.error.name, status.error.message) == ("PageError", "no such page")
    assert status.rollback is not None
    assert (status.rollback.status, status.rollback.done) == ("complete", ["begin"])
    assert status.output is None
    assert began == ["undo begin"]


async def test_ids_are_checked_and_taken_once(client: Client) -> None:
    publish, id = Workflow(client, Publish), an_id()
    assert (await publish.create(id)).id == id
    assert id in await refused(publish.create(id=id), "already_exists")
    await refused(Workflow(client, Other).create(id), "already_exists")
    for bad in ("", "-a", "a b", "a" * 101, "ä", 5):
        with pytest.raises(ValueError, match="can't be the id"):
            await publish.create(bad)  # type: ignore[arg-type]
    assert len((await publish.create()).id) == 36


async def test_an_id_is_taken_also_by_what_has_ended(client: Client) -> None:
    other, id = Workflow(client, Other), an_id()
    await stands(await other.create(id, "x"), "complete")
    await refused(other.create(id), "already_exists")


async def test_a_batch_skips_what_is_there(client: Client) -> None:
    other = Workflow(client, Other)
    ids = [an_id() for _ in range(100)]
    await other.create(ids[3])
    made = await other.create_batch([{"id": id, "params": number} for number, id in enumerate(ids)])
    assert [instance.id for instance in made] == ids[:3] + ids[4:]
    await stands(made[-1], "complete")
    assert (await made[-1].status()).output == 99
    assert await other.create_batch([{"id": ids[0]}]) == []
    twice = an_id()
    assert len(await other.create_batch([{"id": twice}, {"id": twice}, {"params": 1}, {}])) == 3


async def test_a_batch_is_refused_as_a_whole(client: Client) -> None:
    other, id = Workflow(client, Other), an_id()
    for batch in ([], [{}] * 101, [{"id": id}, {"id": "a b"}], [{"id": id, "param": 1}]):
        with pytest.raises(ValueError, match=r"batch|can't be the id"):
            await other.create_batch(batch)
    with pytest.raises(TypeError):
        await other.create_batch([{"id": id}, {"params": object()}])
    await refused(other.get(id), "not_found")


async def test_get_finds_only_instances_of_this_workflow(client: Client) -> None:
    instance = await Workflow(client, Other).create()
    await refused(Workflow(client, Publish).get(instance.id), "not_found")
    await refused(Workflow(client, Other).get("nobody"), "not_found")
    assert (await Workflow(client, "Other").get(instance.id)).id == instance.id


async def test_pause_lets_the_step_end_that_runs(client: Client) -> None:
    instance = await Workflow(client, Publish).create()
    await until(lambda: began)
    await instance.pause()
    assert (await instance.status()).status == "waitingForPause"
    await refused(instance.pause(), "cannot_pause")
    go_on.set()
    await stands(instance, "paused")
    assert "is paused and can't be paused" in await refused(instance.pause(), "cannot_pause")
    await instance.send_event("approved", 1)
    await instance.resume()
    await stands(instance, "waiting")
    await refused(instance.resume(), "cannot_resume")


async def test_resuming_before_the_pause_begins_only_cancels_it(client: Client) -> None:
    instance = await Workflow(client, Publish).create()
    await until(lambda: began)
    await instance.pause()
    await instance.resume()
    assert (await instance.status()).status == "running"
    go_on.set()
    await stands(instance, "waiting")
    assert len(began) == 1


async def test_a_sleep_stands_still_while_paused(client: Client) -> None:
    go_on.set()
    instance = await Workflow(client, Publish).create()
    await instance.send_event("approved")
    await stands(instance, "waiting")
    clock_of(client).advance(3 * 86_400)
    await instance.pause()
    assert (await instance.status()).status == "paused"
    clock_of(client).advance(30 * 86_400)
    await instance.resume()
    assert (await instance.status()).status in ("running", "waiting")
    clock_of(client).advance(4 * 86_400 - 60)
    await stands(instance, "waiting")
    clock_of(client).advance(61)
    await stands(instance, "complete")


async def test_terminating_and_what_can_be_done_afterwards(client: Client) -> None:
    instance = await Workflow(client, Publish).create()
    await until(lambda: began)
    await instance.terminate()
    await stands(instance, "terminated")
    for request, code in (
        (instance.terminate(), "cannot_terminate"),
        (instance.pause(), "cannot_pause"),
        (instance.resume(), "cannot_resume"),
        (instance.send_event("approved"), "cannot_send_event"),
    ):
        assert "is terminated" in await refused(request, code)


@pytest.mark.parametrize("paused", [False, True])
async def test_terminating_with_rollbacks(client: Client, paused: bool) -> None:
    instance = await Workflow(client, Fails).create()
    await stands(instance, "waiting")
    if paused:
        await instance.pause()
    await instance.terminate(rollback=True)
    await stands(instance, "terminated")
    status = await instance.status()
    assert status.rollback is not None
    assert (status.rollback.status, status.rollback.done) == ("complete", ["begin"])
    assert status.error is None
    assert began == ["undo begin"]


async def test_events_that_cant_be(client: Client) -> None:
    instance = await Workflow(client, Publish).create()
    for type in ("", "__tenuto_x", 5, "a" * 5_000):
        with pytest.raises(ValueError, match="can't be the type"):
            await instance.send_event(type)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no payloads"):
        await instance.send_event({"type": "a", "payloads": 1})


@pytest.mark.parametrize("store", ["memory", "sqlite", "postgres"])
async def test_deleting_frees_the_id(store: str, tmp_path: Path) -> None:
    with postgres_url() if store == "postgres" else nullcontext(f"sqlite:///{tmp_path}/a.db") as url:
        address = "memory://" if store == "memory" else url
        async with await Client.connect(address) as client, Worker(client, workflows=[Other, Publish]):
            other, id = Workflow(client, Other), an_id()
            instance = await other.create(id, 1)
            await stands(instance, "complete")
            for _ in range(2):
                await instance.restart()
                await stands(instance, "complete")
            await instance.delete()
            await refused(instance.status(), "not_found")
            await refused(instance.delete(), "not_found")
            assert [row async for row in client.list_workflows(f"WorkflowId = '{id}'")] == []
            again = await other.create(id, 2)
            await stands(again, "complete")
            assert (await again.status()).output == 2
            running = await Workflow(client, Publish).create()
            await refused(running.delete(), "cannot_delete")
            await running.terminate()
            await running.delete()
            await refused(running.status(), "not_found")


async def test_nobody_has_begun_an_instance_that_is_queued() -> None:
    async with await Client.connect("memory://") as client:
        other = Workflow(client, "Other")
        instance = await other.create(params=1)
        assert (await instance.status()).status == "queued"
        await instance.pause()
        assert (await instance.status()).status == "paused"
        async with Worker(client, workflows=[Other]):
            await instance.resume()
            await stands(instance, "complete")


async def test_a_binding_is_used_in_steps_of_others(tmp_path: Path) -> None:
    async with await Client.connect(f"sqlite:///{tmp_path}/a.db") as client:
        env = {"OTHER": Workflow(client, Other)}
        async with Worker(client, workflows=[Parent, Other], env=env):
            instance = await Workflow(client, Parent).create()
            await stands(instance, "complete")
            assert (await instance.status()).output == {"from": instance.id}


async def test_an_attempt_that_is_made_again_gets_the_instance_of_the_one_before() -> None:
    id = an_id()

    class Creates(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            async def create(ctx: Any) -> list[str]:
                made = [await self.env["OTHER"].create(id)]
                made += await self.env["OTHER"].create_batch([{"id": f"{id}-{number}"} for number in range(3)])
                if ctx.attempt == 1:
                    raise ValueError("the answer got lost")
                return [instance.id for instance in made]

            return await step.do("create", {"retries": {"limit": 1, "delay": 0}}, create)

    async with await Client.connect("memory://") as client:
        env = {"OTHER": Workflow(client, Other)}
        async with Worker(client, workflows=[Creates, Other], env=env):
            instance = await Workflow(client, Creates).create()
            await stands(instance, "complete")
            assert (await instance.status()).output == [id, f"{id}-0", f"{id}-1", f"{id}-2"]
            again = await Workflow(client, Creates).create()
            await stands(again, "errored")
            assert (await again.status()).error == InstanceError("WorkflowInstanceError", ANY)


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"step_limit": 0},
        {"step_limit": 25_001},
        {"result_limit": 0},
        {"result_limit": 1.5},
        {"concurrency": True},
    ],
)
async def test_limits_are_checked(client: Client, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Workflow(client, Publish, **wrong)


async def test_only_entrypoints_are_bound(client: Client) -> None:
    not_one: Callable[..., Any] = dict
    with pytest.raises(TypeError, match="not a workflow"):
        Workflow(client, not_one)  # type: ignore[arg-type]


async def test_limits_reach_the_instance(client: Client) -> None:
    class Long(WorkflowEntrypoint):
        async def run(self, event: Any, step: WorkflowStep) -> Any:
            for number in range(event.payload):
                await step.do("one", lambda number=number: number)
            return await step.do("large", lambda: "x" * 100)

    async with Worker(client, task_queue="long", workflows=[Long]):
        for options, message in (({"step_limit": 3}, "step_limit"), ({"result_limit": 50}, "'large'")):
            instance = await Workflow(client, Long, task_queue="long", **options).create(params=4)  # type: ignore[arg-type]
            await stands(instance, "errored")
            error = (await instance.status()).error
            assert error is not None
            assert message in error.message
