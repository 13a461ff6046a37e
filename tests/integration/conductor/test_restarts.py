"""A server is stopped and started again on the same store: everything goes on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tenuto.server.settings import Settings
from tenuto.testing.clock import ManualClock
from tests.integration.server.conftest import served
from tests.support.conductor import Conductor, fork, loop, node, simple, sub_workflow, task_def, workflow

Start = Callable[[], AbstractAsyncContextManager[Conductor]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Each call is a server on the same file, and at the same clock."""
    clock = ManualClock()

    @asynccontextmanager
    async def started() -> Any:
        async with served(Settings(db=f"sqlite:///{tmp_path}/tenuto.db", port=0), clock) as running:
            yield Conductor(running.services, running.client, clock)

    return started


async def test_a_loop_in_the_middle(start: Start) -> None:
    async with start() as first:
        id = await first.run(workflow("wf", loop("l", "$.l.iteration < 4", simple("body"), input={"keepLastN": 3})))
        await first.work("body", {"n": 1})
        await first.work("body", {"n": 2})
        await first.until_task(id, "body__3")
    async with start() as second:
        await second.work("body", {"n": 3})
        await second.work("body", {"n": 4})
        await second.until(id)
        output = (await second.task(id, "l"))["outputData"]
        assert output == {"iteration": 4, **{str(n): {"body": {"n": n}} for n in (2, 3, 4)}}


async def test_a_list_in_the_middle(start: Start) -> None:
    async with start() as first:
        body = simple("body", {"item": "${l.output.loopItem}"})
        id = await first.run(
            workflow("wf", loop("l", "true", body, items="${workflow.input.items}")), input={"items": [7, 8]}
        )
        await first.work("body")
        await first.until_task(id, "body__2")
    async with start() as second:
        assert (await second.work("body"))["inputData"] == {"item": 8}
        await second.until(id)


async def test_a_task_that_is_out_stays_out(start: Start) -> None:
    async with start() as first:
        await first.register(task_def("t", responseTimeoutSeconds=60, retryCount=1, concurrentExecLimit=1))
        id = await first.run(workflow("wf", simple("t")))
        task = await first.poll("t")
        other = await first.start("wf")
    async with start() as second:
        await second.poll_nothing("t")
        await second.complete(task)
        assert await second.status(id) == "COMPLETED"
        assert (await second.poll("t"))["workflowInstanceId"] == other


async def test_delays_and_waits_that_end_while_nobody_is_there(start: Start) -> None:
    async with start() as first:
        branches = [[simple("late", startDelay=100)], [node("WAIT", "w", {"duration": "200s"})]]
        id = await first.run(workflow("wf", *fork("f", *branches)))
        clock = first.clock
    assert clock is not None
    clock.advance(300)
    async with start() as second:
        await second.until_task(id, "w", "COMPLETED")
        await second.work("late")
        await second.until(id)


async def test_a_sub_workflow_with_two_parents(start: Start) -> None:
    param = {"idempotencyKey": "shared", "idempotencyStrategy": "RETURN_EXISTING"}
    async with start() as first:
        await first.register(
            workflow("child", simple("inner")), workflow("parent", sub_workflow("s", "child", **param))
        )
        parents = [await first.start("parent"), await first.start("parent")]
        children = {(await first.until_task(id, "s", "IN_PROGRESS"))["subWorkflowId"] for id in parents}
        assert len(children) == 1
        await first.until_task(children.pop(), "inner")
    async with start() as second:
        await second.work("inner", {"x": 1})
        for id in parents:
            assert (await second.until(id))["output"]["x"] == 1


async def test_terminating_one_parent_leaves_the_shared_child_to_the_other(start: Start) -> None:
    param = {"idempotencyKey": "shared", "idempotencyStrategy": "RETURN_EXISTING"}
    async with start() as only:
        await only.register(workflow("child", simple("inner")), workflow("parent", sub_workflow("s", "child", **param)))
        owner = await only.start("parent")
        await only.until_task(owner, "s", "IN_PROGRESS")
        follower = await only.start("parent")
        child = (await only.until_task(follower, "s", "IN_PROGRESS"))["subWorkflowId"]
        await only.until_task(child, "inner")
        await only.settled()
        await only.call("DELETE", f"/workflow/{follower}")
        await only.work("inner")
        await only.until(owner)
        assert await only.status(follower) == "TERMINATED"
