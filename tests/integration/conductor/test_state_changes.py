"""`onStateChange`: tasks that other tasks' changes bring about."""

from __future__ import annotations

from typing import Any

from tests.support.conductor import Conductor, fork, loop, node, simple, task_def, workflow


def _audited(reference: str, events: str, **more: Any) -> Any:
    payload = {"ref": "${task.referenceTaskName}", "status": f"${{{reference}.status}}", "mine": "${task.status}"}
    return simple(reference, onStateChange={events: [{"type": "audit", "payload": payload}]}, **more)


async def test_every_change_that_is_named(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", _audited("t", "onScheduled,onStart,onSuccess")))
    work = await conductor.poll("t")
    await conductor.complete(work)
    tasks = await conductor.poll_batch("audit", 5)
    assert [task["inputData"]["mine"] for task in tasks] == ["SCHEDULED", "IN_PROGRESS", "COMPLETED"]
    assert [task["inputData"]["status"] for task in tasks] == ["SCHEDULED", "IN_PROGRESS", "COMPLETED"]
    assert {task["parentTaskId"] for task in tasks} == {work["taskId"]}
    assert await conductor.status(id) == "RUNNING", "it waits for them"
    for task in tasks:
        await conductor.complete(task, {"audited": True})
    view = await conductor.workflow(id)
    assert (view["status"], view["output"]) == ("COMPLETED", {})


async def test_only_what_is_named(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", _audited("t", "OnCompleted")))
    await conductor.work("t")
    task = await conductor.work("audit")
    assert task["inputData"] == {"ref": "t", "status": "COMPLETED", "mine": "COMPLETED"}
    assert await conductor.status(id) == "COMPLETED"


async def test_the_failure_of_such_a_task_affects_nothing(conductor: Conductor) -> None:
    await conductor.register(task_def("audit"))
    id = await conductor.run(workflow("wf", _audited("t", "onStart"), simple("z")))
    await conductor.work("t")
    await conductor.fail(await conductor.poll("audit"), "no")
    await conductor.work("z")
    view = await conductor.workflow(id)
    assert view["status"] == "COMPLETED"


async def test_a_failure_is_told_even_if_it_ends_the_workflow(conductor: Conductor) -> None:
    await conductor.register(task_def("t"))
    id = await conductor.run(workflow("wf", _audited("t", "onFailed"), simple("z")))
    await conductor.fail(await conductor.poll("t"), "broken")
    assert await conductor.status(id) == "FAILED"
    task = await conductor.work("audit")
    assert task["inputData"] == {"ref": "t", "status": "FAILED", "mine": "FAILED"}
    beside = await conductor.workflow(task["workflowInstanceId"])
    assert (beside["workflowName"], beside["status"]) == ("wf_state_changes", "COMPLETED")
    assert (await conductor.task(id, "t_onFailed_1"))["status"] == "SKIPPED"


async def test_attempts_are_told_one_by_one(conductor: Conductor) -> None:
    await conductor.register(task_def("t", retryCount=1))
    id = await conductor.run(workflow("wf", _audited("t", "onFailed, onSuccess")))
    await conductor.fail(await conductor.poll("t"))
    await conductor.work("t")
    seen = [(await conductor.work("audit"))["inputData"]["mine"] for _ in range(2)]
    assert seen == ["FAILED", "COMPLETED"]
    assert await conductor.status(id) == "COMPLETED"


async def test_cancelled_branches_are_told(conductor: Conductor) -> None:
    await conductor.register(task_def("bad"))
    id = await conductor.run(workflow("wf", *fork("f", [_audited("t", "onCancelled")], [simple("bad")])))
    await conductor.fail(await conductor.poll("bad"))
    assert (await conductor.work("audit"))["inputData"]["mine"] == "CANCELED"
    assert await conductor.status(id) == "FAILED"


async def test_in_a_loop(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", loop("l", "$.l.iteration < 2", _audited("t", "onSuccess")), simple("z")))
    await conductor.work("t")
    await conductor.work("t")
    await conductor.work("z")
    assert await conductor.status(id) == "RUNNING"
    seen = [(await conductor.work("audit"))["inputData"]["ref"] for _ in range(2)]
    assert seen == ["t__1", "t__2"]
    assert await conductor.status(id) == "COMPLETED"


async def test_system_tasks_and_operators(conductor: Conductor) -> None:
    noop = node(
        "NOOP", "n", onStateChange={"onSuccess": [{"type": "SET_VARIABLE", "payload": {"done": "${task.taskId}"}}]}
    )
    id = await conductor.run(workflow("wf", noop, simple("z")))
    await conductor.work("z")
    view = await conductor.until(id)
    assert view["variables"] == {"done": view["tasks"][0]["taskId"]}


async def test_what_can_not_be_made_is_told_and_harmless(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("wf", node("NOOP", "n", onStateChange={"onSuccess": [{"type": "DO_WHILE", "payload": {}}]}))
    )
    view = await conductor.until(id)
    assert "DO_WHILE" in view["tasks"][1]["reasonForIncompletion"]
