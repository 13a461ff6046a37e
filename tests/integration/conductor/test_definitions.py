"""Definitions over REST: registered, listed, refused with the path of what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.conductor import Conductor, fork, loop, node, simple, switch, task_def, workflow

W = "/metadata/workflow"
T = "/metadata/taskdefs"


async def test_a_definition_comes_back_as_it_was_given(conductor: Conductor) -> None:
    given = workflow("w", simple("one", {"a": None, "b": ["${workflow.input.x}"]}, retryCount=2, optional=True),
                     description="d", inputParameters=["x"], outputParameters={"o": "${one.output}"},
                     variables={"v": None}, timeoutSeconds=5, timeoutPolicy="TIME_OUT_WF")  # fmt: skip
    assert await conductor.post(W, given) is None
    shown = await conductor.get(f"{W}/w")
    for name, value in given.items():
        if name != "tasks":
            assert shown[name] == value
    for name, value in given["tasks"][0].items():
        assert shown["tasks"][0][name] == value
    assert shown["createTime"] > 0
    assert shown["schemaVersion"] == 2


async def test_versions(conductor: Conductor) -> None:
    for version in (1, 3, 2):
        await conductor.post(W, workflow("w", simple("one")) | {"version": version})
    await conductor.post(W, workflow("v", simple("one")))
    assert (await conductor.get(f"{W}/w"))["version"] == 3
    assert (await conductor.get(f"{W}/w", version=2))["version"] == 2
    await conductor.get(f"{W}/w", version=4, expect=404)
    await conductor.get(f"{W}/nobody", expect=404)
    assert [(each["name"], each["version"]) for each in await conductor.get(W)] == [
        ("v", 1),
        ("w", 1),
        ("w", 2),
        ("w", 3),
    ]
    assert await conductor.get(f"{W}/names") == ["v", "w"]
    summaries = await conductor.get(f"{W}/names-and-versions")
    assert {name: [each["version"] for each in versions] for name, versions in summaries.items()} == {
        "v": [1],
        "w": [1, 2, 3],
    }
    assert summaries["w"][0].keys() >= {"name", "version", "createTime"}
    assert [each["version"] for each in await conductor.get(f"{W}/w/versions")] == [1, 2, 3]
    assert [(each["name"], each["version"]) for each in await conductor.get(f"{W}/latest-versions")] == [
        ("v", 1),
        ("w", 3),
    ]


async def test_registering_twice_needs_overwrite(conductor: Conductor) -> None:
    await conductor.post(W, workflow("w", simple("one")))
    await conductor.post(W, workflow("w", simple("two")), expect=409)
    assert (await conductor.get(f"{W}/w"))["tasks"][0]["name"] == "one"
    created = (await conductor.get(f"{W}/w"))["createTime"]
    await conductor.post(W, workflow("w", simple("two")), overwrite="True")
    shown = await conductor.get(f"{W}/w")
    assert (shown["tasks"][0]["name"], shown["createTime"]) == ("two", created)
    assert shown["updateTime"] >= created


async def test_put_takes_many_and_says_what_it_could_not_take(conductor: Conductor) -> None:
    answer = await conductor.call("PUT", W, [workflow("a", simple("one")), workflow("b"), workflow("a", simple("two"))])
    assert answer["bulkSuccessfulResults"] == ["a", "a"]
    assert list(answer["bulkErrorResults"]) == ["b"]
    assert (await conductor.get(f"{W}/a"))["tasks"][0]["name"] == "two"
    await conductor.get(f"{W}/b", expect=404)
    await conductor.call("PUT", W, workflow("a", simple("one")), expect=400)


async def test_deletion(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", simple("one"), simple("two")))
    await conductor.call("DELETE", f"{W}/w/1")
    await conductor.get(f"{W}/w", expect=404)
    await conductor.call("DELETE", f"{W}/w/1", expect=404)
    await conductor.call("DELETE", f"{W}/w/first", expect=400)
    await conductor.start("w", expect=404)
    # What runs has its own copy.
    await conductor.work("one")
    await conductor.work("two")
    assert await conductor.status(id) == "COMPLETED"


async def test_what_runs_is_not_changed_by_an_overwrite(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", simple("one"), simple("two")))
    await conductor.register(workflow("w", simple("other")))
    await conductor.work("one")
    assert await conductor.references(id) == ["one", "two"]


NO_WORKFLOWS: list[tuple[Any, str]] = [
    (workflow("w"), "tasks"),
    ({"version": 1, "tasks": [simple("a")]}, "name"),
    (workflow("", simple("a")), "name"),
    (workflow("w", simple("a"), schemaVersion=1), "schemaVersion"),
    (workflow("w", simple("a"), timeoutPolicy="RETRY"), "timeoutPolicy"),
    (workflow("w", simple("a"), timeoutSeconds=-1), "timeoutSeconds"),
    (workflow("w", simple("a"), version=0), "version"),
    (workflow("w", {"name": "a", "type": "SIMPLE"}), "tasks[0].taskReferenceName"),
    (workflow("w", {"taskReferenceName": "a", "type": "SIMPLE"}), "tasks[0].name"),
    (workflow("w", simple("a"), simple("a")), "tasks[1].taskReferenceName"),
    (workflow("w", loop("l", "true", simple("l"))), "tasks[0].loopOver[0].taskReferenceName"),
    (workflow("w", node("JOIN", "j", joinOn=["nobody"])), "tasks[0].joinOn"),
    (workflow("w", fork("f", [simple("a")])[0]), "tasks[0]"),
    (workflow("w", node("DO_WHILE", "l", loopCondition="true")), "tasks[0].loopOver"),
    (workflow("w", loop("l", "if (", simple("a"))), "tasks[0].loopCondition"),
    (workflow("w", simple("a", {"x": "${workflow.input.[}"})), "tasks[0].inputParameters"),
    (workflow("w", node("INLINE", "i", {"evaluatorType": "javascript", "expression": "1 +"})),
     "tasks[0].inputParameters.expression"),
    (workflow("w", node("SUB_WORKFLOW", "s")), "tasks[0].subWorkflowParam"),
    (workflow("w", switch("s", "x", {"a": [simple("b")]}), simple("b")), "tasks[1].taskReferenceName"),
    (workflow("w", {"name": "a", "taskReferenceName": "a", "inputParameters": []}), "tasks[0].inputParameters"),
    (workflow("w", simple("a", retryCount=-1)), "tasks[0].retryCount"),
]  # fmt: skip


async def test_what_can_not_run_is_refused_with_its_path(conductor: Conductor) -> None:
    for definition, path in NO_WORKFLOWS:
        answers = [await conductor.post(route, definition, expect=400) for route in (W, f"{W}/validate")]
        if definition.get("name"):
            answers.append(await conductor.start(definition["name"], workflowDef=definition, expect=400))
        for error in answers:
            assert any(each["path"].startswith(path) for each in error["validationErrors"]), (definition, error)
            assert error["message"].startswith("Validation failed")
    assert await conductor.get(W) == []
    assert (await conductor.get("/workflow/search"))["totalHits"] == 0


async def test_all_faults_are_named_at_once(conductor: Conductor) -> None:
    definition = workflow("w", simple("a"), simple("a"), node("JOIN", "j", joinOn=["nobody"]))
    error = await conductor.post(W, definition, expect=400)
    assert len(error["validationErrors"]) >= 2


async def test_a_sound_definition_validates(conductor: Conductor) -> None:
    assert await conductor.post(f"{W}/validate", workflow("w", simple("a"))) is None
    await conductor.get(f"{W}/w", expect=404)


async def test_task_definitions(conductor: Conductor) -> None:
    await conductor.call("PUT", T, task_def("a"), expect=404)
    await conductor.post(T, [task_def("a", retryCount=2), task_def("b")])
    shown = await conductor.get(f"{T}/a")
    assert (shown["retryCount"], shown["timeoutPolicy"], shown["retryLogic"]) == (2, "TIME_OUT_WF", "FIXED")
    assert shown["responseTimeoutSeconds"] == 3600
    await conductor.post(T, [task_def("a", retryCount=5)])
    await conductor.call("PUT", T, task_def("a", retryCount=6))
    assert (await conductor.get(f"{T}/a"))["retryCount"] == 6
    assert [each["name"] for each in await conductor.get(T)] == ["a", "b"]
    await conductor.call("DELETE", f"{T}/a")
    await conductor.get(f"{T}/a", expect=404)
    await conductor.call("DELETE", f"{T}/a", expect=404)


@pytest.mark.parametrize(
    ("definition", "path"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        (task_def("a") | {"retryLogic": "SOMETIMES"}, "retryLogic"),
        (task_def("a", timeoutPolicy="NEVER"), "timeoutPolicy"),
        (task_def("a") | {"retryCount": -1}, "retryCount"),
        (task_def("a", timeoutSeconds=-1), "timeoutSeconds"),
        (task_def("a", responseTimeoutSeconds=0), "responseTimeoutSeconds"),
        (task_def("a", timeoutSeconds=5, responseTimeoutSeconds=10), "responseTimeoutSeconds"),
        (task_def("a", timeoutSeconds=50, responseTimeoutSeconds=1, totalTimeoutSeconds=10), ""),
        (task_def("a", concurrentExecLimit="many"), "concurrentExecLimit"),
    ],
)
async def test_bad_task_definitions_are_refused_whole(conductor: Conductor, definition: Any, path: str) -> None:
    error = await conductor.post(T, [task_def("good"), definition], expect=400)
    assert any(path in each["path"] for each in error["validationErrors"]), error
    assert await conductor.get(T) == []
    await conductor.post(T, definition, expect=400)
    await conductor.post(T, [], expect=400)
