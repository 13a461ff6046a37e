"""INLINE, LAMBDA, JSON_JQ_TRANSFORM."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.conductor import Conductor, inline, node, task_def, workflow


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("1 + 1", 2),
        ("$.a + $.b", 7),
        ("({sum: $.a + $.b})", {"sum": 7}),
        ("(function () { return $.list.map(x => x * 2); })()", [2, 4]),
        ("function e() { return $.a; } e();", 3),
        ("let x = $.a; x > 1 ? 'big' : 'small'", "big"),
        ("if ($.a > 2) { 'yes' } else { 'no' }", "yes"),
        ("$.list.get(0)", 1),
        ("$.map.k", "v"),
        ("$['map']['k']", "v"),
        ("7 / 2", 3.5),
        ("null", None),
        ("undefined", None),
        ("[1, , 3].length", 3),
        ("JSON.stringify($.map)", '{"k":"v"}'),
        ("$.missing === undefined", True),
    ],
)
async def test_what_a_script_comes_to(conductor: Conductor, expression: str, result: Any) -> None:
    input = {"a": 3, "b": 4, "list": [1, 2], "map": {"k": "v"}}
    view = await conductor.until(await conductor.run(workflow("wf", inline("i", expression, input=input))))
    assert view["output"] == {"result": result}


@pytest.mark.parametrize("expression", ["throw new Error('boom')", "$.a.b.c", "this is no script", "boom()"])
async def test_a_script_that_fails(conductor: Conductor, expression: str) -> None:
    id = await conductor.run(workflow("wf", inline("i", "${workflow.input.e}")), input={"e": expression})
    view = await conductor.until(id, "FAILED")
    task = view["tasks"][0]
    assert task["status"] == "FAILED_WITH_TERMINAL_ERROR"
    assert task["outputData"]["error"]


@pytest.mark.parametrize(
    "input", [{}, {"expression": ""}, {"expression": 5}, {"expression": "1", "evaluatorType": "cobol"}]
)
async def test_a_script_that_is_none(conductor: Conductor, input: dict[str, Any]) -> None:
    parameters = {"expression": "${workflow.input.expression}", "evaluatorType": "${workflow.input.evaluatorType}"}
    id = await conductor.run(workflow("wf", node("INLINE", "i", parameters)), input=input)
    view = await conductor.until(id, "FAILED")
    assert view["tasks"][0]["status"] == "FAILED_WITH_TERMINAL_ERROR"


async def test_the_default_evaluator_is_javascript(conductor: Conductor) -> None:
    view = await conductor.until(await conductor.run(workflow("wf", node("INLINE", "i", {"expression": "2 * 3"}))))
    assert view["output"] == {"result": 6}


async def test_value_param(conductor: Conductor) -> None:
    given = {"evaluatorType": "value-param", "expression": "v", "v": {"a": 1}}
    view = await conductor.until(await conductor.run(workflow("wf", node("INLINE", "i", given))))
    assert view["output"] == {"result": {"a": 1}}


async def test_a_script_that_never_ends_is_stopped(conductor: Conductor) -> None:
    view = await conductor.until(await conductor.run(workflow("wf", inline("i", "while (true) {}"))), "FAILED")
    assert view["tasks"][0]["status"] == "FAILED"


async def test_an_optional_script_may_fail(conductor: Conductor) -> None:
    view = await conductor.until(await conductor.run(workflow("wf", inline("i", "nothing.x", optional=True))))
    assert view["tasks"][0]["status"] == "COMPLETED_WITH_ERRORS"


async def test_lambda_is_the_body_of_a_function(conductor: Conductor) -> None:
    script = "if ($.a > 1) { return {big: true}; } else { return {big: false}; }"
    view = await conductor.until(
        await conductor.run(workflow("wf", node("LAMBDA", "l", {"scriptExpression": script, "a": 2})))
    )
    assert view["output"] == {"result": {"big": True}}


async def test_lambda_that_fails(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", node("LAMBDA", "l", {"scriptExpression": "return $.x.y.z;"})))
    view = await conductor.until(id, "FAILED")
    assert view["tasks"][0]["status"] == "FAILED"
    assert view["tasks"][0]["outputData"]["error"]


async def test_a_failed_script_is_tried_again_by_its_definition(conductor: Conductor) -> None:
    await conductor.register(task_def("l", retryCount=1))
    script = node("LAMBDA", "l", {"scriptExpression": "return $.x.y.z;"})
    view = await conductor.until(await conductor.run(workflow("wf", script)), "FAILED")
    assert [(task["status"], task["retryCount"]) for task in view["tasks"]] == [("FAILED", 0), ("FAILED", 1)]


@pytest.mark.parametrize(
    ("query", "results"),
    [
        (".a + .b", [7]),
        (".list[]", [1, 2]),
        ("{sum: (.list | add)}", [{"sum": 3}]),
        (".list | map(. * 2)", [[2, 4]]),
        (".missing", [None]),
        ("empty", []),
    ],
)
async def test_jq(conductor: Conductor, query: str, results: list[Any]) -> None:
    input = {"queryExpression": query, "a": 3, "b": 4, "list": [1, 2]}
    view = await conductor.until(await conductor.run(workflow("wf", node("JSON_JQ_TRANSFORM", "q", input))))
    assert view["output"]["resultList"] == results
    assert view["output"].get("result") == (results[0] if results else None)


@pytest.mark.parametrize("query", ['error("x")', ".a | keys", ". |", "", None])
async def test_jq_that_fails(conductor: Conductor, query: Any) -> None:
    parameters = {"queryExpression": "${workflow.input.q}", "a": 3}
    id = await conductor.run(workflow("wf", node("JSON_JQ_TRANSFORM", "q", parameters)), input={"q": query})
    view = await conductor.until(id, "FAILED")
    assert view["tasks"][0]["status"] == "FAILED"
    assert view["tasks"][0]["outputData"]["error"]
