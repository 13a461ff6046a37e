"""FORK_JOIN_DYNAMIC in all its styles."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.conductor import Conductor, inline, loop, node, simple, task_def, workflow


def _fork(input: dict[str, Any], **more: Any) -> list[Any]:
    return [node("FORK_JOIN_DYNAMIC", "fork", input, **more), node("JOIN", "join")]


def _by_tasks(tasks: Any, inputs: Any) -> list[Any]:
    given = {"tasks": tasks, "inputs": inputs}
    return _fork(given, dynamicForkTasksParam="tasks", dynamicForkTasksInputParamName="inputs")


async def test_branches_as_a_list_of_tasks(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("wf", *_by_tasks("${workflow.input.tasks}", "${workflow.input.inputs}"), simple("z")),
        input={
            "tasks": [
                simple(
                    "left",
                    name="work",
                ),
                simple("right", name="work"),
            ],
            "inputs": {"left": {"n": 1}, "right": {"n": 2}},
        },
    )
    assert await conductor.references(id) == ["fork", "left", "right", "join"]
    assert (await conductor.task(id, "fork"))["inputData"]["forkedTasks"] == ["left", "right"]
    assert (await conductor.task(id, "join"))["inputData"] == {"joinOn": ["left", "right"]}
    for _ in range(2):
        task = await conductor.poll("work")
        await conductor.complete(task, {"twice": task["inputData"]["n"] * 2})
    join = await conductor.task(id, "join")
    assert join["outputData"] == {"left": {"twice": 2}, "right": {"twice": 4}}
    await conductor.work("z")
    assert await conductor.status(id) == "COMPLETED"


async def test_no_branches_are_legal(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", *_by_tasks([], {}), simple("z")))
    assert (await conductor.task(id, "join"))["status"] == "COMPLETED"
    await conductor.work("z")
    assert await conductor.status(id) == "COMPLETED"


@pytest.mark.parametrize(
    ("tasks", "inputs", "word"),
    [
        ("not a list", {}, "list"),
        (None, {}, "list"),
        ([{"name": "x", "type": "SIMPLE"}], {}, "taskReferenceName"),
        ([simple("same"), simple("same")], {}, "same"),
        ([simple("a")], {"a": "not a map"}, "a"),
        ([simple("a")], "not a map", "inputs"),
        ([17], {}, "object"),
    ],
)
async def test_a_bad_fork_fails_the_workflow_with_a_reason(
    conductor: Conductor, tasks: Any, inputs: Any, word: str
) -> None:
    id = await conductor.run(
        workflow("wf", *_by_tasks("${workflow.input.t}", "${workflow.input.i}")), input={"t": tasks, "i": inputs}
    )
    view = await conductor.until(id, "FAILED")
    assert word in view["reasonForIncompletion"]


async def test_branches_from_a_plain_list_of_inputs(conductor: Conductor) -> None:
    given = {"forkTaskName": "resize", "forkTaskInputs": [{"w": 1}, {"w": 2}, "three"]}
    id = await conductor.run(workflow("wf", *_fork(given)))
    assert await conductor.references(id) == ["fork", "_resize_0", "_resize_1", "_resize_2", "join"]
    tasks = await conductor.poll_batch("resize", 3)
    assert [task["inputData"] for task in tasks] == [
        {"w": 1, "__index": 0},
        {"w": 2, "__index": 1},
        {"input": "three", "__index": 2},
    ]
    for task in tasks:
        await conductor.complete(task, {"i": task["inputData"]["__index"]})
    assert (await conductor.workflow(id))["output"]["_resize_2"] == {"i": 2}


async def test_plain_inputs_for_a_system_task(conductor: Conductor) -> None:
    given = {"forkTaskType": "INLINE", "forkTaskInputs": [{"expression": "$.__index * 10"}] * 3}
    id = await conductor.run(workflow("wf", *_fork(given)))
    view = await conductor.until(id)
    assert view["output"] == {f"_INLINE_{n}": {"result": n * 10} for n in range(3)}


async def test_plain_inputs_for_a_workflow(conductor: Conductor) -> None:
    await conductor.register(workflow("child", inline("i", "$.n + 1", input={"n": "${workflow.input.n}"})))
    given = {"forkTaskWorkflow": "child", "forkTaskWorkflowVersion": "1", "forkTaskInputs": [{"n": 1}, {"n": 2}]}
    id = await conductor.run(workflow("wf", *_fork(given)))
    view = await conductor.until(id)
    results = {reference: output["result"] for reference, output in view["output"].items()}
    assert results == {"_child_0": 2, "_child_1": 3}


async def test_two_forks_of_plain_inputs_have_different_names(conductor: Conductor) -> None:
    given = {"forkTaskType": "NOOP", "forkTaskInputs": [{}]}
    second = [node("FORK_JOIN_DYNAMIC", "fork2", given), node("JOIN", "join2")]
    id = await conductor.run(workflow("wf", *_fork(given), *second))
    await conductor.until(id)
    assert await conductor.references(id) == ["fork", "_NOOP_0", "join", "fork2", "_fork2_NOOP_0", "join2"]


async def test_an_optional_fork_has_optional_branches(conductor: Conductor) -> None:
    await conductor.register(task_def("resize"))
    given = {"forkTaskName": "resize", "forkTaskInputs": [{}, {}]}
    id = await conductor.run(workflow("wf", *_fork(given, optional=True)))
    await conductor.fail(await conductor.poll("resize"))
    await conductor.work("resize")
    view = await conductor.workflow(id)
    statuses = {task["referenceTaskName"]: task["status"] for task in view["tasks"]}
    assert (view["status"], statuses["join"]) == ("COMPLETED", "COMPLETED_WITH_ERRORS")


async def test_the_old_form(conductor: Conductor) -> None:
    await conductor.register(workflow("child", node("NOOP", "nothing")))
    dynamic = {
        "dynamicTasks": [
            {"taskName": "work", "referenceName": "first", "input": {"n": 1}, "type": "SIMPLE"},
            {"workflowName": "child", "referenceName": "second", "input": {}, "type": "SUB_WORKFLOW"},
        ]
    }
    id = await conductor.run(
        workflow("wf", *_fork({"given": "${workflow.input.d}"}, dynamicForkJoinTasksParam="given")),
        input={"d": dynamic},
    )
    task = await conductor.work("work")
    assert task["inputData"] == {"n": 1}
    await conductor.until(id)


async def test_branches_have_their_own_inputs_and_expressions(conductor: Conductor) -> None:
    branch = simple("own", {"from": "${workflow.input.who}", "kept": 1})
    id = await conductor.run(
        workflow("wf", *_by_tasks("${workflow.input.tasks}", {"own": {"given": "${workflow.input.who}"}})),
        input={"tasks": [branch], "who": "Ada"},
    )
    task = await conductor.poll("own")
    assert task["inputData"] == {"from": "Ada", "kept": 1, "given": "Ada"}
    await conductor.complete(task)
    assert await conductor.status(id) == "COMPLETED"


async def test_registered_definitions_hold_for_branches(timed: Conductor) -> None:
    await timed.register(task_def("fragile", retryCount=1, retryDelaySeconds=5))
    id = await timed.run(workflow("wf", *_by_tasks("${workflow.input.t}", {})), input={"t": [simple("fragile")]})
    await timed.fail(await timed.poll("fragile"))
    assert await timed.status(id) == "RUNNING"
    await timed.advance(5)
    await timed.work("fragile")
    assert await timed.status(id) == "COMPLETED"


async def test_a_branch_may_hold_operators(conductor: Conductor) -> None:
    branch = loop("inner", "$.inner.iteration < 2", simple("step"))
    id = await conductor.run(workflow("wf", *_by_tasks("${workflow.input.t}", {}), simple("z")), input={"t": [branch]})
    await conductor.work("step")
    await conductor.work("step")
    await conductor.work("z")
    view = await conductor.until(id)
    assert [t["referenceTaskName"] for t in view["tasks"]] == ["fork", "inner", "step__1", "join", "step__2", "z"] or [
        t["referenceTaskName"] for t in view["tasks"]
    ] == ["fork", "inner", "join", "step__1", "step__2", "z"]


async def test_a_branch_may_be_a_switch(conductor: Conductor) -> None:
    branch = node(
        "SWITCH",
        "pick",
        {"v": "a"},
        evaluatorType="value-param",
        expression="v",
        decisionCases={"a": [simple("picked"), simple("second")]},
    )
    id = await conductor.run(workflow("wf", *_by_tasks("${workflow.input.t}", {}), simple("z")), input={"t": [branch]})
    await conductor.work("picked")
    await conductor.work("second")
    await conductor.work("z")
    await conductor.until(id)


async def test_a_dynamic_fork_in_a_loop(conductor: Conductor) -> None:
    body = _by_tasks("${workflow.input.t}", {})
    id = await conductor.run(
        workflow("wf", loop("l", "$.l.iteration < 2", *body)), input={"t": [simple("w1"), simple("w2")]}
    )
    for _ in range(2):
        await conductor.work("w1")
        await conductor.work("w2")
    view = await conductor.until(id)
    names = [task["referenceTaskName"] for task in view["tasks"]]
    assert names == ["l", "fork__1", "w1__1", "w2__1", "join__1", "fork__2", "w1__2", "w2__2", "join__2"]


async def test_three_hundred_branches(conductor: Conductor) -> None:
    given = {"forkTaskName": "many", "forkTaskInputs": [{}] * 300}
    id = await conductor.run(workflow("wf", *_fork(given)))
    tasks = await conductor.poll_many("many", 300)
    assert len(tasks) == 300
    for task in tasks:
        await conductor.complete(task, {"i": task["inputData"]["__index"]})
    assert len((await conductor.workflow(id))["output"]) == 300
