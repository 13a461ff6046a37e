"""How workflows end: TERMINATE, failure workflows, reasons and outputs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.conductor import Conductor, fork, node, simple, sub_workflow, task_def, workflow


def _terminate(status: Any, **input: Any) -> Any:
    return node("TERMINATE", "stop", {"terminationStatus": status, **input})


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "TERMINATED"])
async def test_terminate_gives_status_reason_and_output(conductor: Conductor, status: str) -> None:
    stop = _terminate(
        status, terminationReason="enough of ${workflow.input.what}", workflowOutput={"o": "${workflow.input.what}"}
    )
    id = await conductor.run(
        workflow("wf", stop, simple("never"), outputParameters={"not": "this"}), input={"what": "it"}
    )
    view = await conductor.until(id, status)
    assert (view["reasonForIncompletion"], view["output"]) == ("enough of it", {"o": "it"})
    assert [task["status"] for task in view["tasks"]] == ["COMPLETED"]


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED"])
async def test_the_default_reason_names_the_task(conductor: Conductor, status: str) -> None:
    view = await conductor.until(await conductor.run(workflow("wf", _terminate(status))), status)
    assert view["tasks"][0]["taskId"] in view["reasonForIncompletion"]


@pytest.mark.parametrize(
    ("value", "output"), [([1, 2], {"output": [1, 2]}), ("text", {"output": "text"}), (5, {"output": 5})]
)
async def test_an_output_that_is_no_map(conductor: Conductor, value: Any, output: Any) -> None:
    stop = _terminate("COMPLETED", workflowOutput="${workflow.input.v}")
    view = await conductor.until(await conductor.run(workflow("wf", stop), input={"v": value}))
    assert view["output"] == output


@pytest.mark.parametrize("status", ["RUNNING", None, 5])
async def test_a_bad_status_fails_the_task(conductor: Conductor, status: Any) -> None:
    id = await conductor.run(workflow("wf", _terminate("${workflow.input.s}")), input={"s": status})
    view = await conductor.until(id, "FAILED")
    assert view["tasks"][0]["status"] == "FAILED"
    assert "terminationStatus" in view["reasonForIncompletion"]


async def test_terminate_cancels_what_is_open(conductor: Conductor) -> None:
    await conductor.register(workflow("child", simple("inner")))
    branches = [[sub_workflow("sub", "child")], [simple("open")], [simple("first"), _terminate("FAILED")]]
    id = await conductor.run(workflow("wf", *fork("f", *branches, join_on=["sub", "open"])))
    child = (await conductor.until_task(id, "sub", "IN_PROGRESS"))["subWorkflowId"]
    await conductor.work("first")
    view = await conductor.until(id, "FAILED")
    statuses = {task["referenceTaskName"]: task["status"] for task in view["tasks"]}
    assert (statuses["sub"], statuses["open"], statuses["f_join"]) == ("CANCELED", "CANCELED", "CANCELED")
    await conductor.until(child, "TERMINATED")


async def test_a_failure_workflow_gets_the_whole_story(conductor: Conductor) -> None:
    await conductor.register(task_def("bad"), workflow("cleanup", simple("clean")))
    id = await conductor.run(
        workflow("wf", simple("bad"), failureWorkflow="cleanup"),
        input={"order": 5},
        correlationId="c",
        taskToDomain={"clean": "d"},
    )
    task = await conductor.poll("bad")
    await conductor.fail(task, "broken")
    view = await conductor.until(id, "FAILED")
    cleanup = await conductor.workflow(view["output"]["conductor.failure_workflow"])
    given = cleanup["input"]
    assert given["failedWorkflow"]["workflowId"] == id
    assert given["failedWorkflow"]["tasks"][0]["status"] == "FAILED"
    assert {name: value for name, value in given.items() if name != "failedWorkflow"} == {
        "order": 5,
        "workflowId": id,
        "reason": view["reasonForIncompletion"],
        "failureStatus": "FAILED",
        "failureTaskId": task["taskId"],
    }
    assert (cleanup["correlationId"], cleanup["taskToDomain"]) == ("c", {"clean": "d"})
    await conductor.poll("clean", domain="d")


async def test_a_failure_workflow_named_by_the_input(conductor: Conductor) -> None:
    await conductor.register(workflow("cleanup", simple("clean")))
    await conductor.register(workflow("wf", _terminate("TERMINATED"), failureWorkflow="$handler"))
    view = await conductor.until(await conductor.start("wf", {"handler": "cleanup"}), "TERMINATED")
    assert view["output"]["conductor.failure_workflow"]
    await conductor.poll("clean")


@pytest.mark.parametrize("handler", [None, "", {"a": 1}, 7])
async def test_a_failure_workflow_named_by_nothing_is_not_started(conductor: Conductor, handler: Any) -> None:
    await conductor.register(workflow("wf", _terminate("FAILED"), failureWorkflow="${workflow.input.handler}"))
    view = await conductor.until(await conductor.start("wf", {"handler": handler}), "FAILED")
    if not handler:
        assert view["output"] == {}
    else:
        assert "not started" in view["output"]["conductor.failure_workflow"]


async def test_a_failure_workflow_that_does_not_exist_is_told(conductor: Conductor) -> None:
    await conductor.register(workflow("wf", _terminate("FAILED"), failureWorkflow="${workflow.input.h}"))
    view = await conductor.until(await conductor.start("wf", {"h": "no_such"}), "FAILED")
    assert "no_such" in view["output"]["conductor.failure_workflow"]


async def test_the_terminate_api_starts_no_failure_workflow_unless_asked(conductor: Conductor) -> None:
    await conductor.register(workflow("cleanup", simple("clean")))
    await conductor.register(workflow("wf", simple("t"), failureWorkflow="cleanup"))
    id = await conductor.start("wf")
    await conductor.call("DELETE", f"/workflow/{id}", reason="stop")
    assert "conductor.failure_workflow" not in (await conductor.workflow(id))["output"]
    id = await conductor.start("wf")
    await conductor.call("DELETE", f"/workflow/{id}", reason="stop", triggerFailureWorkflow=True)
    assert "conductor.failure_workflow" in (await conductor.workflow(id))["output"]


async def test_a_timed_out_workflow_starts_its_failure_workflow(timed: Conductor) -> None:
    await timed.register(workflow("cleanup", simple("clean")))
    id = await timed.run(
        workflow("wf", simple("t"), failureWorkflow="cleanup", timeoutSeconds=5, timeoutPolicy="TIME_OUT_WF")
    )
    await timed.advance(5)
    assert await timed.status(id) == "TIMED_OUT"
    task = await timed.poll("clean")
    assert (await timed.workflow(task["workflowInstanceId"]))["input"]["failureStatus"] == "TIMED_OUT"


async def test_the_version_of_the_failure_workflow(conductor: Conductor) -> None:
    await conductor.register(workflow("cleanup", simple("old")), workflow("cleanup", simple("new"), version=2))
    await conductor.register(workflow("wf", _terminate("FAILED"), failureWorkflow="cleanup", failureWorkflowVersion=1))
    await conductor.until(await conductor.start("wf"), "FAILED")
    await conductor.poll("old")


async def test_the_output_of_a_failed_workflow_is_that_of_the_failed_task(conductor: Conductor) -> None:
    await conductor.register(task_def("bad"))
    id = await conductor.run(workflow("wf", simple("good"), simple("bad")))
    await conductor.work("good", {"g": 1})
    await conductor.fail(await conductor.poll("bad"), output={"b": 2})
    assert (await conductor.workflow(id))["output"] == {"b": 2}


async def test_noop(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", node("NOOP", "n", {"a": 1})))
    view = await conductor.workflow(id)
    assert (view["status"], view["tasks"][0]["inputData"], view["output"]) == ("COMPLETED", {"a": 1}, {})
