"""`POST /workflow/test`: a workflow with given outcomes in the place of work."""

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

Outcomes = dict[str, list[dict[str, Any]]]


async def tried(conductor: Conductor, definition: Any, outcomes: Outcomes, **request: Any) -> Any:
    body = {"name": definition["name"], "workflowDef": definition, "taskRefToMockOutput": outcomes, **request}
    return await conductor.post("/workflow/test", body)


def statuses(view: Any) -> dict[str, str]:
    return {task["referenceTaskName"]: task["status"] for task in view["tasks"]}


async def test_the_outcomes_go_through_the_workflow(conductor: Conductor) -> None:
    definition = workflow(
        "w",
        simple("one", {"a": "${workflow.input.a}"}),
        inline("double", "$.n * 2", input={"n": "${one.output.n}"}),
        switch("big", "${double.output.result}", {"8": [simple("eight")]}, [simple("other")]),
        outputParameters={"result": "${double.output.result}"},
    )
    view = await tried(
        conductor, definition, {"one": [{"output": {"n": 4}}], "eight": [{"status": "COMPLETED"}]}, input={"a": 7}
    )
    assert (view["status"], view["output"]) == ("COMPLETED", {"result": 8})
    assert statuses(view) == dict.fromkeys(("one", "double", "big", "eight"), "COMPLETED")
    assert view["tasks"][0]["inputData"] == {"a": 7}


async def test_nothing_is_stored_and_no_worker_gets_anything(conductor: Conductor) -> None:
    view = await tried(conductor, workflow("w", simple("one"), simple("two")), {"one": [{}]})
    assert view["status"] == "RUNNING"
    await conductor.get(f"/workflow/{view['workflowId']}", expect=404)
    assert (await conductor.get("/workflow/search"))["totalHits"] == 0
    await conductor.poll_nothing("two")


async def test_it_stops_where_no_outcome_is_left(conductor: Conductor) -> None:
    view = await tried(conductor, workflow("w", simple("one"), simple("two")), {"one": [{"output": {"n": 1}}]})
    assert statuses(view) == {"one": "COMPLETED", "two": "SCHEDULED"}


async def test_a_registered_workflow(conductor: Conductor) -> None:
    await conductor.register(workflow("known", simple("one")))
    view = await conductor.post("/workflow/test", {"name": "known", "taskRefToMockOutput": {"one": [{}]}})
    assert view["status"] == "COMPLETED"
    await conductor.post("/workflow/test", {"name": "unknown"}, expect=404)


async def test_each_attempt_takes_the_next_outcome_and_time_is_not_waited_for(conductor: Conductor) -> None:
    await conductor.register(task_def("one", retryCount=2, retryDelaySeconds=3600))
    outcomes: Outcomes = {"one": [{"status": "FAILED"}, {"status": "FAILED"}, {"output": {"n": 3}}]}
    view = await tried(conductor, workflow("w", simple("one")), outcomes)
    assert view["status"] == "COMPLETED"
    assert [task["status"] for task in view["tasks"]] == ["FAILED", "FAILED", "COMPLETED"]
    assert view["endTime"] - view["startTime"] >= 7_200_000


async def test_a_failure(conductor: Conductor) -> None:
    outcomes: Outcomes = {"one": [{"status": "FAILED_WITH_TERMINAL_ERROR"}]}
    view = await tried(conductor, workflow("w", simple("one"), failureWorkflow="cleanup"), outcomes)
    assert view["status"] == "FAILED"


async def test_loops_take_an_outcome_an_iteration(conductor: Conductor) -> None:
    outcomes: Outcomes = {"step": [{"output": {"n": n}} for n in range(3)]}
    view = await tried(conductor, workflow("w", loop("l", "$.l.iteration < 3", simple("step"))), outcomes)
    assert view["status"] == "COMPLETED"
    assert [task["outputData"] for task in view["tasks"][1:]] == [{"n": 0}, {"n": 1}, {"n": 2}]
    outcomes = {"step": [{}], "step__2": [{"output": {"second": True}}]}
    view = await tried(conductor, workflow("w", loop("l", "$.l.iteration < 2", simple("step"))), outcomes)
    assert view["tasks"][-1]["outputData"] == {"second": True}


async def test_forks_waits_and_calls_of_the_world(conductor: Conductor) -> None:
    definition = workflow(
        "w",
        *fork(
            "f",
            [node("HTTP", "call", {"uri": "http://localhost:1/", "method": "GET"})],
            [node("WAIT", "pause", {"duration": "2 days"})],
            [node("WAIT", "signal"), node("HUMAN", "person")],
        ),
    )
    outcomes: Outcomes = {
        "call": [{"output": {"response": {"statusCode": 200}}}],
        "signal": [{"output": {"s": 1}}],
        "person": [{"output": {"ok": True}}],
    }
    view = await tried(conductor, definition, outcomes)
    assert view["status"] == "COMPLETED"
    join = view["tasks"][-1] if view["tasks"][-1]["taskType"] == "JOIN" else None
    join = join or next(task for task in view["tasks"] if task["taskType"] == "JOIN")
    assert join["outputData"]["person"] == {"ok": True}
    assert view["endTime"] - view["startTime"] >= 2 * 86_400_000


async def test_a_sub_workflow_has_outcomes_of_its_own(conductor: Conductor) -> None:
    await conductor.register(workflow("child", simple("work"), outputParameters={"n": "${work.output.n}"}))
    definition = workflow("w", sub_workflow("call", "child"), simple("after", {"n": "${call.output.n}"}))
    child = {"name": "child", "taskRefToMockOutput": {"work": [{"output": {"n": 5}}]}}
    view = await tried(conductor, definition, {"after": [{}]}, subWorkflowTestRequest={"call": child})
    assert view["status"] == "COMPLETED"
    assert view["tasks"][-1]["inputData"] == {"n": 5}


async def test_a_sub_workflow_can_be_an_outcome_itself(conductor: Conductor) -> None:
    await conductor.register(workflow("child", simple("work")))
    view = await tried(conductor, workflow("w", sub_workflow("call", "child")), {"call": [{"output": {"n": 5}}]})
    assert (view["status"], view["output"]) == ("COMPLETED", {"n": 5})


async def test_a_failed_child_fails_the_parent(conductor: Conductor) -> None:
    await conductor.register(workflow("child", simple("work")), task_def("work"))
    child = {"name": "child", "taskRefToMockOutput": {"work": [{"status": "FAILED"}]}}
    view = await tried(
        conductor, workflow("w", sub_workflow("call", "child")), {}, subWorkflowTestRequest={"call": child}
    )
    assert (view["status"], view["tasks"][0]["status"]) == ("FAILED", "FAILED")


async def test_what_takes_too_long_times_out(conductor: Conductor) -> None:
    await conductor.register(task_def("one", timeoutSeconds=10, responseTimeoutSeconds=10))
    view = await tried(conductor, workflow("w", simple("one")), {"one": [{"executionTime": 11_000}]})
    assert (view["status"], view["tasks"][0]["status"]) == ("TIMED_OUT", "TIMED_OUT")
    view = await tried(conductor, workflow("w", simple("one")), {"one": [{"executionTime": 9_000}]})
    assert view["status"] == "COMPLETED"


async def test_a_loop_without_end_is_refused(conductor: Conductor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenuto.server.workflow_tests.MOST_TASKS", 100)
    definition = workflow("w", loop("l", "true", node("NOOP", "n")))
    error = await conductor.post("/workflow/test", {"name": "w", "workflowDef": definition}, expect=400)
    assert "loop" in error["message"]


async def test_malformed_trials_are_400(conductor: Conductor) -> None:
    definition = workflow("w", simple("one"))
    for outcomes in ({"one": {}}, {"one": [{"status": "DONE"}]}, {"one": ["x"]}, []):
        body = {"name": "w", "workflowDef": definition, "taskRefToMockOutput": outcomes}
        await conductor.post("/workflow/test", body, expect=400)
    await conductor.post("/workflow/test", {"name": "w", "workflowDef": workflow("w")}, expect=400)
    await conductor.post("/workflow/test", None, expect=400)
