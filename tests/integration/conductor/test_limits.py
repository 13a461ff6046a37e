"""Limits on tasks and workflows; domains and priorities."""

from __future__ import annotations

import asyncio

from tests.integration.server.conftest import one_server
from tests.support.conductor import Conductor, node, simple, sub_workflow, task_def, workflow


async def test_concurrent_tasks_of_a_definition(conductor: Conductor) -> None:
    await conductor.register(task_def("t", concurrentExecLimit=2), workflow("wf", simple("t")))
    for _ in range(3):
        await conductor.start("wf")
    out = await conductor.poll_many("t", 2)
    await conductor.poll_nothing("t")
    waiting = asyncio.create_task(conductor.poll_batch("t", 1, timeout=10_000))
    await asyncio.sleep(0)
    await conductor.complete(out[0])
    assert len(await waiting) == 1, "a freed place is taken at once"


async def test_a_failed_task_frees_its_place(timed: Conductor) -> None:
    await timed.register(task_def("t", concurrentExecLimit=1, responseTimeoutSeconds=5), workflow("wf", simple("t")))
    for _ in range(3):
        await timed.start("wf")
    await timed.fail(await timed.poll("t"))
    await timed.poll("t")
    await timed.poll_nothing("t")
    await timed.advance(5)
    await timed.poll("t")


async def test_terminating_a_workflow_frees_its_places(conductor: Conductor) -> None:
    await conductor.register(task_def("t", concurrentExecLimit=1), workflow("wf", simple("t")))
    first = await conductor.start("wf")
    await conductor.start("wf")
    await conductor.poll("t")
    await conductor.poll_nothing("t")
    await conductor.call("DELETE", f"/workflow/{first}")
    await conductor.poll("t")


async def test_tasks_in_a_window(timed: Conductor) -> None:
    definition = task_def("t", rateLimitPerFrequency=2, rateLimitFrequencyInSeconds=10)
    await timed.register(definition, workflow("wf", simple("t")))
    for _ in range(5):
        await timed.start("wf")
    await timed.poll_many("t", 2)
    await timed.poll_nothing("t")
    await timed.advance(9)
    await timed.poll_nothing("t")
    await timed.advance(1)
    await timed.poll_many("t", 2)
    await timed.poll_nothing("t")
    await timed.advance(10)
    await timed.poll_many("t", 1)


async def test_the_limits_hold_for_system_tasks(timed: Conductor) -> None:
    await timed.register(task_def("e", rateLimitPerFrequency=1, rateLimitFrequencyInSeconds=10))
    await timed.register(workflow("wf", node("EVENT", "e", sink="conductor")))
    first, second = await timed.start("wf"), await timed.start("wf")
    await timed.until(first)
    assert await timed.status(second) == "RUNNING"
    await timed.advance(10)
    await timed.until(second)


async def test_concurrent_workflows_wait_in_line(conductor: Conductor) -> None:
    definition = workflow(
        "wf", simple("t"), rateLimitConfig={"rateLimitKey": "${workflow.input.customer}", "concurrentExecLimit": 1}
    )
    await conductor.register(definition)
    first = await conductor.start("wf", {"customer": "a"})
    second = await conductor.start("wf", {"customer": "a"})
    other = await conductor.start("wf", {"customer": "b"})
    tasks = {task["workflowInstanceId"]: task for task in await conductor.poll_batch("t", 5)}
    assert set(tasks) == {first, other}
    view = await conductor.workflow(second)
    assert (view["status"], view["rateLimited"], view["tasks"]) == ("RUNNING", True, [])
    await conductor.complete(tasks[first])
    assert (await conductor.poll("t"))["workflowInstanceId"] == second
    assert (await conductor.workflow(second))["rateLimited"] is False


async def test_concurrent_workflows_may_be_refused(conductor: Conductor) -> None:
    await conductor.register(
        workflow("wf", simple("t"), rateLimitConfig={"concurrentExecLimit": 1, "policy": "REJECT"})
    )
    first = await conductor.start("wf")
    await conductor.start("wf", expect=429)
    await conductor.call("DELETE", f"/workflow/{first}")
    await conductor.start("wf")


async def test_a_waiting_workflow_can_be_terminated(conductor: Conductor) -> None:
    await conductor.register(workflow("wf", simple("t"), rateLimitConfig={"concurrentExecLimit": 1}))
    first, second, third = [await conductor.start("wf") for _ in range(3)]
    await conductor.call("DELETE", f"/workflow/{second}")
    assert await conductor.status(second) == "TERMINATED"
    await conductor.work("t")
    assert (await conductor.poll("t"))["workflowInstanceId"] == third
    assert await conductor.status(first) == "COMPLETED"


@one_server
async def test_higher_priorities_first(conductor: Conductor) -> None:
    await conductor.register(workflow("wf", simple("t")))
    order = [await conductor.start("wf", priority=priority) for priority in (0, 50, 99, 50)]
    polled = [task["workflowInstanceId"] for task in await conductor.poll_batch("t", 4)]
    assert polled == [order[2], order[1], order[3], order[0]]


async def test_a_priority_out_of_range_is_400(conductor: Conductor) -> None:
    await conductor.register(workflow("wf", simple("t")))
    await conductor.start("wf", priority=100, expect=400)
    await conductor.post("/workflow/wf", {}, priority=-1, expect=400)


async def test_a_task_in_a_domain(conductor: Conductor) -> None:
    await conductor.run(workflow("wf", simple("t")), taskToDomain={"t": "east"})
    await conductor.poll_nothing("t")
    task = await conductor.poll("t", domain="east")
    assert task["domain"] == "east"


async def test_a_domain_for_all_and_one_for_one(conductor: Conductor) -> None:
    await conductor.run(
        workflow("wf", simple("a"), simple("b"), node("NOOP", "n")), taskToDomain={"*": "all", "b": "own"}
    )
    await conductor.complete(await conductor.poll("a", domain="all"))
    await conductor.complete(await conductor.poll("b", domain="own"))


async def test_the_first_domain_that_is_polled(timed: Conductor) -> None:
    await timed.register(workflow("wf", simple("t")))
    await timed.poll_nothing("t", domain="second")
    await timed.told()
    await timed.start("wf", taskToDomain={"t": "first,second,third"})
    await timed.poll("t", domain="second")
    await timed.advance(11)
    await timed.start("wf", taskToDomain={"t": "first,second,third"})
    await timed.poll("t", domain="third")


async def test_no_domain_as_the_last_resort(conductor: Conductor) -> None:
    await conductor.run(workflow("wf", simple("t")), taskToDomain={"t": "first,NO_DOMAIN"})
    task = await conductor.poll("t")
    assert "domain" not in task


async def test_domains_are_inherited_by_sub_workflows(conductor: Conductor) -> None:
    await conductor.register(workflow("child", simple("inner")))
    await conductor.run(workflow("wf", sub_workflow("s", "child")), taskToDomain={"inner": "east"})
    await conductor.poll("inner", domain="east")
