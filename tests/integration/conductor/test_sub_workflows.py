"""SUB_WORKFLOW, START_WORKFLOW and DYNAMIC."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.conductor import Conductor, inline, node, simple, sub_workflow, task_def, workflow

CHILD = workflow(
    "child", simple("inner", {"n": "${workflow.input.n}"}), outputParameters={"twice": "${inner.output.twice}"}
)


async def _child_of(conductor: Conductor, id: str, reference: str = "sub") -> str:
    task = await conductor.until_task(id, reference, "IN_PROGRESS")
    child: str = task["subWorkflowId"]
    return child


async def test_the_output_of_the_child_is_that_of_the_task(conductor: Conductor) -> None:
    await conductor.register(CHILD)
    id = await conductor.run(
        workflow(
            "parent",
            sub_workflow("sub", "child", {"n": "${workflow.input.n}"}),
            simple("z", {"r": "${sub.output.twice}"}),
        ),
        input={"n": 4},
        correlationId="corr",
        priority=7,
    )
    task = await conductor.poll("inner")
    assert task["inputData"] == {"n": 4}
    child = task["workflowInstanceId"]
    shown = await conductor.task(id, "sub")
    assert (shown["subWorkflowId"], shown["outputData"], shown["status"]) == (
        child,
        {"subWorkflowId": child},
        "IN_PROGRESS",
    )
    assert shown["inputData"]["subWorkflowName"] == "child"
    assert shown["inputData"]["workflowInput"] == {"n": 4}
    view = await conductor.workflow(child)
    assert (view["parentWorkflowId"], view["parentWorkflowTaskId"]) == (id, shown["taskId"])
    assert (view["correlationId"], view["priority"]) == ("corr", 0)
    await conductor.complete(task, {"twice": 8})
    z = await conductor.poll("z")
    assert z["inputData"] == {"r": 8}
    assert (await conductor.task(id, "sub"))["outputData"] == {"subWorkflowId": child, "twice": 8}
    await conductor.complete(z)
    await conductor.until(id)


async def test_a_child_that_fails_fails_the_parent(conductor: Conductor) -> None:
    await conductor.register(CHILD, task_def("inner"))
    id = await conductor.run(workflow("parent", sub_workflow("sub", "child")))
    child = await _child_of(conductor, id)
    await conductor.fail(await conductor.poll("inner"), "deep trouble")
    view = await conductor.until(id, "FAILED")
    task = view["tasks"][0]
    assert task["status"] == "FAILED"
    assert task["reasonForIncompletion"].startswith("Sub workflow child.")
    assert f"/{child}.FAILED failure reason:" in task["reasonForIncompletion"]
    assert "deep trouble" in view["reasonForIncompletion"]


@pytest.mark.parametrize(
    ("status", "expected"), [("TERMINATED", ("CANCELED", "TERMINATED")), ("TIMED_OUT", ("TIMED_OUT", "TIMED_OUT"))]
)
async def test_other_ends_of_a_child(timed: Conductor, status: str, expected: tuple[str, str]) -> None:
    await timed.register(CHILD | {"timeoutSeconds": 10, "timeoutPolicy": "TIME_OUT_WF"})
    id = await timed.run(workflow("parent", sub_workflow("sub", "child")))
    child = await _child_of(timed, id)
    if status == "TERMINATED":
        await timed.call("DELETE", f"/workflow/{child}", reason="enough")
    else:
        await timed.until_task(child, "inner", "SCHEDULED")
        await timed.advance(10)
    view = await timed.until(id, expected[1])
    assert view["tasks"][0]["status"] == expected[0]


async def test_a_retry_starts_a_new_child(conductor: Conductor) -> None:
    await conductor.register(CHILD, task_def("inner"), task_def("sub", retryCount=1))
    id = await conductor.run(workflow("parent", sub_workflow("sub", "child")))
    first = await _child_of(conductor, id)
    await conductor.fail(await conductor.poll("inner"))
    task = await conductor.poll("inner")
    assert task["workflowInstanceId"] != first
    await conductor.complete(task, {"twice": 2})
    view = await conductor.until(id)
    assert [task["status"] for task in view["tasks"]] == ["FAILED", "COMPLETED"]


async def test_an_optional_child_may_fail(conductor: Conductor) -> None:
    await conductor.register(CHILD, task_def("inner"))
    id = await conductor.run(workflow("parent", sub_workflow("sub", "child") | {"optional": True}))
    await conductor.fail(await conductor.poll("inner"))
    view = await conductor.until(id)
    assert view["tasks"][0]["status"] == "COMPLETED_WITH_ERRORS"


async def test_terminating_the_parent_terminates_the_child(conductor: Conductor) -> None:
    await conductor.register(CHILD)
    id = await conductor.run(workflow("parent", sub_workflow("sub", "child")))
    child = await _child_of(conductor, id)
    await conductor.until_task(child, "inner", "SCHEDULED")
    await conductor.call("DELETE", f"/workflow/{id}", reason="no longer wanted")
    view = await conductor.until(child, "TERMINATED")
    assert view["reasonForIncompletion"] == "Parent workflow has been terminated with reason: no longer wanted"
    await conductor.poll_nothing("inner")


async def test_an_inline_definition(conductor: Conductor) -> None:
    own = workflow("unregistered", inline("i", "$.n + 1", input={"n": "${workflow.input.n}"}))
    id = await conductor.run(workflow("parent", sub_workflow("sub", "unregistered", {"n": 1}, workflowDefinition=own)))
    view = await conductor.until(id)
    assert view["output"]["result"] == 2
    child = await conductor.workflow(view["tasks"][0]["subWorkflowId"])
    assert child["input"] == {"n": 1, "_systemMetadata": {"dynamic": True}}
    assert child["workflowName"] == "unregistered"


async def test_an_inline_definition_by_an_expression(conductor: Conductor) -> None:
    own = workflow("made_up", inline("i", "$.who", input={"who": "${workflow.input.who}"}))
    id = await conductor.run(
        workflow(
            "parent", sub_workflow("sub", "made_up", {"who": "me"}, workflowDefinition="${workflow.input.definition}")
        ),
        input={"definition": own, "who": "not me"},
    )
    view = await conductor.until(id)
    assert view["output"]["result"] == "me"


async def test_a_bad_inline_definition_fails_the_task(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("parent", sub_workflow("sub", "made_up", workflowDefinition="${workflow.input.definition}")),
        input={"definition": {"name": "made_up", "tasks": [{"name": "x"}]}},
    )
    view = await conductor.until(id, "FAILED")
    assert "sub" in view["reasonForIncompletion"]


async def test_name_and_version_may_be_expressions(conductor: Conductor) -> None:
    await conductor.register(
        workflow("child_a", inline("i", "'v1'")), workflow("child_a", inline("i", "'v2'"), version=2)
    )
    id = await conductor.run(
        workflow(
            "parent",
            sub_workflow("sub", "${workflow.input.name}", version="${workflow.input.version}"),
            sub_workflow("latest", "${workflow.input.name}"),
        ),
        input={"name": "child_a", "version": 1},
    )
    view = await conductor.until(id)
    assert [task["outputData"]["result"] for task in view["tasks"]] == ["v1", "v2"]


async def test_a_child_that_is_registered_later_is_found(conductor: Conductor) -> None:
    id = await conductor.run(workflow("parent", simple("first"), sub_workflow("sub", "late_child")))
    await conductor.register(workflow("late_child", node("NOOP", "n")))
    await conductor.work("first")
    await conductor.until(id)


async def test_a_child_that_does_not_exist_fails_the_task(conductor: Conductor) -> None:
    id = await conductor.run(workflow("parent", sub_workflow("sub", "no_such_workflow")))
    view = await conductor.until(id, "FAILED")
    assert "no_such_workflow" in view["reasonForIncompletion"]


@pytest.mark.parametrize("param", [{"priority": "high"}, {"version": "newest"}, {"priority": 1_000}])
async def test_bad_parameters_fail_the_task_with_a_reason(conductor: Conductor, param: dict[str, Any]) -> None:
    await conductor.register(CHILD)
    values = {f"p{n}": value for n, value in enumerate(param.values())}
    expressions = {name: f"${{workflow.input.p{n}}}" for n, name in enumerate(param)}
    id = await conductor.run(workflow("parent", sub_workflow("sub", "child", **expressions)), input=values)
    view = await conductor.until(id, "FAILED")
    assert next(iter(param)) in view["reasonForIncompletion"]


async def test_priority_and_domains_of_a_child(conductor: Conductor) -> None:
    await conductor.register(CHILD)
    param = {"priority": 5, "taskToDomain": {"*": "own"}}
    id = await conductor.run(
        workflow("parent", sub_workflow("sub", "child", **param), sub_workflow("heir", "child")),
        taskToDomain={"*": "east"},
    )
    task = await conductor.poll("inner", domain="own")
    assert (task["workflowPriority"], task["domain"]) == (5, "own")
    await conductor.complete(task)
    await conductor.complete(await conductor.poll("inner", domain="east"))
    await conductor.until(id)


async def test_a_paused_child_keeps_its_task_in_progress(conductor: Conductor) -> None:
    await conductor.register(CHILD)
    id = await conductor.run(workflow("parent", sub_workflow("sub", "child")))
    child = await _child_of(conductor, id)
    await conductor.until_task(child, "inner", "SCHEDULED")
    await conductor.call("PUT", f"/workflow/{child}/pause")
    assert (await conductor.task(id, "sub"))["status"] == "IN_PROGRESS"
    await conductor.call("PUT", f"/workflow/{child}/resume")
    await conductor.work("inner")
    await conductor.until(id)


async def test_children_of_children(conductor: Conductor) -> None:
    await conductor.register(workflow("level2", simple("leaf")), workflow("level1", sub_workflow("to2", "level2")))
    id = await conductor.run(workflow("level0", sub_workflow("to1", "level1")))
    await conductor.work("leaf", {"deep": True})
    view = await conductor.until(id)
    assert view["output"]["deep"] is True


async def test_an_idempotent_child_is_started_once(conductor: Conductor) -> None:
    await conductor.register(workflow("child", inline("i", "$.n", input={"n": "${workflow.input.n}"})))
    param = {"idempotencyKey": "${workflow.input.key}", "idempotencyStrategy": "RETURN_EXISTING"}
    parent = workflow("parent", sub_workflow("sub", "child", {"n": "${workflow.input.n}"}, **param))
    await conductor.register(parent)
    first = await conductor.until(await conductor.start("parent", {"key": "k", "n": 1}))
    second = await conductor.until(await conductor.start("parent", {"key": "k", "n": 2}))
    assert first["tasks"][0]["subWorkflowId"] == second["tasks"][0]["subWorkflowId"]
    assert second["output"]["result"] == 1


async def test_an_idempotent_child_that_exists_fails_the_task_if_asked_to(conductor: Conductor) -> None:
    await conductor.register(workflow("child", node("NOOP", "n")))
    param = {"idempotencyKey": "same", "idempotencyStrategy": "FAIL"}
    await conductor.register(workflow("parent", sub_workflow("sub", "child", **param)))
    await conductor.until(await conductor.start("parent"))
    view = await conductor.until(await conductor.start("parent"), "FAILED")
    assert "same" in view["reasonForIncompletion"]


async def test_start_workflow_does_not_wait(conductor: Conductor) -> None:
    await conductor.register(CHILD)
    start = node(
        "START_WORKFLOW",
        "go",
        {"startWorkflow": {"name": "child", "input": {"n": "${workflow.input.n}"}, "correlationId": "other"}},
    )
    id = await conductor.run(workflow("starter", start), input={"n": 3})
    view = await conductor.until(id)
    child = await conductor.workflow(view["output"]["workflowId"])
    assert (child["status"], child["input"], child["correlationId"]) == ("RUNNING", {"n": 3}, "other")
    assert "parentWorkflowId" not in child


@pytest.mark.parametrize(
    "request_",
    [
        None,
        {},
        {"name": "missing"},
        {"name": "child", "version": 9},
        "child",
        {"name": "child", "input": 3},
        {"name": "child", "priority": "x"},
    ],
)
async def test_a_bad_start_workflow_fails(conductor: Conductor, request_: Any) -> None:
    await conductor.register(CHILD)
    id = await conductor.run(workflow("starter", node("START_WORKFLOW", "go", {"startWorkflow": request_})))
    view = await conductor.until(id, "FAILED")
    assert view["tasks"][0]["status"] == "FAILED"
    assert "fault of its own" not in view["reasonForIncompletion"]


def _dynamic(input: dict[str, Any]) -> Any:
    return node("DYNAMIC", "dyn", input, dynamicTaskNameParam="taskToRun")


async def test_a_dynamic_task_runs_as_what_it_names(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("wf", _dynamic({"taskToRun": "${workflow.input.t}", "x": 1}), simple("z", {"r": "${dyn.output.r}"})),
        input={"t": "chosen"},
    )
    task = await conductor.poll("chosen")
    assert (task["referenceTaskName"], task["taskDefName"], task["inputData"]["x"]) == ("dyn", "chosen", 1)
    await conductor.complete(task, {"r": 5})
    assert (await conductor.work("z"))["inputData"] == {"r": 5}
    await conductor.until(id)


async def test_a_dynamic_task_has_the_retries_of_what_it_names(timed: Conductor) -> None:
    await timed.register(task_def("chosen", retryCount=1, retryDelaySeconds=3))
    id = await timed.run(workflow("wf", _dynamic({"taskToRun": "chosen"})))
    await timed.fail(await timed.poll("chosen"))
    assert await timed.status(id) == "RUNNING"
    await timed.advance(3)
    await timed.fail(await timed.poll("chosen"))
    assert await timed.status(id) == "FAILED"


@pytest.mark.parametrize("name", [None, "", 5, {"a": 1}])
async def test_a_dynamic_task_without_a_name_fails(conductor: Conductor, name: Any) -> None:
    id = await conductor.run(workflow("wf", _dynamic({"taskToRun": "${workflow.input.t}"})), input={"t": name})
    view = await conductor.until(id, "FAILED")
    assert "taskToRun" in view["reasonForIncompletion"]
