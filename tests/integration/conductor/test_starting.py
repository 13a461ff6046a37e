"""Starting: by name, by version, by a definition that comes along, once for an idempotency key."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.conductor import Conductor, node, simple, workflow

WAITING = workflow("waiting", node("WAIT", "wait"))


async def test_a_start_answers_the_bare_id(conductor: Conductor) -> None:
    await conductor.register(WAITING)
    answer = await conductor.client.post("/workflow", json={"name": "waiting", "input": {"a": 1}})
    assert answer.headers["content-type"].startswith("text/plain")
    assert not answer.text.startswith('"')
    started = await conductor.workflow(answer.text)
    assert (started["status"], started["input"]) == ("RUNNING", {"a": 1})
    # The first decision is made before the id is answered.
    assert [task["status"] for task in started["tasks"]] == ["IN_PROGRESS"]


async def test_a_start_by_name_takes_the_body_as_input(conductor: Conductor) -> None:
    await conductor.register(WAITING, WAITING | {"version": 2})
    id = await conductor.post("/workflow/waiting", {"a": None}, correlationId="c", priority=7, version=1)
    started = await conductor.workflow(id)
    assert started["input"] == {"a": None}
    assert (started["correlationId"], started["priority"], started["workflowVersion"]) == ("c", 7, 1)


async def test_without_a_version_the_latest_is_started(conductor: Conductor) -> None:
    await conductor.register(WAITING, WAITING | {"version": 3}, WAITING | {"version": 2})
    assert (await conductor.workflow(await conductor.start("waiting")))["workflowVersion"] == 3
    assert (await conductor.workflow(await conductor.start("waiting", version=2)))["workflowVersion"] == 2
    await conductor.start("waiting", version=9, expect=404)


async def test_a_start_by_name_and_version(conductor: Conductor) -> None:
    await conductor.register(WAITING, WAITING | {"version": 2})
    id = await conductor.post("/workflow/start/waiting/1", {"input": {"a": 1}, "correlationId": "c"})
    started = await conductor.workflow(id)
    assert (started["workflowVersion"], started["input"], started["correlationId"]) == (1, {"a": 1}, "c")
    await conductor.post("/workflow/start/waiting/latest", {}, expect=400)


async def test_a_definition_that_comes_along_need_not_be_registered(conductor: Conductor) -> None:
    id = await conductor.start("inline", workflowDef=workflow("inline", simple("one")) | {"version": 4})
    started = await conductor.workflow(id)
    assert (started["workflowName"], started["workflowVersion"]) == ("inline", 4)
    assert started["workflowDefinition"]["tasks"][0]["taskReferenceName"] == "one"
    await conductor.get("/metadata/workflow/inline", expect=404)


@pytest.mark.parametrize(
    "definition",
    [
        workflow("bad"),
        workflow("bad", simple("a"), simple("a")),
        workflow("bad", node("JOIN", "join", joinOn=["nobody"])),
        {"name": "bad", "tasks": "none"},
        "bad",
        [],
    ],
    ids=["no tasks", "a name twice", "an unknown name to join", "tasks no list", "text", "list"],
)
async def test_a_bad_definition_that_comes_along_is_refused(conductor: Conductor, definition: Any) -> None:
    await conductor.start("bad", workflowDef=definition, expect=400)
    assert (await conductor.get("/workflow/search"))["totalHits"] == 0


MALFORMED: list[Any] = [
    {},
    {"name": ""},
    {"name": "waiting", "input": []},
    {"name": "waiting", "input": "text"},
    {"name": "waiting", "priority": 100},
    {"name": "waiting", "priority": -1},
    {"name": "waiting", "version": "two"},
    {"name": "waiting", "idempotencyKey": "k", "idempotencyStrategy": "SOMETIMES"},
    {"name": "waiting", "taskToDomain": ["d"]},
    {"name": 7},
    [],
    "waiting",
    None,
]


async def test_a_malformed_start_is_400_and_stores_nothing(conductor: Conductor) -> None:
    await conductor.register(WAITING)
    for request in MALFORMED:
        error = await conductor.post("/workflow", request, expect=400)
        assert error["status"] == 400
        assert error["message"]
    assert (await conductor.get("/workflow/search"))["totalHits"] == 0


async def test_priorities_are_0_to_99(conductor: Conductor) -> None:
    await conductor.register(WAITING)
    for priority in ("0", "99", ""):
        await conductor.post("/workflow/waiting", {}, priority=priority)
    for priority in ("100", "-1", "high"):
        await conductor.post("/workflow/waiting", {}, priority=priority, expect=400)


async def test_nulls_and_unknown_fields_are_understood(conductor: Conductor) -> None:
    await conductor.register(WAITING)
    request = {"name": "waiting", "version": None, "priority": None, "input": None, "taskToDomain": None, "new": {}}
    started = await conductor.workflow(await conductor.post("/workflow", request))
    assert (started["input"], started["priority"], started["taskToDomain"]) == ({}, 0, {})


async def test_an_unknown_name_is_404(conductor: Conductor) -> None:
    await conductor.start("nobody", expect=404)
    await conductor.post("/workflow/nobody", {}, expect=404)
    await conductor.post("/workflow/execute/nobody/1", {"name": "nobody", "version": 1}, expect=404)


async def test_who_started_it_and_who_for(conductor: Conductor) -> None:
    await conductor.register(WAITING)
    id = await conductor.start("waiting", correlationId="order 7/8", createdBy="ann", taskToDomain={"*": "d"})
    started = await conductor.workflow(id)
    assert (started["correlationId"], started["createdBy"], started["taskToDomain"]) == ("order 7/8", "ann", {"*": "d"})
    assert started["tasks"][0]["correlationId"] == "order 7/8"


# -- idempotency -------------------------------------------------------------------------------------------------------


async def test_of_parallel_starts_with_a_key_one_starts(conductor: Conductor) -> None:
    await conductor.register(WAITING)
    request = {"idempotencyKey": "k", "idempotencyStrategy": "RETURN_EXISTING"}
    ids = await asyncio.gather(*(conductor.start("waiting", {"n": n}, **request) for n in range(20)))
    assert len(set(ids)) == 1
    assert (await conductor.get("/workflow/search"))["totalHits"] == 1
    assert (await conductor.workflow(ids[0]))["idempotencyKey"] == "k"


async def test_an_execution_that_has_ended_is_returned_too(conductor: Conductor) -> None:
    await conductor.register(WAITING)
    request = {"idempotencyKey": "k", "idempotencyStrategy": "RETURN_EXISTING"}
    id = await conductor.start("waiting", **request)
    await conductor.update_by_reference(id, "wait")
    assert await conductor.start("waiting", **request) == id


async def test_fail_refuses_while_there_is_any(conductor: Conductor) -> None:
    await conductor.register(WAITING)
    request = {"idempotencyKey": "k", "idempotencyStrategy": "FAIL"}
    id = await conductor.start("waiting", **request)
    assert id in (await conductor.start("waiting", expect=409, **request))["message"]
    await conductor.update_by_reference(id, "wait")
    await conductor.start("waiting", expect=409, **request)
    # A key without a strategy is one that must not be used twice.
    await conductor.start("waiting", idempotencyKey="k", expect=409)


async def test_of_parallel_starts_that_must_not_repeat_one_starts(conductor: Conductor) -> None:
    await conductor.register(WAITING)
    request = {"name": "waiting", "idempotencyKey": "k", "idempotencyStrategy": "FAIL"}
    answers = await asyncio.gather(*(conductor.client.post("/workflow", json=request) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19


async def test_fail_on_running_refuses_until_it_has_ended(conductor: Conductor) -> None:
    await conductor.register(WAITING)
    request = {"idempotencyKey": "k", "idempotencyStrategy": "FAIL_ON_RUNNING"}
    first = await conductor.start("waiting", **request)
    await conductor.start("waiting", expect=409, **request)
    await conductor.call("PUT", f"/workflow/{first}/pause")
    await conductor.start("waiting", expect=409, **request)
    await conductor.call("DELETE", f"/workflow/{first}")
    second = await conductor.start("waiting", **request)
    assert second != first
    await conductor.start("waiting", expect=409, **request)
    await conductor.update_by_reference(second, "wait")
    third = await conductor.start("waiting", **request)
    assert third not in (first, second)
    existing = {"idempotencyKey": "k", "idempotencyStrategy": "RETURN_EXISTING"}
    assert await conductor.start("waiting", **existing) == third


async def test_a_key_belongs_to_one_workflow(conductor: Conductor) -> None:
    await conductor.register(WAITING, WAITING | {"name": "other"})
    request = {"idempotencyKey": "k", "idempotencyStrategy": "FAIL"}
    assert await conductor.start("waiting", **request) != await conductor.start("other", **request)


@pytest.mark.parametrize("key", [None, "", "  "], ids=repr)
async def test_a_strategy_without_a_key_means_nothing(conductor: Conductor, key: str | None) -> None:
    await conductor.register(WAITING)
    request = {"idempotencyKey": key, "idempotencyStrategy": "FAIL"}
    assert await conductor.start("waiting", **request) != await conductor.start("waiting", **request)


async def test_a_key_is_free_again_when_its_execution_is_removed(conductor: Conductor) -> None:
    await conductor.register(WAITING)
    request = {"idempotencyKey": "k", "idempotencyStrategy": "RETURN_EXISTING"}
    first = await conductor.start("waiting", **request)
    await conductor.call("DELETE", f"/workflow/{first}/remove", archiveWorkflow=False)
    second = await conductor.start("waiting", **request)
    assert (await conductor.workflow(second))["status"] == "RUNNING"


# -- execute and wait --------------------------------------------------------------------------------------------------


async def test_execute_answers_when_the_workflow_has_ended(conductor: Conductor) -> None:
    await conductor.register(workflow("quick", node("NOOP", "n"), outputParameters={"got": "${workflow.input.a}"}))
    run = await conductor.post("/workflow/execute/quick/1", {"name": "quick", "input": {"a": 1}}, requestId="r-1")
    assert (run["responseType"], run["requestId"], run["signalTimeout"]) == ("TARGET_WORKFLOW", "r-1", False)
    assert (run["status"], run["targetWorkflowStatus"], run["output"]) == ("COMPLETED", "COMPLETED", {"got": 1})
    assert run["targetWorkflowId"] == run["workflowId"]
    assert [task["referenceTaskName"] for task in run["tasks"]] == ["n"]


async def test_version_0_is_the_latest(conductor: Conductor) -> None:
    quick = workflow("quick", node("NOOP", "n"))
    await conductor.register(quick, quick | {"version": 2, "outputParameters": {"version": 2}})
    assert (await conductor.post("/workflow/execute/quick/0", {"name": "quick"}))["output"] == {"version": 2}


async def test_execute_answers_when_a_task_waits_for_somebody(conductor: Conductor) -> None:
    for kind in ("WAIT", "HUMAN"):
        await conductor.register(workflow("asks", node("NOOP", "n"), node(kind, "answer")))
        run = await conductor.post("/workflow/execute/asks/1", {"name": "asks"}, waitForSeconds=20)
        assert (run["status"], run["signalTimeout"]) == ("RUNNING", False)
        assert run["tasks"][-1]["status"] == "IN_PROGRESS"


async def test_execute_gives_up_after_its_time(conductor: Conductor) -> None:
    await conductor.register(workflow("slow", simple("work")))
    run = await conductor.post("/workflow/execute/slow/1", {"name": "slow"}, waitForSeconds=0.05)
    assert (run["status"], run["signalTimeout"]) == ("RUNNING", True)


async def test_execute_waits_until_a_task_is_over(conductor: Conductor) -> None:
    await conductor.register(workflow("two", simple("one"), simple("two")))
    executed = asyncio.create_task(
        conductor.post("/workflow/execute/two/1", {"name": "two"}, waitForSeconds=15, waitUntilTaskRef="other, one")
    )
    await conductor.work("one")
    run = await executed
    assert run["status"] == "RUNNING"
    assert run["tasks"][0]["status"] in ("IN_PROGRESS", "COMPLETED")


async def test_a_workflow_that_fails_at_once_is_still_200(conductor: Conductor) -> None:
    bad = node("INLINE", "bad", {"evaluatorType": "javascript", "expression": "throw new Error('no')"})
    await conductor.register(workflow("fails", bad))
    run = await conductor.post("/workflow/execute/fails/1", {"name": "fails"})
    assert run["status"] == "FAILED"


@pytest.mark.parametrize(
    ("strategy", "kind"),
    [
        ("TARGET_WORKFLOW", "target"),
        ("BLOCKING_WORKFLOW", "child"),
        ("BLOCKING_TASK", "task"),
        ("BLOCKING_TASK_INPUT", "task"),
    ],
)
async def test_what_execute_returns(conductor: Conductor, strategy: str, kind: str) -> None:
    child = workflow("child", node("WAIT", "wait", {"q": "${workflow.input.q}"}))
    call = node("SUB_WORKFLOW", "call", {"q": 42}, subWorkflowParam={"name": "child"})
    await conductor.register(child, workflow("parent", call))
    run = await conductor.post(
        "/workflow/execute/parent/1", {"name": "parent"}, returnStrategy=strategy, waitForSeconds=15
    )
    parent_id = run["targetWorkflowId"]
    child_id = (await conductor.task(parent_id, "call"))["subWorkflowId"]
    assert run["responseType"] == strategy
    assert run["targetWorkflowStatus"] == "RUNNING"
    match kind:
        case "target":
            assert run["workflowId"] == parent_id
            assert run["tasks"][0]["referenceTaskName"] == "call"
        case "child":
            assert run["workflowId"] == child_id
            assert run["tasks"][0]["referenceTaskName"] == "wait"
        case "task":
            assert (run["workflowId"], run["referenceTaskName"], run["taskType"]) == (child_id, "wait", "WAIT")
            assert (run["input"], run["status"]) == ({"q": 42}, "IN_PROGRESS")


async def test_without_a_blocking_task_there_is_none_to_return(conductor: Conductor) -> None:
    await conductor.register(workflow("quick", node("NOOP", "n")))
    body = {"name": "quick"}
    assert await conductor.post("/workflow/execute/quick/1", body, returnStrategy="BLOCKING_TASK") is None


async def test_malformed_executes_are_400(conductor: Conductor) -> None:
    await conductor.register(WAITING)
    for query in ({"returnStrategy": "ALL"}, {"waitForSeconds": "soon"}, {"waitForSeconds": -1}):
        await conductor.post("/workflow/execute/waiting/1", {"name": "waiting"}, expect=400, **query)
    await conductor.post("/workflow/execute/waiting/first", {"name": "waiting"}, expect=400)
    assert (await conductor.get("/workflow/search"))["totalHits"] == 0


async def test_a_workflow_as_a_function(conductor: Conductor) -> None:
    await conductor.register(workflow("add", node("NOOP", "n"), outputParameters={"got": "${workflow.input}"}))
    assert await conductor.post("/workflow/execute/add", {"a": 1}) == {"got": {"a": 1}}
    assert await conductor.get("/workflow/execute/add", a="1", version=1) == {"got": {"a": "1"}}
