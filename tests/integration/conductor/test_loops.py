"""DO_WHILE: conditions, lists, both, nested, and what may stand inside."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.conductor import (
    Conductor,
    fork,
    inline,
    loop,
    node,
    simple,
    sub_workflow,
    switch,
    task_def,
    workflow,
)


async def test_a_condition_counts_iterations(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("wf", loop("l", "$.l['iteration'] < $.n", simple("body"), input={"n": 3}), simple("z"))
    )
    for n in (1, 2, 3):
        task = await conductor.poll("body")
        assert (task["referenceTaskName"], task["iteration"]) == (f"body__{n}", n)
        await conductor.complete(task, {"n": n})
    await conductor.work("z")
    assert await conductor.references(id) == ["l", "body__1", "body__2", "body__3", "z"]
    output = (await conductor.task(id, "l"))["outputData"]
    assert output == {"iteration": 3, **{str(n): {"body": {"n": n}} for n in (1, 2, 3)}}
    assert await conductor.status(id) == "COMPLETED"


async def test_the_condition_sees_the_tasks_and_the_input(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow(
            "wf",
            loop(
                "l",
                "if ($.body.left > $.least) { true; } else { false; }",
                simple("body"),
                input={"least": "${workflow.input.least}"},
            ),
        ),
        input={"least": 0},
    )
    for left in (2, 1, 0):
        await conductor.work("body", {"left": left})
    await conductor.until(id)


@pytest.mark.parametrize(
    ("condition", "iterations"), [("false", 1), ("0", 1), ("-1", 1), ("2 - $.l.iteration", 2), ("null", 1), ("'x'", 1)]
)
async def test_true_or_a_positive_number_goes_on(conductor: Conductor, condition: str, iterations: int) -> None:
    id = await conductor.run(workflow("wf", loop("l", condition, node("NOOP", "n"))))
    await conductor.until(id)
    assert (await conductor.task(id, "l"))["outputData"]["iteration"] == iterations


async def test_a_condition_that_fails_fails_the_loop(conductor: Conductor) -> None:
    view = await conductor.until(await conductor.run(workflow("wf", loop("l", "$.x.y.z", node("NOOP", "n")))), "FAILED")
    assert view["tasks"][0]["status"] == "FAILED_WITH_TERMINAL_ERROR"


async def test_expressions_inside_see_the_latest_iteration(conductor: Conductor) -> None:
    body = [simple("a", {"i": "${l.output.iteration}"}), simple("b", {"from": "${a.output.n}"})]
    id = await conductor.run(
        workflow("wf", loop("l", "$.l.iteration < 2", *body), simple("z", {"last": "${b.output.n}"}))
    )
    for n in (1, 2):
        task = await conductor.work("a", {"n": n})
        assert task["inputData"] == {"i": n}
        task = await conductor.work("b", {"n": n * 10})
        assert task["inputData"] == {"from": n}
    task = await conductor.work("z")
    assert task["inputData"] == {"last": 20}
    await conductor.until(id)


async def test_a_list(conductor: Conductor) -> None:
    body = simple("body", {"item": "${l.output.loopItem}", "index": "${l.output.loopIndex}"})
    items = loop("l", "", body, items="${workflow.input.items}")
    del items["loopCondition"]
    id = await conductor.run(workflow("wf", items), input={"items": ["a", {"b": 1}]})
    seen = []
    for _ in range(2):
        seen.append((await conductor.work("body", {"done": True}))["inputData"])
    assert seen == [{"item": "a", "index": 0}, {"item": {"b": 1}, "index": 1}]
    await conductor.until(id)
    output = (await conductor.task(id, "l"))["outputData"]
    assert (output["iteration"], output["2"]) == (2, {"body": {"done": True}})


async def test_a_list_in_the_input_parameters(conductor: Conductor) -> None:
    items = loop(
        "l",
        "",
        inline("i", "$.v * 2", input={"v": "${l.output.loopItem}"}),
        input={"_items": "${workflow.input.items}"},
    )
    id = await conductor.run(workflow("wf", items), input={"items": [1, 2, 3]})
    await conductor.until(id)
    output = (await conductor.task(id, "l"))["outputData"]
    assert [output[str(n)]["i"]["result"] for n in (1, 2, 3)] == [2, 4, 6]


async def test_an_empty_list_runs_nothing(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("wf", loop("l", "true", simple("body"), items="${workflow.input.items}")), input={"items": []}
    )
    await conductor.until(id)
    assert (await conductor.task(id, "l"))["outputData"] == {"iteration": 0}
    assert await conductor.references(id) == ["l"]


async def test_a_list_stops_early_by_its_condition(conductor: Conductor) -> None:
    looped = loop("l", "$.l.loopItem != 'stop'", node("NOOP", "n"), items="${workflow.input.items}")
    id = await conductor.run(workflow("wf", looped), input={"items": ["a", "stop", "b"]})
    await conductor.until(id)
    assert (await conductor.task(id, "l"))["outputData"]["iteration"] == 2


async def test_what_is_no_list_fails(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("wf", loop("l", "true", simple("body"), items="${workflow.input.items}")), input={"items": "x"}
    )
    view = await conductor.until(id, "FAILED")
    assert "list" in view["reasonForIncompletion"]


async def test_old_iterations_are_dropped(conductor: Conductor) -> None:
    looped = loop(
        "l", "$.l.iteration < 6", inline("i", "$.n", input={"n": "${l.output.iteration}"}), input={"keepLastN": 2}
    )
    id = await conductor.run(workflow("wf", looped))
    await conductor.until(id)
    output = (await conductor.task(id, "l"))["outputData"]
    assert set(output) == {"iteration", "5", "6"}
    assert await conductor.references(id) == ["l", "i__5", "i__6"]


async def test_a_failing_body_fails_the_loop_after_its_retries(conductor: Conductor) -> None:
    await conductor.register(task_def("body", retryCount=1))
    id = await conductor.run(workflow("wf", loop("l", "$.l.iteration < 2", simple("body"))))
    await conductor.work("body")
    await conductor.fail(await conductor.poll("body"))
    await conductor.fail(await conductor.poll("body"), "no")
    view = await conductor.workflow(id)
    assert view["status"] == "FAILED"
    assert [(t["referenceTaskName"], t["status"]) for t in view["tasks"]] == [
        ("l", "CANCELED"),
        ("body__1", "COMPLETED"),
        ("body__2", "FAILED"),
        ("body__2", "FAILED"),
    ]


async def test_an_optional_body_goes_on(conductor: Conductor) -> None:
    await conductor.register(task_def("body"))
    id = await conductor.run(workflow("wf", loop("l", "$.l.iteration < 2", simple("body", optional=True))))
    await conductor.fail(await conductor.poll("body"))
    await conductor.fail(await conductor.poll("body"))
    await conductor.until(id)


async def test_loops_in_loops(conductor: Conductor) -> None:
    inner = loop(
        "inner",
        "$.inner.iteration < 2",
        inline("i", "$.o * 10 + $.n", input={"o": "${outer.output.iteration}", "n": "${inner.output.iteration}"}),
    )
    id = await conductor.run(workflow("wf", loop("outer", "$.outer.iteration < 2", inner, simple("after"))))
    await conductor.work("after")
    await conductor.work("after")
    view = await conductor.until(id)
    results = {t["referenceTaskName"]: t["outputData"]["result"] for t in view["tasks"] if t["taskType"] == "INLINE"}
    assert list(results.values()) == [11, 12, 21, 22]
    outer = view["tasks"][0]["outputData"]
    assert outer["2"]["inner"]["2"] == {"i": {"result": 22}}


async def test_a_switch_inside(conductor: Conductor) -> None:
    chosen = node(
        "SWITCH",
        "s",
        {"n": "${l.output.iteration}"},
        evaluatorType="javascript",
        expression="$.n % 2 == 0 ? 'even' : 'odd'",
        decisionCases={"even": [simple("even")], "odd": [simple("odd")]},
    )
    id = await conductor.run(workflow("wf", loop("l", "$.l.iteration < 3", chosen, node("NOOP", "n"))))
    for name in ("odd", "even", "odd"):
        await conductor.work(name)
    await conductor.until(id)
    assert await conductor.references(id) == [
        "l",
        "s__1",
        "odd__1",
        "n__1",
        "s__2",
        "even__2",
        "n__2",
        "s__3",
        "odd__3",
        "n__3",
    ]


async def test_a_switch_at_the_end_of_the_body(conductor: Conductor) -> None:
    chosen = switch("s", "${workflow.input.v}", {"a": [simple("in_a")]})
    id = await conductor.run(workflow("wf", loop("l", "$.l.iteration < 2", simple("body"), chosen)), input={"v": "a"})
    for _ in range(2):
        await conductor.work("body")
        await conductor.work("in_a")
    await conductor.until(id)


async def test_a_sub_workflow_inside(conductor: Conductor) -> None:
    await conductor.register(workflow("child", inline("i", "$.n * 2", input={"n": "${workflow.input.n}"})))
    body = sub_workflow("s", "child", {"n": "${l.output.iteration}"})
    id = await conductor.run(workflow("wf", loop("l", "$.l.iteration < 3", body)))
    view = await conductor.until(id)
    outputs = [task["outputData"]["result"] for task in view["tasks"] if task["taskType"] == "SUB_WORKFLOW"]
    assert outputs == [2, 4, 6]


async def test_a_terminate_inside_ends_the_workflow(conductor: Conductor) -> None:
    stop = node(
        "TERMINATE", "stop", {"terminationStatus": "COMPLETED", "workflowOutput": {"n": "${l.output.iteration}"}}
    )
    chosen = switch("s", "${l.output.iteration}", {"2": [stop]})
    id = await conductor.run(workflow("wf", loop("l", "true", chosen, node("NOOP", "n"))))
    view = await conductor.until(id)
    assert view["output"] == {"n": 2}


async def test_an_endless_loop_waits_for_its_workers(timed: Conductor) -> None:
    id = await timed.run(workflow("wf", loop("l", "true", node("WAIT", "w", {"duration": "10s"}))))
    for n in range(1, 4):
        await timed.until_task(id, f"w__{n}", "IN_PROGRESS")
        await timed.advance(10)
    await timed.until_task(id, "w__4", "IN_PROGRESS")
    await timed.call("DELETE", f"/workflow/{id}")
    assert await timed.status(id) == "TERMINATED"


@pytest.mark.timeout(110)
async def test_five_hundred_iterations_of_scripts(conductor: Conductor) -> None:
    body = inline("i", "$.n + 1", input={"n": "${l.output.iteration}"})
    id = await conductor.run(workflow("wf", loop("l", "$.l.iteration < 500", body)))
    view: Any = None
    for _ in range(20):
        try:
            view = await conductor.until(id)
            break
        except AssertionError:
            continue
    assert view is not None
    assert view["tasks"][0]["outputData"]["500"] == {"i": {"result": 501}}
    assert len(view["tasks"]) == 501


async def test_a_variable_ends_the_loop(conductor: Conductor) -> None:
    body = [
        inline("i", "$.n + 1", input={"n": "${workflow.variables.n}"}),
        node("SET_VARIABLE", "set", {"n": "${i.output.result}"}),
    ]
    looped = loop("l", "$.n < 5", *body, input={"n": "${workflow.variables.n}"})
    id = await conductor.run(workflow("wf", looped, variables={"n": 0}))
    view = await conductor.until(id)
    assert view["variables"] == {"n": 5}


async def test_branches_of_a_fork_inside_may_hold_loops(conductor: Conductor) -> None:
    inner = loop("inner", "$.inner.iteration < 2", node("NOOP", "n"))
    id = await conductor.run(
        workflow("wf", loop("outer", "$.outer.iteration < 2", *fork("f", [inner], [node("NOOP", "m")])))
    )
    view = await conductor.until(id)
    assert sum(task["taskType"] == "NOOP" for task in view["tasks"]) == 2 * (2 + 1)


async def test_ten_thousand_items_without_a_wait(conductor: Conductor) -> None:
    looped = loop("l", "", node("NOOP", "n"), items="${workflow.input.items}", input={"keepLastN": 1})
    id = await conductor.run(workflow("wf", looped), input={"items": list(range(6_000))})
    view: Any = None
    for _ in range(4):
        try:
            view = await conductor.until(id, ("COMPLETED", "FAILED", "TERMINATED"))
            break
        except AssertionError:
            continue
    assert view is not None
    assert (view["status"], view["tasks"][0]["outputData"]["iteration"]) == ("COMPLETED", 6_000)
