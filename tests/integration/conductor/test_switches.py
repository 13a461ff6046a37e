"""SWITCH and DECISION."""

from __future__ import annotations

import pytest

from tests.support.conductor import Conductor, inline, node, simple, switch, workflow


async def test_a_value_chooses_the_branch(conductor: Conductor) -> None:
    cases = {"a": [simple("in_a"), simple("in_a2")], "b": [simple("in_b")]}
    id = await conductor.run(
        workflow("wf", switch("choose", "${workflow.input.v}", cases, [simple("otherwise")]), simple("after")),
        input={"v": "a"},
    )
    task = await conductor.task(id, "choose")
    assert task["outputData"] == {"evaluationResult": ["a"], "selectedCase": "a"}
    assert task["inputData"] == {"value": "a", "case": "a", "hasChildren": "true"}
    assert (task["taskType"], task["taskDefName"]) == ("SWITCH", "SWITCH")
    for name in ("in_a", "in_a2", "after"):
        await conductor.work(name)
    assert await conductor.references(id) == ["choose", "in_a", "in_a2", "after"]
    assert await conductor.status(id) == "COMPLETED"


async def test_an_unknown_value_chooses_the_default(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("wf", switch("choose", "${workflow.input.v}", {"a": [simple("in_a")]}, [simple("otherwise")])),
        input={"v": "z"},
    )
    await conductor.work("otherwise")
    assert await conductor.status(id) == "COMPLETED"


async def test_an_empty_case_does_nothing(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("wf", switch("choose", "a", {"a": []}, [simple("otherwise")]), simple("after")),
    )
    assert "hasChildren" not in (await conductor.task(id, "choose"))["inputData"]
    await conductor.work("after")
    assert await conductor.references(id) == ["choose", "after"]


async def test_no_case_and_no_default_goes_on(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", switch("choose", "z", {"a": [simple("in_a")]})))
    assert await conductor.status(id) == "COMPLETED"


@pytest.mark.parametrize(
    ("value", "case"), [(None, "null"), (1, "1"), (True, "true"), (1.5, "1.5"), ("x y", "x y"), ("", "")]
)
async def test_values_are_turned_into_text(conductor: Conductor, value: object, case: str) -> None:
    id = await conductor.run(
        workflow("wf", switch("choose", "${workflow.input.v}", {case: [simple("chosen")]})), input={"v": value}
    )
    await conductor.work("chosen")
    assert (await conductor.task(id, "choose"))["outputData"]["selectedCase"] == case


async def test_a_script_chooses(conductor: Conductor) -> None:
    chooser = node(
        "SWITCH",
        "choose",
        {"n": "${workflow.input.n}"},
        evaluatorType="javascript",
        expression="$.n > 10 ? 'big' : 'small'",
        decisionCases={"big": [simple("big")], "small": [simple("small")]},
    )
    id = await conductor.run(workflow("wf", chooser), input={"n": 11})
    await conductor.work("big")
    assert await conductor.status(id) == "COMPLETED"


async def test_a_number_that_a_script_gives_has_no_decimals(conductor: Conductor) -> None:
    chooser = node(
        "SWITCH", "choose", evaluatorType="graaljs", expression="1 + 1", decisionCases={"2": [simple("two")]}
    )
    id = await conductor.run(workflow("wf", chooser))
    await conductor.work("two")
    assert await conductor.status(id) == "COMPLETED"


async def test_a_script_that_fails_fails_the_workflow(conductor: Conductor) -> None:
    chooser = node("SWITCH", "choose", evaluatorType="javascript", expression="$.a.b.c", decisionCases={"a": []})
    view = await conductor.until(await conductor.run(workflow("wf", chooser)), "FAILED")
    assert view["tasks"][0]["status"] == "FAILED"
    assert "choose" in view["reasonForIncompletion"]


async def test_switches_in_switches(conductor: Conductor) -> None:
    inner = switch("inner", "${workflow.input.b}", {"x": [simple("deep")]})
    id = await conductor.run(
        workflow("wf", switch("outer", "${workflow.input.a}", {"y": [inner]}), simple("after")),
        input={"a": "y", "b": "x"},
    )
    await conductor.work("deep")
    await conductor.work("after")
    assert await conductor.references(id) == ["outer", "inner", "deep", "after"]
    assert await conductor.status(id) == "COMPLETED"


async def test_a_switch_at_the_end_of_a_switch_that_matches_nothing(conductor: Conductor) -> None:
    inner = switch("inner", "none", {"x": [simple("deep")]})
    id = await conductor.run(workflow("wf", switch("outer", "y", {"y": [inner]}), simple("after")))
    await conductor.work("after")
    assert await conductor.status(id) == "COMPLETED"


async def test_a_decision_chooses_by_parameter_and_by_script(conductor: Conductor) -> None:
    by_value = node(
        "DECISION", "d1", {"v": "${workflow.input.v}"}, caseValueParam="v", decisionCases={"a": [simple("in_a")]}
    )
    by_script = node(
        "DECISION",
        "d2",
        {"v": "${workflow.input.v}"},
        caseExpression="$.v == 'a' ? 'yes' : 'no'",
        decisionCases={"yes": [simple("yes")]},
    )
    id = await conductor.run(workflow("wf", by_value, by_script), input={"v": "a"})
    await conductor.work("in_a")
    await conductor.work("yes")
    assert (await conductor.task(id, "d1"))["outputData"] == {"caseOutput": ["a"]}
    assert (await conductor.task(id, "d2"))["outputData"] == {"caseOutput": ["yes"]}
    assert await conductor.status(id) == "COMPLETED"


async def test_an_empty_case_of_a_decision_falls_to_the_default(conductor: Conductor) -> None:
    decision = node(
        "DECISION",
        "d",
        {"v": "a"},
        caseValueParam="v",
        decisionCases={"a": []},
        defaultCase=[simple("otherwise")],
    )
    id = await conductor.run(workflow("wf", decision))
    await conductor.work("otherwise")
    assert await conductor.status(id) == "COMPLETED"


async def test_the_output_of_a_script_chooses(conductor: Conductor) -> None:
    script = inline("compute", "({route: $.n % 2 == 0 ? 'even' : 'odd'})", input={"n": "${workflow.input.n}"})
    cases = {"even": [simple("even")], "odd": [simple("odd")]}
    id = await conductor.run(
        workflow("wf", script, switch("s", "${compute.output.result.route}", cases)), input={"n": 3}
    )
    await conductor.work("odd")
    assert await conductor.status(id) == "COMPLETED"
