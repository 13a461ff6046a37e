"""Tasks of workers: handed out, updated, handed out again."""

from __future__ import annotations

from tests.support.conductor import Conductor, simple, task_def, workflow


async def test_a_sequence_of_tasks(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow(
            "two_steps", simple("first", {"n": "${workflow.input.n}"}), simple("second", {"m": "${first.output.m}"})
        ),
        input={"n": 1},
    )
    first = await conductor.poll("first")
    assert (first["inputData"], first["status"], first["pollCount"]) == ({"n": 1}, "IN_PROGRESS", 1)
    assert (first["seq"], first["taskType"], first["taskDefName"]) == (1, "first", "first")
    await conductor.complete(first, {"m": 2})
    second = await conductor.poll("second")
    assert second["inputData"] == {"m": 2}
    await conductor.complete(second, {"done": True})
    view = await conductor.workflow(id)
    assert (view["status"], view["output"]) == ("COMPLETED", {"done": True})
    assert [task["seq"] for task in view["tasks"]] == [1, 2]


async def test_the_response_timeout_gives_the_task_to_another_attempt(timed: Conductor) -> None:
    await timed.register(task_def("slow", retryCount=1, responseTimeoutSeconds=10))
    id = await timed.run(workflow("impatient", simple("slow")))
    first = await timed.poll("slow")
    await timed.advance(9.9)
    assert (await timed.task(id, "slow"))["status"] == "IN_PROGRESS"
    await timed.advance(0.2)
    second = await timed.poll("slow")
    assert (second["retryCount"], second["retriedTaskId"]) == (1, first["taskId"])
    await timed.complete(second)
    assert await timed.status(id) == "COMPLETED"
