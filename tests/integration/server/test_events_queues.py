"""Queues over REST: their sizes, who polls them, and the old ways to finish a task."""

from __future__ import annotations

import pytest

from tests.support.conductor import Conductor, node, simple, workflow

WORK = workflow("work", simple("a"))


async def test_sizes(conductor: Conductor) -> None:
    await conductor.register(WORK)
    for _ in range(3):
        await conductor.start("work")
    await conductor.start("work", taskToDomain={"a": "d"})
    await conductor.poll("a")
    await conductor.told()
    path = "/tasks/queue"
    assert await conductor.get(f"{path}/sizes", taskType=["a", "d:a", "b"]) == {"a": 2, "d:a": 1, "b": 0}
    assert await conductor.get(f"{path}/size", taskType="a") == 2
    assert await conductor.get(f"{path}/size", taskType="a", domain="d") == 1
    await conductor.get(f"{path}/size", expect=400)
    assert (await conductor.get(f"{path}/all"))["d:a"] == 1
    verbose = await conductor.get(f"{path}/all/verbose")
    assert (verbose["a"], verbose["d:a"]) == ({"a": {"size": 2, "uacked": 1}}, {"a": {"size": 1, "uacked": 0}})
    assert (await conductor.get("/admin/queues"))["tasks"]["a"] == 2
    assert (await conductor.get("/admin/queues", verbose="True"))["tasks"]["a"]["a"]["uacked"] == 1


async def test_poll_data(conductor: Conductor) -> None:
    await conductor.poll_nothing("a")
    await conductor.poll_nothing("a", domain="d")
    await conductor.poll_nothing("b")
    await conductor.told()
    [plain, routed] = await conductor.get("/tasks/queue/polldata", taskType="a")
    assert (plain["queueName"], plain["workerId"], "domain" in plain) == ("a", "w1", False)
    assert routed["domain"] == "d"
    assert plain["lastPollTime"] > 1_700_000_000_000
    assert {each["queueName"] for each in await conductor.get("/tasks/queue/polldata/all")} >= {"a", "b"}


async def test_pending_tasks(conductor: Conductor) -> None:
    await conductor.register(WORK)
    first, second = await conductor.start("work"), await conductor.start("work")
    task = await conductor.poll("a")
    pending = await conductor.get("/admin/task/a")
    assert [each["workflowInstanceId"] for each in pending] == [first, second]
    assert [each["taskId"] for each in await conductor.get("/admin/task/a", start=0, count=1)] == [task["taskId"]]
    assert [each["taskId"] for each in await conductor.get("/tasks/in_progress/a")] == [task["taskId"]]
    await conductor.get("/tasks/in_progress/a", startKey="x", expect=400)


async def test_a_task_taken_out_of_its_queue_and_put_back(conductor: Conductor) -> None:
    workflow_id = await conductor.run(WORK)
    task_id = (await conductor.task(workflow_id, "a"))["taskId"]
    await conductor.call("DELETE", f"/tasks/queue/a/{task_id}")
    await conductor.poll_nothing("a")
    assert await conductor.post("/tasks/queue/requeue/a") == "1"
    assert await conductor.post("/tasks/queue/requeue/a") == "1"
    assert (await conductor.poll("a"))["taskId"] == task_id
    await conductor.poll_nothing("a")
    await conductor.call("DELETE", "/tasks/queue/a/nothing", expect=404)


@pytest.mark.parametrize("by", ["w", "task"])
async def test_the_old_way_to_finish_a_task(conductor: Conductor, by: str) -> None:
    workflow_id = await conductor.run(workflow("waiting", node("WAIT", "w")))
    where = f"task/{(await conductor.task(workflow_id, 'w'))['taskId']}" if by == "task" else by
    await conductor.post(f"/queue/update/{workflow_id}/{where}/DONE", {}, expect=400)
    await conductor.post(f"/queue/update/{workflow_id}/nothing/COMPLETED", {}, expect=404)
    await conductor.post(f"/queue/update/{workflow_id}/{where}/COMPLETED", {"x": 1})
    assert (await conductor.workflow(workflow_id))["output"] == {"x": 1}


async def test_sizes_of_event_queues(conductor: Conductor) -> None:
    await conductor.post("/event/handleIncomingEvent", {"event": "conductor:a:b"})
    await conductor.told()
    assert await conductor.get("/queue/size") == {"conductor:a:b": 1}
    assert await conductor.get("/queue/") == {}


async def test_a_workflow_is_told_to_decide(conductor: Conductor) -> None:
    workflow_id = await conductor.run(WORK)
    assert await conductor.post(f"/admin/sweep/requeue/{workflow_id}") == f"true.{workflow_id}"
    assert await conductor.post(f"/admin/consistency/verifyAndRepair/{workflow_id}") == "true"
    await conductor.post("/admin/sweep/requeue/nothing", expect=404)
