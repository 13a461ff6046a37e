"""Tasks that look at, end or update other executions."""

from __future__ import annotations

from tests.support.conductor import Conductor, node, simple, workflow


async def test_a_task_reads_another_workflow(conductor: Conductor) -> None:
    other = await conductor.run(workflow("other", simple("work")), input={"x": 5})
    reading = workflow(
        "reading",
        node("GET_WORKFLOW", "look", {"id": "${workflow.input.id}", "includeTasks": True}),
        outputParameters={"x": "${look.output.input.x}", "task": "${look.output.tasks[0].referenceTaskName}"},
    )
    view = await conductor.until(await conductor.run(reading, input={"id": other}))
    assert view["output"] == {"x": 5, "task": "work"}


async def test_a_task_ends_other_workflows(conductor: Conductor) -> None:
    await conductor.register(workflow("other", simple("work")))
    others = [await conductor.start("other") for _ in range(2)]
    ending = workflow(
        "ending",
        node("TERMINATE_WORKFLOW", "end", {"workflowId": "${workflow.input.ids}", "terminationReason": "late"}),
    )
    await conductor.until(await conductor.run(ending, input={"ids": others}))
    for other in others:
        view = await conductor.workflow(other)
        assert (view["status"], view["reasonForIncompletion"]) == ("TERMINATED", "late")


async def test_a_task_updates_a_task_of_another_workflow(conductor: Conductor) -> None:
    other = await conductor.run(workflow("other", node("WAIT", "gate")))
    await conductor.until_task(other, "gate", "IN_PROGRESS")
    updating = workflow(
        "updating",
        node(
            "UPDATE_TASK",
            "open",
            {
                "workflowId": "${workflow.input.id}",
                "taskRefName": "gate",
                "taskStatus": "COMPLETED",
                "taskOutput": {"opened": True},
            },
        ),
    )
    await conductor.until(await conductor.run(updating, input={"id": other}))
    await conductor.until(other)
    assert (await conductor.task(other, "gate"))["outputData"]["opened"] is True


async def test_what_is_not_there_fails_the_task(conductor: Conductor) -> None:
    id = await conductor.run(workflow("reading", node("GET_WORKFLOW", "look", {"id": "nobody"})))
    view = await conductor.until(id, "FAILED")
    assert "there is no workflow with the id 'nobody'" in view["reasonForIncompletion"]
