"""Definitions and inputs that would take all time or memory: each ends, with a reason, and others go on meanwhile."""

from __future__ import annotations

import asyncio

from tests.integration.server.conftest import one_server
from tests.support.conductor import (
    Conductor,
    Json,
    inline,
    loop,
    node,
    simple,
    sub_workflow,
    switch,
    task_def,
    workflow,
)

pytestmark = one_server


async def _failure(conductor: Conductor, id: str) -> str:
    async with asyncio.timeout(30):
        while True:
            view = await conductor.get(f"/workflow/{id}", includeTasks=False)
            if view["status"] != "RUNNING":
                break
            await asyncio.sleep(0.02)
    assert view["status"] in ("FAILED", "TERMINATED")
    assert "fault of its own" not in view["reasonForIncompletion"]
    return str(view["reasonForIncompletion"])


async def _others_go_on(conductor: Conductor) -> None:
    async with asyncio.timeout(5):
        await conductor.run(workflow("other", simple("quick")))
        id = (await conductor.work("quick"))["workflowInstanceId"]
        await conductor.until(id)


def _fork(branches: str = "${workflow.input.branches}") -> list[Json]:
    given = {"tasks": branches, "inputs": {}}
    names = {"dynamicForkTasksParam": "tasks", "dynamicForkTasksInputParamName": "inputs"}
    return [node("FORK_JOIN_DYNAMIC", "fork", given, **names), node("JOIN", "join")]


async def test_values_that_double_at_every_task(conductor: Conductor) -> None:
    def doubled(number: int) -> Json:
        before = f"${{n{number - 1}.input}}" if number else "xxxx"
        return node("NOOP", f"n{number}", {"left": before, "right": before})

    id = await conductor.run(workflow("doubling", *(doubled(number) for number in range(64))))
    assert "comes to more than 16,777,216 bytes" in await _failure(conductor, id)


async def test_variables_that_hold_themselves(conductor: Conductor) -> None:
    body = node("SET_VARIABLE", "set", {"all": ["${workflow.variables.all}"]})
    id = await conductor.run(workflow("nesting", node("DO_WHILE", "loop", items=list(range(2_000)), loopOver=[body])))
    assert "nested more than 200 deep" in await _failure(conductor, id)


async def test_values_that_a_script_would_be_given(conductor: Conductor) -> None:
    def doubled(number: int) -> Json:
        before = f"${{n{number - 1}.input}}" if number else "x" * 1_000
        return node("NOOP", f"n{number}", {"left": before, "right": before})

    scripted = loop("loop", "false", node("NOOP", "body"), input={f"v{n}": "${n12.input}" for n in range(12)})
    id = await conductor.run(workflow("scripted", *(doubled(number) for number in range(13)), scripted))
    assert "comes to more than" in await _failure(conductor, id)


async def test_an_output_that_is_too_large(conductor: Conductor) -> None:
    templates = {f"copy{number}": "${workflow.input}" for number in range(200)}
    definition = workflow("copies", node("NOOP", "n"), outputParameters=templates)
    id = await conductor.run(definition, input={"text": "x" * 200_000})
    assert "the output of the workflow comes to more than" in await _failure(conductor, id)


async def test_a_sink_that_is_too_long(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("sink", node("EVENT", "e", sink="conductor:" + "${workflow.input.x}" * 300)), input={"x": "y" * 20_000}
    )
    assert "the sink of e" in await _failure(conductor, id)
    await _others_go_on(conductor)


async def test_a_workflow_that_starts_itself_for_ever(conductor: Conductor) -> None:
    definition = workflow("endless", switch("always", "yes", {"yes": [sub_workflow("again", "endless")]}))
    id = await conductor.run(definition)
    assert "100 sub-workflows inside each other" in await _failure(conductor, id)
    await _others_go_on(conductor)


async def test_a_chain_of_sub_workflows_that_all_end_at_once(conductor: Conductor) -> None:
    deeper = "$.depth < 90 ? 'deeper' : 'bottom'"
    given = {"depth": "${down.output.result}"}
    definition = workflow(
        "well",
        inline("down", "$.depth + 1", input={"depth": "${workflow.input.depth}"}),
        node(
            "SWITCH",
            "bottom",
            given,
            evaluatorType="javascript",
            expression=deeper,
            decisionCases={"deeper": [sub_workflow("child", "well", given)]},
            defaultCase=[simple("rock")],
        ),
    )
    id = await conductor.run(definition, input={"depth": 0})
    await conductor.work("rock")
    await conductor.until(id)


async def test_a_task_that_multiplies_its_workflow(conductor: Conductor) -> None:
    start = {"startWorkflow": {"name": "rabbits"}}
    await conductor.run(workflow("rabbits", node("START_WORKFLOW", "one", start), node("START_WORKFLOW", "two", start)))
    await _others_go_on(conductor)
    await conductor.call("DELETE", "/metadata/workflow/rabbits/1")


async def test_a_loop_without_an_end(conductor: Conductor) -> None:
    id = await conductor.run(workflow("spinning", loop("loop", "true", node("NOOP", "nothing"))))
    await _others_go_on(conductor)
    await conductor.call("DELETE", f"/workflow/{id}", reason="enough")
    assert await _failure(conductor, id) == "enough"


async def test_thousands_of_branches(conductor: Conductor) -> None:
    branches = [{"name": "b", "taskReferenceName": f"b{number}", "type": "NOOP"} for number in range(5_000)]
    await conductor.register(workflow("wide", *_fork()))
    id = await conductor.start("wide", {"branches": branches})
    await _others_go_on(conductor)
    await conductor.until(id)
    id = await conductor.start("wide", {"branches": [*branches, branches[0]]})
    assert "at most 5000" in await _failure(conductor, id)


async def test_branches_that_make_no_sense(conductor: Conductor) -> None:
    await conductor.register(workflow("odd", *_fork()))
    for branch, reason in (
        ({"taskReferenceName": "a\0b", "type": "NOOP"}, "control characters"),
        ({"taskReferenceName": "b", "type": "DO_WHILE", "loopOver": []}, "no tasks in loopOver"),
        ({"taskReferenceName": "b", "type": " "}, "the type of b is empty"),
        ({"taskReferenceName": "b", "type": "NOOP", "startDelay": 2**40}, "startDelay"),
        ({"taskReferenceName": "b", "type": "DO_WHILE", "loopOver": [{"taskReferenceName": "\1"}]}, "control char"),
    ):
        id = await conductor.start("odd", {"branches": [{"name": "b", **branch}]})
        assert reason in await _failure(conductor, id)


async def test_numbers_that_are_too_large(conductor: Conductor) -> None:
    for field in ("retryCount", "retryDelaySeconds", "backoffJitterMs", "backoffScaleFactor", "concurrentExecLimit"):
        for number in (2**31, 2**62, 2**70, -1):
            await conductor.post("/metadata/taskdefs", [task_def("t", **{field: number})], expect=400)
    version = node("SUB_WORKFLOW", "s", subWorkflowParam={"name": "x", "version": "²"})
    await conductor.post("/metadata/workflow", workflow("superscript", version), expect=400)
    await conductor.get("/tasks/in_progress/x", startKey="9" * 5_000, expect=400)
    await conductor.get("/admin/task/x", start=2**64, expect=400)


async def test_bodies_that_are_nested_too_deep(conductor: Conductor) -> None:
    await conductor.register(workflow("deep", node("NOOP", "n", {"x": "${workflow.input}"})))
    for depth, expect in ((150, 200), (250, 400), (950, 400), (100_000, 400)):
        body = '{"name":"deep","input":' + '{"a":' * depth + "1" + "}" * depth + "}"
        response = await conductor.client.post("/workflow", content=body.encode())
        assert response.status_code == expect, response.text
