"""What is refused when a definition is registered, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from tenuto.graph.definitions import WorkflowDef, decode_task_def, decode_workflow_def
from tenuto.graph.validation import LIMIT, scripts_of, validate_task_def, validate_workflow


def task(reference: str, type: str = "SIMPLE", **fields: Any) -> dict[str, Any]:
    return {"name": reference, "taskReferenceName": reference, "type": type, **fields}


def workflow(*tasks: dict[str, Any], name: str = "w", **fields: Any) -> WorkflowDef:
    return decode_workflow_def({"name": name, "tasks": list(tasks), **fields})


def paths(definition: WorkflowDef) -> list[str]:
    return [problem.path for problem in validate_workflow(definition)]


def join(reference: str, *names: str, **fields: Any) -> dict[str, Any]:
    return task(reference, "JOIN", joinOn=list(names), **fields)


def fork(reference: str, *branches: list[dict[str, Any]]) -> dict[str, Any]:
    return task(reference, "FORK_JOIN", forkTasks=list(branches))


def switch(reference: str, cases: dict[str, list[dict[str, Any]]], **fields: Any) -> dict[str, Any]:
    return task(reference, "SWITCH", evaluatorType="value-param", expression="x", decisionCases=cases, **fields)


def loop(reference: str, *body: dict[str, Any]) -> dict[str, Any]:
    return task(reference, "DO_WHILE", loopCondition="$.n < 3", loopOver=list(body))


def sub(reference: str, name: str | None, **fields: Any) -> dict[str, Any]:
    return task(reference, "SUB_WORKFLOW", subWorkflowParam={"name": name, **fields})


EVERYTHING = workflow(
    task("simple", inputParameters={"a": "${workflow.input.a}", "b": "$${literal}", "c": "${CPEWF_TASK_ID}"}),
    task("my own", "MY_TYPE"),
    switch("switch", {"a": [task("in_a")], "b": []}, defaultCase=[task("in_default")]),
    task("js", "SWITCH", evaluatorType="javascript", expression="`${$.a}`", decisionCases={"x": [task("in_x")]}),
    task("decision", "DECISION", caseValueParam="x", decisionCases={"x": [task("old_x")]}),
    fork("fork", [task("left"), task("left2")], [task("right")], []),
    join("join", "left2", "right"),
    fork("fork2", [join("inner", "other")], [task("other")]),
    join("join2", "inner"),
    task("dyn", "FORK_JOIN_DYNAMIC", dynamicForkTasksParam="t", dynamicForkTasksInputParamName="i"),
    join("dynjoin", "only known later"),
    task("dyn2", "FORK_JOIN_DYNAMIC", inputParameters={"forkTaskName": "x", "forkTaskInputs": []}),
    join("dynjoin2"),
    loop("loop", task("body"), fork("f3", [task("l3")], [task("r3")]), join("j3", "l3", "r3")),
    task("list", "DO_WHILE", items="${workflow.input.items}", loopOver=[task("body2")]),
    task("old list", "DO_WHILE", inputParameters={"_items": []}, loopOver=[task("body3")]),
    task("step__1"),
    sub("sub", "another", version="${workflow.input.v}", priority="5"),
    sub("inline", None, workflowDefinition={"name": "i", "tasks": [task("simple")]}),
    task("dynamic", "DYNAMIC", dynamicTaskNameParam="x"),
    task("event", "EVENT", sink="conductor:${workflow.input.queue}"),
    task("exclusive", "EXCLUSIVE_JOIN", joinOn=["in_a", "in_default"], defaultExclusiveJoinTask=["simple"]),
    task("wait", "WAIT", inputParameters={"duration": "1 hour"}),
    outputParameters={"x": "${simple.output.items[?(@.x > 1)].y}"},
    failureWorkflow="$cleanup",
)


def test_a_definition_that_can_run_has_no_problem() -> None:
    assert validate_workflow(EVERYTHING) == []


@pytest.mark.parametrize(
    ("definition", "path"),
    [
        (workflow(), "tasks"),
        (workflow(task("a"), name=" "), "name"),
        (workflow(task("a"), name="a:b"), "name"),
        (workflow(task("a"), name="x" * 300), "name"),
        (workflow(task("a"), schemaVersion=1), "schemaVersion"),
        (workflow(task("a"), rateLimitConfig={"concurrentExecLimit": -1}), "rateLimitConfig.concurrentExecLimit"),
        (workflow(task("a"), outputParameters={"x y": ["${a"]}), "outputParameters['x y'][0]"),
        (workflow(task("a", name="")), "tasks[0].name"),
        (workflow(task("a", taskReferenceName="")), "tasks[0].taskReferenceName"),
        (workflow(task("a", taskReferenceName="a.b")), "tasks[0].taskReferenceName"),
        (workflow(task("workflow")), "tasks[0].taskReferenceName"),
        (workflow(task("a", type=" ")), "tasks[0].type"),
        (workflow(task("a"), switch("s", {"x": [task("a")]})), "tasks[1].decisionCases.x[0].taskReferenceName"),
        (
            workflow(fork("f", [task("a")], [task("b"), task("a")]), join("j")),
            "tasks[0].forkTasks[1][1].taskReferenceName",
        ),
        (workflow(loop("l", task("a")), task("a__2")), "tasks[1].taskReferenceName"),
        (workflow(task("s", "SWITCH", evaluatorType="javascript", defaultCase=[task("a")])), "tasks[0].expression"),
        (workflow(task("s", "SWITCH", expression="x", defaultCase=[task("a")])), "tasks[0].evaluatorType"),
        (workflow(switch("s", {"a": []}) | {"evaluatorType": "python"}), "tasks[0].evaluatorType"),
        (workflow(switch("s", {})), "tasks[0].decisionCases"),
        (workflow(task("d", "DECISION", defaultCase=[task("a")])), "tasks[0].caseValueParam"),
        (workflow(fork("f", [task("a")])), "tasks[0]"),
        (workflow(fork("f", [task("a")]), task("b")), "tasks[0]"),
        (workflow(fork("f"), join("j")), "tasks[0].forkTasks"),
        (workflow(task("d", "FORK_JOIN_DYNAMIC", inputParameters={"forkTaskName": "x"})), "tasks[0]"),
        (
            workflow(task("d", "FORK_JOIN_DYNAMIC", dynamicForkTasksParam="x"), join("j")),
            "tasks[0].dynamicForkTasksInputParamName",
        ),
        (
            workflow(task("d", "FORK_JOIN_DYNAMIC", dynamicForkTasksInputParamName="x"), join("j")),
            "tasks[0].dynamicForkTasksParam",
        ),
        (workflow(fork("f", [task("a")]), join("j", "a", "b")), "tasks[1].joinOn[1]"),
        (workflow(join("j", "j")), "tasks[0].joinOn[0]"),
        (workflow(task("e", "EXCLUSIVE_JOIN", joinOn=["x"])), "tasks[0].joinOn[0]"),
        (workflow(task("e", "EXCLUSIVE_JOIN", defaultExclusiveJoinTask=["x"])), "tasks[0].defaultExclusiveJoinTask[0]"),
        (workflow(task("l", "DO_WHILE", loopCondition="true")), "tasks[0].loopOver"),
        (workflow(task("l", "DO_WHILE", loopOver=[task("a")])), "tasks[0].loopCondition"),
        (workflow(task("l", "DO_WHILE", loopOver=[task("a")], items=5)), "tasks[0].items"),
        (workflow(task("d", "DYNAMIC")), "tasks[0].dynamicTaskNameParam"),
        (workflow(task("s", "SUB_WORKFLOW")), "tasks[0].subWorkflowParam"),
        (workflow(sub("s", None)), "tasks[0].subWorkflowParam.name"),
        (workflow(sub("s", "x", version="latest")), "tasks[0].subWorkflowParam.version"),
        (workflow(sub("s", "x", priority=100)), "tasks[0].subWorkflowParam.priority"),
        (workflow(sub("s", "x", idempotencyStrategy="MAYBE")), "tasks[0].subWorkflowParam.idempotencyStrategy"),
        (workflow(sub("s", "x", workflowDefinition="text")), "tasks[0].subWorkflowParam.workflowDefinition"),
        (workflow(sub("s", "${x")), "tasks[0].subWorkflowParam.name"),
        (
            workflow(sub("s", "i", workflowDefinition={"name": "i", "tasks": [task("a"), join("j", "s")]})),
            "tasks[0].subWorkflowParam.workflowDefinition.tasks[1].joinOn[0]",
        ),
        (workflow(task("e", "EVENT")), "tasks[0].sink"),
        (workflow(task("a", inputParameters={"x": {"y": ["${a b}"]}})), "tasks[0].inputParameters.x.y[0]"),
        (workflow(task("a", inputParameters={"x": "${a[?(@.x =~ /y/)]}"})), "tasks[0].inputParameters.x"),
        (workflow(task("a", inputParameters={"x": "${a.${b c}}"})), "tasks[0].inputParameters.x"),
        (workflow(task("a", inputParameters={"x": "${a.${workflow.secrets.b}}"})), "tasks[0].inputParameters.x"),
        (workflow(task("a", inputExpression={"expression": "a["})), "tasks[0].inputExpression.expression"),
        (
            workflow(task("a", onStateChange={"onStart": [{"type": "t", "payload": {"p": "${"}}]})),
            "tasks[0].onStateChange.onStart[0].payload.p",
        ),
        (workflow(task("a", taskDefinition={"timeoutSeconds": 5})), "tasks[0].taskDefinition.responseTimeoutSeconds"),
    ],
)
def test_what_is_refused_and_where(definition: WorkflowDef, path: str) -> None:
    assert paths(definition) == [path]


@pytest.mark.parametrize(
    ("definition", "path"),
    [
        (workflow(task("a"), join("j", "b"), task("b")), "tasks[1].joinOn[0]"),
        (workflow(loop("l", task("a"), join("j", "l"))), "tasks[0].loopOver[1].joinOn[0]"),
        (workflow(switch("s", {"x": [join("j", "b")]}), task("b")), "tasks[0].decisionCases.x[0].joinOn[0]"),
        (workflow(fork("f", [join("i", "j")]), join("j", "i")), "tasks[0].forkTasks[0][0].joinOn[0]"),
    ],
)
def test_joins_that_could_never_end(definition: WorkflowDef, path: str) -> None:
    assert path in paths(definition)


def test_joins_that_wait_for_each_other() -> None:
    left = [join("j1", "b"), task("a")]
    right = [join("j2", "a"), task("b")]
    found = paths(workflow(fork("f", left, right), join("j", "a", "b")))
    assert found == ["tasks[0].forkTasks[0][0].joinOn[0]", "tasks[0].forkTasks[1][0].joinOn[0]"]


def test_a_join_with_a_script_need_not_wait_for_all() -> None:
    assert paths(workflow(join("j", "b", evaluatorType="js", expression="true"), task("b"))) == []


def test_a_join_may_wait_for_the_switch_that_it_is_in() -> None:
    assert paths(workflow(switch("s", {"x": [join("j", "s")]}))) == []


# -- workflows that contain themselves ---------------------------------------------------------------------------------


def circle(definition: WorkflowDef, *others: WorkflowDef) -> list[str]:
    def find(name: str, version: int | None) -> WorkflowDef | None:
        known = {other.version: other for other in others if other.name == name}
        return known.get(max(known, default=0) if version is None else version)

    return [problem.path for problem in validate_workflow(definition, find)]


NAME = "tasks[0].subWorkflowParam.name"


def test_a_workflow_that_starts_itself_is_refused() -> None:
    assert circle(workflow(sub("s", "w"))) == [NAME]
    assert circle(workflow(sub("s", "w", version=1))) == [NAME]
    assert circle(workflow(fork("f", [sub("s", "w")]), join("j"))) == ["tasks[0].forkTasks[0][0].subWorkflowParam.name"]


def test_a_way_out_is_enough() -> None:
    assert circle(workflow(switch("x", {"again": [sub("s", "w")]}))) == []
    assert circle(workflow(loop("l", sub("s", "w")))) == []
    assert circle(workflow(switch("x", {"done": [task("t", "TERMINATE")]}), sub("s", "w"))) == []
    assert circle(workflow(sub("s", "${workflow.input.name}"))) == []


def test_another_version_is_another_workflow() -> None:
    assert circle(workflow(sub("s", "w", version=2))) == []
    assert circle(workflow(sub("s", "w")), workflow(task("a"), version=2)) == []
    assert circle(workflow(sub("s", "w"), version=3), workflow(task("a"), version=2)) == [NAME]


def test_circles_over_others_are_seen() -> None:
    other, third = workflow(sub("s", "third"), name="other"), workflow(sub("s", "w"), name="third")
    assert circle(workflow(sub("s", "other")), other, third) == [NAME]
    assert circle(workflow(sub("s", "other")), other, workflow(task("a"), name="third")) == []


def test_the_circle_of_others_is_not_ours() -> None:
    other = workflow(sub("s", "other"), name="other")
    assert circle(workflow(sub("s", "other")), other) == []


# -- much of it --------------------------------------------------------------------------------------------------------


def test_the_list_of_problems_has_an_end() -> None:
    problems = validate_workflow(workflow(*[task("a") for _ in range(1_000)]))
    assert len(problems) == LIMIT + 1
    assert "more than 100 problems" in problems[-1].message


@pytest.mark.timeout(20)
def test_large_definitions_are_checked_in_time() -> None:
    names = [f"t{number}" for number in range(5_000)]
    joins = [join(f"j{number}", *names[:100]) for number in range(500)]
    assert paths(workflow(fork("f", *[[task(name)] for name in names]), join("all", *names), *joins)) == []


# -- task definitions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"name": ""}, "name"),
        ({"responseTimeoutSeconds": 0}, "responseTimeoutSeconds"),
        ({"timeoutSeconds": 60, "responseTimeoutSeconds": 61}, "responseTimeoutSeconds"),
        ({"timeoutSeconds": 60, "responseTimeoutSeconds": 10, "totalTimeoutSeconds": 59}, "timeoutSeconds"),
        ({"inputTemplate": {"a": "${"}}, "inputTemplate.a"),
    ],
)
def test_task_definitions_that_are_refused(fields: dict[str, Any], path: str) -> None:
    problems = validate_task_def(decode_task_def({"name": "t", **fields}))
    assert [problem.path for problem in problems] == [path]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"timeoutSeconds": 60, "responseTimeoutSeconds": 60, "totalTimeoutSeconds": 60},
        {"timeoutSeconds": 0, "totalTimeoutSeconds": 5},
    ],
)
def test_task_definitions_that_are_fine(fields: dict[str, Any]) -> None:
    assert validate_task_def(decode_task_def({"name": "t", **fields})) == []


# -- scripts -----------------------------------------------------------------------------------------------------------


def test_the_scripts_of_a_definition() -> None:
    inner = {"name": "i", "tasks": [task("jq", "JSON_JQ_TRANSFORM", inputParameters={"queryExpression": ".a"})]}
    definition = workflow(
        task("s", "SWITCH", evaluatorType="graaljs", expression="`${$.a}`", defaultCase=[task("d", "LAMBDA")]),
        switch("v", {"a": []}),
        task("i", "INLINE", inputParameters={"expression": "1"}),
        task("i2", "INLINE", inputParameters={"expression": "${workflow.input.script}"}),
        task("i3", "INLINE", inputParameters={"evaluatorType": "value-param", "expression": "x"}),
        task("l", "LAMBDA", inputParameters={"scriptExpression": "return 1"}),
        task("p", "HTTP_POLL", inputParameters={"http_request": {"terminationCondition": "2"}}),
        loop("loop", join("j", expression="3")),
        sub("sub", "i", workflowDefinition=inner),
    )
    assert [(script.path, script.language, script.text, script.body) for script in scripts_of(definition)] == [
        ("tasks[0].expression", "javascript", "`${$.a}`", False),
        ("tasks[2].inputParameters.expression", "javascript", "1", False),
        ("tasks[5].inputParameters.scriptExpression", "javascript", "return 1", True),
        ("tasks[6].inputParameters.http_request.terminationCondition", "javascript", "2", False),
        ("tasks[7].loopCondition", "javascript", "$.n < 3", False),
        ("tasks[7].loopOver[0].expression", "javascript", "3", False),
        (
            "tasks[8].subWorkflowParam.workflowDefinition.tasks[0].inputParameters.queryExpression",
            "jq",
            ".a",
            False,
        ),
    ]
