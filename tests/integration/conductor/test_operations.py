"""What can be done to an execution while it runs, and its removal: the effects, and when it is refused."""

from __future__ import annotations

import pytest

from tests.support.conductor import Conductor, fork, node, simple, sub_workflow, task_def, workflow

TWO = workflow("two", simple("one"), simple("two"))
ONCE = [task_def("one"), task_def("two")]
NOBODY = "01234567-89ab-cdef-0123-456789abcdef"


async def put(conductor: Conductor, path: str, expect: int = 200) -> None:
    await conductor.call("PUT", path, expect=expect)


async def delete(conductor: Conductor, path: str, expect: int = 200, **query: object) -> None:
    assert await conductor.call("DELETE", path, expect=expect, **query) is None or expect != 200


async def ended(conductor: Conductor, status: str) -> str:
    """A workflow that has ended in this way."""
    id: str = await conductor.run(TWO, *ONCE)
    if status == "TERMINATED":
        await delete(conductor, f"/workflow/{id}")
    elif status == "FAILED":
        await conductor.update_by_reference(id, "one", "FAILED")
    else:
        await conductor.update_by_reference(id, "one")
        await conductor.update_by_reference(id, "two")
    assert await conductor.status(id) == status
    return id


# -- pause and resume --------------------------------------------------------------------------------------------------


async def test_a_paused_workflow_schedules_nothing(conductor: Conductor) -> None:
    id = await conductor.run(TWO)
    await put(conductor, f"/workflow/{id}/pause")
    assert await conductor.status(id) == "PAUSED"
    # What is in a queue can still be polled and completed.
    await conductor.work("one")
    assert await conductor.statuses(id) == {"one": "COMPLETED"}
    await put(conductor, f"/workflow/{id}/resume")
    view = await conductor.workflow(id)
    assert (view["status"], len(view["tasks"])) == ("RUNNING", 2)
    assert view["lastRetriedTime"] > 0
    await conductor.work("two")
    assert await conductor.status(id) == "COMPLETED"


async def test_pausing_twice_changes_nothing(conductor: Conductor) -> None:
    id = await conductor.run(TWO)
    await put(conductor, f"/workflow/{id}/pause")
    await put(conductor, f"/workflow/{id}/pause")
    assert await conductor.status(id) == "PAUSED"


async def test_only_a_paused_workflow_is_resumed(conductor: Conductor) -> None:
    id = await conductor.run(TWO)
    await put(conductor, f"/workflow/{id}/resume", expect=409)
    await put(conductor, f"/workflow/{await ended(conductor, 'COMPLETED')}/resume", expect=409)


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "TERMINATED"])
async def test_what_has_ended_is_not_paused(conductor: Conductor, status: str) -> None:
    await put(conductor, f"/workflow/{await ended(conductor, status)}/pause", expect=409)


async def test_a_wait_that_ends_while_paused_goes_on_when_resumed(timed: Conductor) -> None:
    id = await timed.run(workflow("w", node("WAIT", "wait", {"duration": "10 seconds"}), simple("after")))
    await put(timed, f"/workflow/{id}/pause")
    await timed.advance(30)
    assert "after" not in await timed.references(id)
    await put(timed, f"/workflow/{id}/resume")
    await timed.settled()
    assert await timed.statuses(id) == {"wait": "COMPLETED", "after": "SCHEDULED"}


async def test_a_child_that_ends_while_its_parent_is_paused(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("parent", sub_workflow("call", "child"), simple("after")), workflow("child", simple("work"))
    )
    await conductor.until_task(id, "call", "IN_PROGRESS")
    await put(conductor, f"/workflow/{id}/pause")
    await conductor.work("work")
    await conductor.until_task(id, "call", "COMPLETED")
    assert await conductor.references(id) == ["call"]
    await put(conductor, f"/workflow/{id}/resume")
    await conductor.work("after")
    assert await conductor.status(id) == "COMPLETED"


async def test_the_timeout_counts_anew_from_the_resumption(timed: Conductor) -> None:
    id = await timed.run(workflow("w", simple("one"), timeoutSeconds=60, timeoutPolicy="TIME_OUT_WF"))
    await timed.advance(50)
    await put(timed, f"/workflow/{id}/pause")
    await put(timed, f"/workflow/{id}/resume")
    await timed.advance(50)
    assert await timed.status(id) == "RUNNING"
    await timed.advance(11)
    await timed.until(id, "TIMED_OUT")


# -- terminate ---------------------------------------------------------------------------------------------------------


async def test_terminate_ends_what_is_open(conductor: Conductor) -> None:
    id = await conductor.run(workflow("forked", *fork("f", [simple("a")], [node("WAIT", "w")])))
    task = await conductor.poll("a")
    await delete(conductor, f"/workflow/{id}", reason="enough")
    view = await conductor.workflow(id)
    assert (view["status"], view["reasonForIncompletion"]) == ("TERMINATED", "enough")
    assert view["endTime"] >= view["startTime"] > 0
    assert {task["referenceTaskName"]: task["status"] for task in view["tasks"]} == {
        "f": "COMPLETED",
        "a": "CANCELED",
        "w": "CANCELED",
        "f_join": "CANCELED",
    }
    # A late update is taken note of and ignored.
    assert await conductor.complete(task) == task["taskId"]
    assert (await conductor.task(id, "a"))["status"] == "CANCELED"
    await conductor.poll_nothing("a")


async def test_terminating_twice_changes_nothing(conductor: Conductor) -> None:
    id = await conductor.run(TWO)
    await delete(conductor, f"/workflow/{id}", reason="first")
    await delete(conductor, f"/workflow/{id}", reason="second")
    assert (await conductor.workflow(id))["reasonForIncompletion"] == "first"


async def test_a_completed_workflow_is_not_terminated(conductor: Conductor) -> None:
    await delete(conductor, f"/workflow/{await ended(conductor, 'COMPLETED')}", expect=409)


async def test_a_failed_workflow_becomes_terminated(conductor: Conductor) -> None:
    id = await ended(conductor, "FAILED")
    await delete(conductor, f"/workflow/{id}", reason="given up")
    view = await conductor.workflow(id)
    assert (view["status"], view["reasonForIncompletion"]) == ("TERMINATED", "given up")


async def test_terminating_a_parent_terminates_its_children(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("parent", sub_workflow("call", "child")), workflow("child", sub_workflow("deeper", "grandchild")),
        workflow("grandchild", simple("work")),
    )  # fmt: skip
    await conductor.poll("work")
    child = (await conductor.task(id, "call"))["subWorkflowId"]
    grandchild = (await conductor.task(child, "deeper"))["subWorkflowId"]
    await delete(conductor, f"/workflow/{id}", reason="stop")
    for each in (child, grandchild):
        view = await conductor.until(each, "TERMINATED")
        assert view["reasonForIncompletion"].startswith("Parent workflow has been terminated with reason: ")
    assert "stop" in (await conductor.workflow(child))["reasonForIncompletion"]


async def test_terminating_a_child_cancels_the_parents_task(conductor: Conductor) -> None:
    id = await conductor.run(workflow("parent", sub_workflow("call", "child")), workflow("child", simple("work")))
    await conductor.poll("work")
    child = (await conductor.task(id, "call"))["subWorkflowId"]
    await delete(conductor, f"/workflow/{child}", reason="stop")
    view = await conductor.until(id, "TERMINATED")
    assert view["tasks"][0]["status"] == "CANCELED"
    assert "stop" in view["reasonForIncompletion"]


async def test_termination_starts_the_failure_workflow_only_if_asked(conductor: Conductor) -> None:
    definition = TWO | {"failureWorkflow": "cleanup"}
    quiet = await conductor.run(definition, workflow("cleanup", simple("clean")))
    await delete(conductor, f"/workflow/{quiet}", reason="no")
    await conductor.poll_nothing("clean")
    loud = await conductor.start("two")
    await delete(conductor, f"/workflow/{loud}", reason="no", triggerFailureWorkflow="True")
    task = await conductor.poll("clean")
    assert (await conductor.workflow(task["workflowInstanceId"]))["input"]["workflowId"] == loud


async def test_the_output_is_made_at_termination(conductor: Conductor) -> None:
    id = await conductor.run(TWO | {"outputParameters": {"one": "${one.output.n}", "two": "${two.output.n}"}})
    await conductor.work("one", {"n": 1})
    await delete(conductor, f"/workflow/{id}")
    assert (await conductor.workflow(id))["output"] == {"one": 1, "two": None}


# -- skip --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["body", "query"])
async def test_a_skipped_task_is_stepped_over(conductor: Conductor, way: str) -> None:
    request = '{"taskInput": {"i": 1}, "taskOutput": {"o": 2}}'
    id = await conductor.run(workflow("w", simple("one"), simple("two"), simple("three", {"got": "${two.output.o}"})))
    path = f"/workflow/{id}/skiptask/two"
    content, params = (request, None) if way == "body" else ("{}", {"skipTaskRequest": request})
    answer = await conductor.client.put(path, content=content, params=params)
    assert (answer.status_code, answer.text) == (200, "")
    first = (await conductor.tasks(id))[0]
    assert (first["referenceTaskName"], first["status"], first["seq"]) == ("two", "SKIPPED", 0)
    assert (first["inputData"], first["outputData"]) == ({"i": 1}, {"o": 2})
    await conductor.work("one")
    task = await conductor.poll("three")
    assert task["inputData"] == {"got": 2}
    await conductor.complete(task)
    assert await conductor.status(id) == "COMPLETED"


async def test_the_last_task_can_be_skipped(conductor: Conductor) -> None:
    id = await conductor.run(TWO)
    await put(conductor, f"/workflow/{id}/skiptask/two")
    await conductor.work("one")
    assert await conductor.status(id) == "COMPLETED"


async def test_a_fork_is_skipped_with_its_branches(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", simple("one"), *fork("f", [simple("a"), simple("b")], [simple("c")])))
    await put(conductor, f"/workflow/{id}/skiptask/f")
    await conductor.work("one")
    assert await conductor.status(id) == "COMPLETED"


async def test_a_task_of_a_branch_can_be_skipped(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", simple("one"), *fork("f", [simple("a")], [simple("b")])))
    await put(conductor, f"/workflow/{id}/skiptask/b")
    await conductor.work("one")
    await conductor.work("a")
    assert await conductor.status(id) == "COMPLETED"


async def test_what_can_not_be_skipped(conductor: Conductor) -> None:
    id = await conductor.run(TWO)
    await put(conductor, f"/workflow/{id}/skiptask/one", expect=409)
    await put(conductor, f"/workflow/{id}/skiptask/nobody", expect=404)
    await put(conductor, f"/workflow/{id}/skiptask/two")
    await put(conductor, f"/workflow/{id}/skiptask/two", expect=409)
    await put(conductor, f"/workflow/{NOBODY}/skiptask/two", expect=404)
    paused = await conductor.start("two")
    await put(conductor, f"/workflow/{paused}/pause")
    await put(conductor, f"/workflow/{paused}/skiptask/two", expect=409)
    answer = await conductor.client.put(f"/workflow/{id}/skiptask/two", params={"skipTaskRequest": "{"})
    assert answer.status_code == 400


# -- jump --------------------------------------------------------------------------------------------------------------


async def test_a_jump_goes_on_at_another_task(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", simple("one"), simple("two"), simple("three", {"a": 1})))
    await conductor.post(f"/workflow/{id}/jump/three", {"b": 2})
    assert await conductor.statuses(id) == {"one": "SKIPPED", "three": "SCHEDULED"}
    task = await conductor.poll("three")
    assert task["inputData"] == {"a": 1, "b": 2}
    await conductor.complete(task)
    assert await conductor.status(id) == "COMPLETED"


async def test_the_name_may_come_in_the_query(conductor: Conductor) -> None:
    id = await conductor.run(TWO)
    await conductor.post(f"/workflow/{id}/jump/%7BtaskReferenceName%7D", {}, taskReferenceName="two")
    assert (await conductor.statuses(id))["two"] == "SCHEDULED"


async def test_where_one_can_not_jump(conductor: Conductor) -> None:
    id = await conductor.run(TWO)
    await conductor.post(f"/workflow/{id}/jump/nobody", {}, expect=404)
    await conductor.post(f"/workflow/{id}/jump/one", {}, expect=409)
    await conductor.post(f"/workflow/{await ended(conductor, 'COMPLETED')}/jump/two", {}, expect=409)


# -- callbacks ---------------------------------------------------------------------------------------------------------


async def test_reset_makes_delayed_tasks_available(timed: Conductor) -> None:
    id = await timed.run(TWO)
    await timed.update(await timed.poll("one"), "IN_PROGRESS", callbackAfterSeconds=3600)
    await timed.poll_nothing("one")
    assert (await timed.task(id, "one"))["callbackAfterSeconds"] == 3600
    await timed.post(f"/workflow/{id}/resetcallbacks", expect=204)
    assert (await timed.poll("one"))["pollCount"] == 2


async def test_reset_needs_a_workflow_that_has_not_ended(conductor: Conductor) -> None:
    await conductor.post(f"/workflow/{await ended(conductor, 'COMPLETED')}/resetcallbacks", expect=409)
    await conductor.post(f"/workflow/{NOBODY}/resetcallbacks", expect=404)


# -- variables and state -----------------------------------------------------------------------------------------------


async def test_variables_are_merged(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", simple("one"), simple("two", {"v": "${workflow.variables}"}),
                                      variables={"a": 1, "b": {"c": 2}}))  # fmt: skip
    view = await conductor.post(f"/workflow/{id}/variables", {"b": None, "d": [1]})
    assert (view["workflowId"], view["variables"]) == (id, {"a": 1, "b": None, "d": [1]})
    await conductor.work("one")
    assert (await conductor.poll("two"))["inputData"] == {"v": {"a": 1, "b": None, "d": [1]}}
    status = await conductor.get(f"/workflow/{id}/status", includeVariables=True)
    assert status["variables"] == {"a": 1, "b": None, "d": [1]}


async def test_variables_of_what_has_ended_do_not_change(conductor: Conductor) -> None:
    await conductor.post(f"/workflow/{await ended(conductor, 'COMPLETED')}/variables", {"a": 1}, expect=409)
    id = await conductor.start("two")
    await conductor.post(f"/workflow/{id}/variables", [1], expect=400)


async def test_update_state_answers_at_the_next_wait(conductor: Conductor) -> None:
    decide = node(
        "SWITCH", "decide", {"case": "${workflow.variables.case}"}, evaluatorType="value-param", expression="case",
        decisionCases={"long": [node("WAIT", "long_wait")]}, defaultCase=[node("WAIT", "short_wait")],
    )  # fmt: skip
    id = await conductor.run(workflow("w", node("WAIT", "first"), decide))
    update = {
        "taskReferenceName": "first",
        "taskResult": {"status": "COMPLETED", "outputData": {"o": 1}, "taskId": "", "workflowInstanceId": ""},
        "variables": {"case": "long"},
    }
    run = await conductor.post(f"/workflow/{id}/state", update, requestId="r", waitForSeconds=15)
    assert (run["requestId"], run["status"], run["variables"]) == ("r", "RUNNING", {"case": "long"})
    assert [(task["referenceTaskName"], task["status"]) for task in run["tasks"]][-1] == ("long_wait", "IN_PROGRESS")
    assert run["tasks"][0]["outputData"] == {"o": 1}


async def test_update_state_with_variables_only(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", node("WAIT", "first")))
    run = await conductor.post(f"/workflow/{id}/state", {"variables": {"a": 1}}, waitForSeconds=15)
    assert run["variables"] == {"a": 1}


async def test_update_state_of_nothing(conductor: Conductor) -> None:
    update = {"taskReferenceName": "first", "taskResult": {"status": "COMPLETED"}}
    await conductor.post(f"/workflow/{NOBODY}/state", update, expect=404)
    id = await conductor.run(TWO)
    await conductor.post(f"/workflow/{id}/state", update, expect=404)
    bad = {"taskReferenceName": "one", "taskResult": {"status": "DONE"}}
    await conductor.post(f"/workflow/{id}/state", bad, expect=400)


# -- decide ------------------------------------------------------------------------------------------------------------


async def test_decide_changes_nothing_by_itself(conductor: Conductor) -> None:
    id = await conductor.run(TWO)
    await put(conductor, f"/workflow/decide/{id}")
    assert await conductor.statuses(id) == {"one": "SCHEDULED"}
    await put(conductor, f"/workflow/decide/{NOBODY}", expect=404)


# -- removal -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["RUNNING", "COMPLETED", "FAILED", "TERMINATED"])
async def test_a_removed_workflow_is_gone(conductor: Conductor, status: str) -> None:
    id = await conductor.run(TWO, *ONCE) if status == "RUNNING" else await ended(conductor, status)
    task = (await conductor.tasks(id))[0]
    await conductor.post(f"/tasks/{task['taskId']}/log", "a line")
    await delete(conductor, f"/workflow/{id}/remove", archiveWorkflow="False")
    await conductor.get(f"/workflow/{id}", expect=404)
    await conductor.get(f"/tasks/{task['taskId']}", expect=404)
    await conductor.get(f"/tasks/{task['taskId']}/log", expect=204)
    assert (await conductor.get("/workflow/search"))["totalHits"] == 0
    assert (await conductor.get("/tasks/search"))["totalHits"] == 0
    await conductor.poll_nothing("one")
    await delete(conductor, f"/workflow/{id}/remove", expect=404)


async def test_terminate_and_remove(conductor: Conductor) -> None:
    id = await conductor.run(workflow("parent", sub_workflow("call", "child")), workflow("child", simple("work")))
    await conductor.poll("work")
    child = (await conductor.task(id, "call"))["subWorkflowId"]
    await delete(conductor, f"/workflow/{id}/terminate-remove", reason="gone", archiveWorkflow="false")
    await conductor.get(f"/workflow/{id}", expect=404)
    assert "gone" in (await conductor.until(child, "TERMINATED"))["reasonForIncompletion"]


async def test_an_archived_workflow_is_still_found(conductor: Conductor) -> None:
    id = await ended(conductor, "COMPLETED")
    await delete(conductor, f"/workflow/{id}/remove")
    await conductor.get(f"/workflow/{id}", expect=404)
    found = await conductor.get("/workflow/search")
    assert [each["workflowId"] for each in found["results"]] == [id]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/workflow/{}/pause"),
        ("PUT", "/workflow/{}/resume"),
        ("POST", "/workflow/{}/retry"),
        ("POST", "/workflow/{}/restart"),
        ("POST", "/workflow/{}/rerun"),
        ("POST", "/workflow/{}/variables"),
        ("POST", "/workflow/{}/upgrade"),
        ("DELETE", "/workflow/{}"),
        ("DELETE", "/workflow/{}/remove"),
        ("DELETE", "/workflow/{}/terminate-remove"),
        ("GET", "/workflow/{}"),
        ("GET", "/workflow/{}/status"),
        ("GET", "/workflow/{}/tasks"),
        ("POST", "/tasks/{}/ref/COMPLETED"),
        ("POST", "/tasks/{}/COMPLETED/signal"),
    ],
    ids=lambda value: value.replace("/", " "),
)
async def test_an_unknown_workflow_is_404(conductor: Conductor, method: str, path: str) -> None:
    body = {"name": "x", "version": 1} if method == "POST" else None
    error = await conductor.call(method, path.format(NOBODY), body, expect=404)
    assert NOBODY in error["message"]


# -- upgrade -----------------------------------------------------------------------------------------------------------


async def test_an_upgrade_goes_on_by_another_version(conductor: Conductor) -> None:
    id = await conductor.run(TWO)
    after = workflow("two", simple("zero"), simple("one"), simple("new", {"z": "${zero.output.z}"}), version=2)
    await conductor.register(after)
    request = {"name": "two", "version": 2, "taskOutput": {"zero": {"z": 0}}, "workflowInput": {"a": 1}}
    await conductor.post(f"/workflow/{id}/upgrade", request)
    view = await conductor.workflow(id)
    assert (view["workflowVersion"], view["input"]) == (2, {"a": 1})
    assert view["workflowDefinition"]["version"] == 2
    await conductor.work("one")
    task = await conductor.poll("new")
    assert task["inputData"] == {"z": 0}
    await conductor.complete(task)
    assert await conductor.status(id) == "COMPLETED"
    assert (await conductor.get("/workflow/search", query="version=2"))["totalHits"] == 1


async def test_what_does_not_fit_is_refused(conductor: Conductor) -> None:
    id = await conductor.run(TWO)
    await conductor.register(workflow("two", simple("other"), version=2))
    await conductor.post(f"/workflow/{id}/upgrade", {"name": "two", "version": 2}, expect=409)
    await conductor.post(f"/workflow/{id}/upgrade", {"name": "two", "version": 3}, expect=404)
    await conductor.post(f"/workflow/{id}/upgrade", {"name": "three", "version": 2}, expect=400)
    request = {"name": "two", "version": 1, "taskOutput": {"one": {}}}
    await conductor.post(f"/workflow/{id}/upgrade", request, expect=409)
    assert (await conductor.workflow(id))["workflowVersion"] == 1
