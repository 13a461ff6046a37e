"""Retry, restart and rerun of what has ended, also in forks, loops and sub-workflows; what parents and children see."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.conductor import (
    Conductor,
    fork,
    loop,
    node,
    simple,
    sub_workflow,
    summary,
    switch,
    task_def,
    workflow,
)

NOBODY = "01234567-89ab-cdef-0123-456789abcdef"
THREE = workflow("three", simple("one"), simple("two"), simple("three"))


async def retry(conductor: Conductor, id: str, expect: int = 204, **query: object) -> None:
    await conductor.post(f"/workflow/{id}/retry", expect=expect, **query)


async def restart(conductor: Conductor, id: str, expect: int = 204, **query: object) -> None:
    await conductor.post(f"/workflow/{id}/restart", expect=expect, **query)


async def rerun(conductor: Conductor, id: str, expect: int = 200, **request: object) -> Any:
    return await conductor.post(f"/workflow/{id}/rerun", request, expect=expect)


async def never_retried(conductor: Conductor, *names: str) -> None:
    await conductor.register(*(task_def(name) for name in names))


async def fail(conductor: Conductor, id: str, reference: str, reason: str = "no") -> None:
    task = await conductor.task(id, reference)
    await conductor.fail(task, reason)


async def child_of(conductor: Conductor, id: str, reference: str) -> str:
    found: str = (await conductor.until_task(id, reference, "IN_PROGRESS", "COMPLETED", "FAILED"))["subWorkflowId"]
    return found


async def finish(conductor: Conductor, id: str, *references: str) -> None:
    for reference in references:
        await conductor.until_task(id, reference, "SCHEDULED", "IN_PROGRESS")
        assert await conductor.update_by_reference(id, reference), reference


# -- retry -------------------------------------------------------------------------------------------------------------


async def test_retry_makes_a_new_attempt_of_what_failed(conductor: Conductor) -> None:
    await never_retried(conductor, "one", "two", "three")
    id = await conductor.run(THREE)
    await conductor.work("one", {"n": 1})
    await fail(conductor, id, "two")
    before = await conductor.workflow(id)
    assert (before["status"], before["failedReferenceTaskNames"], before["failedTaskNames"]) == (
        "FAILED",
        ["two"],
        ["two"],
    )
    answer = await conductor.client.post(f"/workflow/{id}/retry")
    assert (answer.status_code, answer.content) == (204, b"")
    after = await conductor.workflow(id)
    assert (after["status"], after["endTime"]) == ("RUNNING", 0)
    assert "reasonForIncompletion" not in after
    assert after["lastRetriedTime"] > 0
    failed, again = after["tasks"][1:]
    assert (failed["status"], failed["retried"]) == ("FAILED", True)
    assert (again["status"], again["retryCount"], again["retriedTaskId"]) == ("SCHEDULED", 1, failed["taskId"])
    assert again["taskId"] != failed["taskId"]
    assert (again["outputData"], again["pollCount"]) == ({}, 0)
    await finish(conductor, id, "two", "three")
    assert await conductor.status(id) == "COMPLETED"


async def test_the_input_of_the_new_attempt_is_made_anew(conductor: Conductor) -> None:
    await never_retried(conductor, "two")
    id = await conductor.run(
        workflow("w", simple("one", {"v": 1}), simple("two", {"v": "${workflow.variables.v}"}), variables={"v": 1})
    )
    await conductor.work("one")
    await conductor.post(f"/workflow/{id}/variables", {"v": 2})
    await fail(conductor, id, "two")
    await retry(conductor, id)
    assert (await conductor.poll("two"))["inputData"] == {"v": 2}


async def test_retry_is_refused_where_there_is_nothing_to_retry(conductor: Conductor) -> None:
    await retry(conductor, NOBODY, expect=404)
    id = await conductor.run(THREE)
    await retry(conductor, id, expect=404)
    await finish(conductor, id, "one", "two", "three")
    await retry(conductor, id, expect=409)


async def test_a_terminated_workflow_is_retried(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", *fork("f", [simple("a")], [simple("b")]), simple("c")))
    await conductor.work("a")
    await conductor.call("DELETE", f"/workflow/{id}")
    await retry(conductor, id)
    statuses = await conductor.statuses(id)
    assert statuses == {"f": "COMPLETED", "a": "COMPLETED", "b": "SCHEDULED", "f_join": "IN_PROGRESS"}
    await finish(conductor, id, "b", "c")
    assert await conductor.status(id) == "COMPLETED"


async def test_a_workflow_that_timed_out_is_retried(timed: Conductor) -> None:
    id = await timed.run(workflow("w", simple("one"), timeoutSeconds=60, timeoutPolicy="TIME_OUT_WF"))
    await timed.advance(61)
    await timed.until(id, "TIMED_OUT")
    await timed.advance(100)
    await retry(timed, id)
    await timed.advance(50)
    # The clock of the timeout began anew.
    assert await timed.status(id) == "RUNNING"
    await timed.work("one")
    assert await timed.status(id) == "COMPLETED"


async def test_all_failed_branches_are_retried(conductor: Conductor) -> None:
    await never_retried(conductor, "a", "b", "c")
    id = await conductor.run(
        workflow("w", *fork("f", [simple("a")], [simple("b", permissive=True)], [simple("c")]), simple("after"))
    )
    await fail(conductor, id, "b")
    await fail(conductor, id, "a")
    statuses = await conductor.statuses(id)
    assert (statuses["b"], statuses["a"], statuses["c"]) == ("FAILED", "FAILED", "CANCELED")
    assert await conductor.status(id) == "FAILED"
    await retry(conductor, id)
    assert await conductor.statuses(id) == {
        "f": "COMPLETED",
        "a": "SCHEDULED",
        "b": "SCHEDULED",
        "c": "SCHEDULED",
        "f_join": "IN_PROGRESS",
    }
    await finish(conductor, id, "c", "b", "a", "after")
    assert await conductor.status(id) == "COMPLETED"


async def test_a_join_that_failed_is_used_again(conductor: Conductor) -> None:
    await never_retried(conductor, "a", "b")
    id = await conductor.run(workflow("w", *fork("f", [simple("a", permissive=True)], [simple("b")])))
    await fail(conductor, id, "a")
    await finish(conductor, id, "b")
    before = await conductor.workflow(id)
    assert before["status"] == "FAILED", summary(before)
    join = await conductor.task(id, "f_join")
    await retry(conductor, id)
    again = await conductor.task(id, "f_join")
    assert (again["taskId"], again["status"]) == (join["taskId"], "IN_PROGRESS")
    await finish(conductor, id, "a")
    assert await conductor.status(id) == "COMPLETED"


async def test_a_loop_goes_on_where_it_failed(conductor: Conductor) -> None:
    await never_retried(conductor, "step")
    id = await conductor.run(
        workflow("w", loop("l", "$.l.iteration < 3", simple("step", {"i": "${l.output.iteration}"})), simple("after"))
    )
    await conductor.work("step", {"n": 1})
    await conductor.until_task(id, "step__2", "SCHEDULED")
    await fail(conductor, id, "step__2")
    assert await conductor.status(id) == "FAILED"
    await retry(conductor, id)
    task = await conductor.poll("step")
    assert (task["referenceTaskName"], task["iteration"], task["inputData"]) == ("step__2", 2, {"i": 2})
    await conductor.complete(task, {"n": 2})
    await conductor.work("step", {"n": 3})
    await conductor.work("after")
    output = (await conductor.task(id, "l"))["outputData"]
    assert {key: output[key] for key in "123"} == {str(n): {"step": {"n": n}} for n in (1, 2, 3)}
    assert await conductor.status(id) == "COMPLETED"


async def test_a_failed_condition_is_tried_again(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("w", loop("l", "if ($.ok) { false } else { throw new Error('no') }", simple("step"),
                           input={"ok": "${workflow.variables.ok}"}))
    )  # fmt: skip
    await conductor.work("step")
    await conductor.until(id, "FAILED")
    assert (await conductor.task(id, "l"))["status"] == "FAILED_WITH_TERMINAL_ERROR"
    await retry(conductor, id)
    await conductor.until(id, "FAILED")
    assert (await conductor.task(id, "l"))["retryCount"] >= 1


async def test_retrying_twice_counts_on(conductor: Conductor) -> None:
    await never_retried(conductor, "one")
    id = await conductor.run(THREE)
    for count in range(3):
        task = await conductor.poll("one")
        assert task["retryCount"] == count
        await conductor.fail(task)
        await retry(conductor, id)
    await finish(conductor, id, "one", "two", "three")
    assert await conductor.status(id) == "COMPLETED"


# -- retry of parents and children -------------------------------------------------------------------------------------

FAMILY = [
    workflow("parent", sub_workflow("call", "child"), simple("after")),
    workflow("child", simple("first"), simple("second")),
]


async def test_a_retried_parent_starts_a_new_child(conductor: Conductor) -> None:
    await never_retried(conductor, "second")
    id = await conductor.run(*FAMILY)
    first = await child_of(conductor, id, "call")
    await finish(conductor, first, "first")
    await fail(conductor, first, "second", "broken")
    failed = await conductor.until(id, "FAILED")
    assert "broken" in failed["reasonForIncompletion"]
    await retry(conductor, id)
    second = await child_of(conductor, id, "call")
    assert second != first
    assert (await conductor.task(id, "call"))["retryCount"] == 1
    await finish(conductor, second, "first", "second")
    await finish(conductor, id, "after")
    assert await conductor.status(id) == "COMPLETED"
    assert await conductor.status(first) == "FAILED"


async def test_a_retried_parent_can_resume_its_child(conductor: Conductor) -> None:
    await never_retried(conductor, "second")
    id = await conductor.run(*FAMILY)
    child = await child_of(conductor, id, "call")
    await finish(conductor, child, "first")
    await fail(conductor, child, "second")
    await conductor.until(id, "FAILED")
    task = await conductor.task(id, "call")
    await retry(conductor, id, resumeSubworkflowTasks="true")
    again = await conductor.until_task(id, "call", "IN_PROGRESS")
    assert (again["taskId"], again["subWorkflowId"]) == (task["taskId"], child)
    await conductor.until(child, "RUNNING")
    assert (await conductor.task(child, "second"))["retryCount"] == 1
    await finish(conductor, child, "second")
    await finish(conductor, id, "after")
    assert await conductor.status(id) == "COMPLETED"


async def test_the_deepest_child_is_resumed(conductor: Conductor) -> None:
    await never_retried(conductor, "work")
    id = await conductor.run(
        workflow("top", sub_workflow("call", "middle")),
        workflow("middle", sub_workflow("deeper", "bottom")),
        workflow("bottom", simple("work")),
    )
    middle = await child_of(conductor, id, "call")
    bottom = await child_of(conductor, middle, "deeper")
    await fail(conductor, bottom, "work")
    await conductor.until(id, "FAILED")
    await retry(conductor, id, resumeSubworkflowTasks="true")
    await conductor.until(bottom, "RUNNING")
    assert await child_of(conductor, id, "call") == middle
    assert await child_of(conductor, middle, "deeper") == bottom
    await finish(conductor, bottom, "work")
    assert (await conductor.until(id))["status"] == "COMPLETED"
    assert await conductor.status(middle) == "COMPLETED"


@pytest.mark.parametrize("operation", ["retry", "restart", "rerun", "rerun from a task"])
async def test_a_revived_child_revives_its_parents(conductor: Conductor, operation: str) -> None:
    await never_retried(conductor, "second")
    id = await conductor.run(
        workflow("top", sub_workflow("call_parent", "parent"), simple("last")), *FAMILY
    )  # fmt: skip
    parent = await child_of(conductor, id, "call_parent")
    child = await child_of(conductor, parent, "call")
    await finish(conductor, child, "first")
    await fail(conductor, child, "second")
    await conductor.until(id, "FAILED")
    rest = ["second"]
    match operation:
        case "retry":
            await retry(conductor, child)
        case "restart":
            await restart(conductor, child)
            rest = ["first", "second"]
        case "rerun":
            await rerun(conductor, child)
            rest = ["first", "second"]
        case _:
            task = await conductor.task(child, "second")
            await rerun(conductor, child, reRunFromTaskId=task["taskId"])
    for each, reference in ((parent, "call"), (id, "call_parent")):
        view = await conductor.until(each, "RUNNING")
        assert "reasonForIncompletion" not in view
        task = await conductor.task(each, reference)
        assert (task["status"], task["subworkflowChanged"]) == ("IN_PROGRESS", True)
    await finish(conductor, child, *rest)
    await finish(conductor, parent, "after")
    await finish(conductor, id, "last")
    assert await conductor.status(id) == "COMPLETED"


async def test_the_siblings_of_a_revived_child_go_on(conductor: Conductor) -> None:
    await never_retried(conductor, "x", "y")
    id = await conductor.run(
        workflow("parent", *fork("f", [sub_workflow("left", "l")], [sub_workflow("right", "r")], [simple("own")]),
                 simple("after")),
        workflow("l", simple("x")),
        workflow("r", simple("y")),
    )  # fmt: skip
    left, right = await child_of(conductor, id, "left"), await child_of(conductor, id, "right")
    await fail(conductor, left, "x")
    await conductor.until(id, "FAILED")
    await conductor.until(right, "TERMINATED")
    own = await conductor.task(id, "own")
    assert own["status"] == "CANCELED"
    await retry(conductor, left)
    await conductor.until(id, "RUNNING")
    await conductor.until(right, "RUNNING")
    again = await conductor.task(id, "own")
    assert (again["taskId"], again["status"], again["retryCount"]) == (own["taskId"], "SCHEDULED", 1)
    assert (await conductor.task(id, "f_join"))["status"] == "IN_PROGRESS"
    await finish(conductor, left, "x")
    await finish(conductor, right, "y")
    await finish(conductor, id, "own", "after")
    assert await conductor.status(id) == "COMPLETED"


async def test_a_parent_that_went_on_is_left_alone(conductor: Conductor) -> None:
    await never_retried(conductor, "second")
    id = await conductor.run(*FAMILY)
    first = await child_of(conductor, id, "call")
    await finish(conductor, first, "first")
    await fail(conductor, first, "second")
    await conductor.until(id, "FAILED")
    await retry(conductor, id)
    second = await child_of(conductor, id, "call")
    await retry(conductor, first)
    await finish(conductor, first, "second")
    await conductor.until(first)
    assert (await conductor.task(id, "call"))["subWorkflowId"] == second
    assert (await conductor.task(id, "call"))["status"] == "IN_PROGRESS"


async def test_a_child_of_before_a_rerun_is_no_longer_listened_to(conductor: Conductor) -> None:
    await never_retried(conductor, "second")
    id = await conductor.run(*FAMILY)
    old = await child_of(conductor, id, "call")
    await finish(conductor, old, "first")
    await fail(conductor, old, "second")
    await conductor.until(id, "FAILED")
    await rerun(conductor, id, reRunFromTaskId=(await conductor.task(id, "call"))["taskId"])
    new = await child_of(conductor, id, "call")
    assert new != old
    await retry(conductor, old)
    await finish(conductor, old, "second")
    await conductor.until(old)
    assert (await conductor.task(id, "call"))["status"] == "IN_PROGRESS"
    await finish(conductor, new, "first", "second")
    await finish(conductor, id, "after")
    assert await conductor.status(id) == "COMPLETED"


async def test_nobody_waits_for_a_child_that_was_removed(conductor: Conductor) -> None:
    for archive in (True, False):
        id = await conductor.run(*FAMILY)
        child = await child_of(conductor, id, "call")
        await conductor.until_task(child, "first", "SCHEDULED")
        await conductor.call("DELETE", f"/workflow/{child}/remove", archiveWorkflow=archive)
        view = await conductor.until(id, "TERMINATED")
        assert view["tasks"][0]["status"] == "CANCELED"


async def test_a_child_that_was_optional_revives_nobody(conductor: Conductor) -> None:
    await never_retried(conductor, "second")
    call = sub_workflow("call", "child") | {"optional": True}
    id = await conductor.run(workflow("parent", call, simple("after")), FAMILY[1])
    child = await child_of(conductor, id, "call")
    await finish(conductor, child, "first")
    await fail(conductor, child, "second")
    await conductor.until_task(id, "after", "SCHEDULED")
    await retry(conductor, child)
    await finish(conductor, child, "second")
    await conductor.until(child)
    assert (await conductor.task(id, "call"))["status"] == "COMPLETED_WITH_ERRORS"
    await finish(conductor, id, "after")
    assert await conductor.status(id) == "COMPLETED"


async def test_reviving_a_parent_restarts_its_timeout(timed: Conductor) -> None:
    await never_retried(timed, "work")
    id = await timed.run(
        workflow("parent", sub_workflow("call", "child"), timeoutSeconds=60, timeoutPolicy="TIME_OUT_WF"),
        workflow("child", simple("work")),
    )
    child = await child_of(timed, id, "call")
    await timed.advance(50)
    await fail(timed, child, "work")
    await timed.until(id, "FAILED")
    await timed.advance(100)
    await retry(timed, child)
    await timed.until(id, "RUNNING")
    await timed.advance(50)
    assert await timed.status(id) == "RUNNING"
    await timed.advance(11)
    await timed.until(id, "TIMED_OUT")
    assert (await timed.until(child, "TERMINATED"))["status"] == "TERMINATED"


async def test_a_child_that_is_gone_is_started_anew(conductor: Conductor) -> None:
    await never_retried(conductor, "second")
    id = await conductor.run(*FAMILY)
    child = await child_of(conductor, id, "call")
    await finish(conductor, child, "first")
    await fail(conductor, child, "second")
    await conductor.until(id, "FAILED")
    await conductor.call("DELETE", f"/workflow/{child}/remove")
    await retry(conductor, id, resumeSubworkflowTasks="true")
    await conductor.until(id, "FAILED")
    await retry(conductor, id)
    other = await child_of(conductor, id, "call")
    await finish(conductor, other, "first", "second")
    await finish(conductor, id, "after")
    assert await conductor.status(id) == "COMPLETED"


# -- restart -----------------------------------------------------------------------------------------------------------


async def test_restart_begins_anew_with_the_same_id_and_input(timed: Conductor) -> None:
    id = await timed.run(
        workflow("w", node("SET_VARIABLE", "set", {"v": 2}), simple("one"), variables={"v": 1}), input={"a": 1}
    )
    old = await timed.tasks(id)
    await timed.advance(10)
    await timed.work("one", {"n": 1})
    before = await timed.workflow(id)
    assert before["status"] == "COMPLETED"
    await restart(timed, id)
    after = await timed.workflow(id)
    assert (after["status"], after["input"], after["output"]) == ("RUNNING", {"a": 1}, {})
    assert after["createTime"] == before["createTime"] + 10_000
    assert (after["variables"], after["endTime"], after["lastRetriedTime"]) == ({"v": 2}, 0, 0)
    assert [task["seq"] for task in after["tasks"]] == [1, 2]
    assert {task["taskId"] for task in after["tasks"]}.isdisjoint(task["taskId"] for task in old)
    await timed.get(f"/tasks/{old[0]['taskId']}", expect=404)
    await timed.work("one")
    assert await timed.status(id) == "COMPLETED"


async def test_restart_with_the_latest_definition(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", simple("one")))
    await conductor.work("one")
    await conductor.register(workflow("w", simple("two"), version=2))
    await restart(conductor, id)
    assert await conductor.references(id) == ["one"]
    await conductor.work("one")
    await restart(conductor, id, useLatestDefinitions="True")
    view = await conductor.workflow(id)
    assert ([task["referenceTaskName"] for task in view["tasks"]], view["workflowVersion"]) == (["two"], 2)
    await conductor.work("two")
    assert await conductor.status(id) == "COMPLETED"


async def test_when_restart_is_refused(conductor: Conductor) -> None:
    await restart(conductor, NOBODY, expect=404)
    id = await conductor.run(THREE)
    await restart(conductor, id, expect=409)
    await conductor.call("PUT", f"/workflow/{id}/pause")
    await restart(conductor, id, expect=409)
    once = await conductor.run(workflow("once", node("NOOP", "n"), restartable=False))
    await restart(conductor, once, expect=404)
    other = await conductor.run(workflow("once", simple("one"), restartable=False))
    await conductor.call("DELETE", f"/workflow/{other}")
    await restart(conductor, other)


async def test_a_restarted_loop_begins_at_one(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", loop("l", "$.l.iteration < 2", simple("step"))))
    await conductor.work("step")
    await conductor.work("step")
    await conductor.until(id)
    await restart(conductor, id)
    assert (await conductor.poll("step"))["referenceTaskName"] == "step__1"
    assert await conductor.references(id) == ["l", "step__1"]


# -- rerun -------------------------------------------------------------------------------------------------------------


async def done(conductor: Conductor, *definitions: Any, order: tuple[str, ...], **more: Any) -> str:
    """A workflow whose tasks are all done."""
    id: str = await conductor.run(*definitions, **more)
    await finish(conductor, id, *order)
    await conductor.until(id)
    return id


async def test_rerun_from_the_beginning(timed: Conductor) -> None:
    id = await done(timed, THREE, order=("one", "two", "three"), input={"a": 1})
    created = (await timed.workflow(id))["createTime"]
    await timed.advance(5)
    answer = await timed.client.post(
        f"/workflow/{id}/rerun", json={"workflowInput": {"b": 2}, "correlationId": "again"}
    )
    assert (answer.text, answer.headers["content-type"].partition(";")[0]) == (id, "text/plain")
    view = await timed.workflow(id)
    assert (view["status"], view["input"], view["correlationId"]) == ("RUNNING", {"b": 2}, "again")
    assert view["createTime"] == created
    assert [task["referenceTaskName"] for task in view["tasks"]] == ["one"]
    await finish(timed, id, "one", "two", "three")
    assert await timed.status(id) == "COMPLETED"


async def test_rerun_keeps_the_input_unless_it_gets_another(conductor: Conductor) -> None:
    id = await done(conductor, THREE, order=("one", "two", "three"), input={"a": 1}, correlationId="c")
    await rerun(conductor, id)
    view = await conductor.workflow(id)
    assert (view["input"], view["correlationId"]) == ({"a": 1}, "c")


async def test_the_first_task_sees_the_new_input(conductor: Conductor) -> None:
    id = await done(conductor, workflow("w", simple("one", {"a": "${workflow.input.a}"})), order=("one",))
    await rerun(conductor, id, workflowInput={"a": 5})
    assert (await conductor.poll("one"))["inputData"] == {"a": 5}


async def test_rerun_from_a_task(conductor: Conductor) -> None:
    definition = workflow("w", simple("one"), simple("two", {"i": 1}), simple("three", {"o": "${two.output.o}"}))
    id = await done(conductor, definition, order=("one", "two", "three"))
    one, two, three = await conductor.tasks(id)
    await rerun(conductor, id, reRunFromTaskId=two["taskId"], taskInput={"j": 2})
    again = await conductor.task(id, "two")
    assert (again["taskId"], again["status"], again["inputData"]) == (two["taskId"], "SCHEDULED", {"j": 2})
    assert (again["outputData"], again["endTime"]) == ({}, 0)
    assert await conductor.references(id) == ["one", "two"]
    assert (await conductor.tasks(id))[0] | {"updateTime": one["updateTime"]} == one
    await conductor.work("two", {"o": 7})
    last = await conductor.poll("three")
    assert (last["inputData"], last["taskId"] != three["taskId"]) == ({"o": 7}, True)
    await conductor.complete(last)
    assert await conductor.status(id) == "COMPLETED"


async def test_rerun_from_the_task_that_failed(conductor: Conductor) -> None:
    await never_retried(conductor, "two")
    id = await conductor.run(THREE)
    await finish(conductor, id, "one")
    await fail(conductor, id, "two")
    task = await conductor.task(id, "two")
    await rerun(conductor, id, reRunFromTaskId=task["taskId"])
    view = await conductor.workflow(id)
    assert view["status"] == "RUNNING"
    assert "reasonForIncompletion" not in view
    assert view["failedReferenceTaskNames"] == []
    await finish(conductor, id, "two", "three")
    assert await conductor.status(id) == "COMPLETED"


async def test_when_rerun_is_refused(conductor: Conductor) -> None:
    await rerun(conductor, NOBODY, expect=404)
    id = await conductor.run(THREE)
    await rerun(conductor, id, expect=409)
    await finish(conductor, id, "one", "two", "three")
    await rerun(conductor, id, reRunFromTaskId=NOBODY, expect=400)
    other = await conductor.start("three")
    task = (await conductor.tasks(other))[0]
    await rerun(conductor, id, reRunFromTaskId=task["taskId"], expect=400)
    assert await conductor.status(id) == "COMPLETED"


async def test_rerun_from_a_task_inside_of_a_fork(conductor: Conductor) -> None:
    definition = workflow("w", *fork("f", [simple("a"), simple("a2")], [simple("b")]), simple("after"))
    id = await done(conductor, definition, order=("a", "b", "a2", "after"))
    task = await conductor.task(id, "a")
    await rerun(conductor, id, reRunFromTaskId=task["taskId"])
    assert (await conductor.task(id, "a"))["status"] == "SCHEDULED"
    await finish(conductor, id, "a", "a2")
    # `b` came after `a` in the list, so it is done again as well.
    if (await conductor.statuses(id)).get("b") != "COMPLETED":
        await finish(conductor, id, "b")
    await finish(conductor, id, "after")
    view = await conductor.until(id)
    assert sorted({task["referenceTaskName"] for task in view["tasks"]}) == ["a", "a2", "after", "b", "f", "f_join"]


async def test_rerun_from_the_second_branch_keeps_the_first(conductor: Conductor) -> None:
    definition = workflow("w", *fork("f", [simple("a")], [simple("b")]), simple("after"))
    id = await done(conductor, definition, order=("a", "b", "after"))
    a, b = await conductor.task(id, "a"), await conductor.task(id, "b")
    await rerun(conductor, id, reRunFromTaskId=b["taskId"])
    statuses = await conductor.statuses(id)
    assert (statuses["a"], statuses["b"]) == ("COMPLETED", "SCHEDULED")
    assert statuses.get("f_join", "IN_PROGRESS") == "IN_PROGRESS"
    assert (await conductor.task(id, "a"))["taskId"] == a["taskId"]
    await finish(conductor, id, "b", "after")
    assert (await conductor.until(id))["status"] == "COMPLETED"


async def test_rerun_from_a_fork(conductor: Conductor) -> None:
    definition = workflow("w", simple("one"), *fork("f", [simple("a")], [simple("b")]), simple("after"))
    id = await done(conductor, definition, order=("one", "a", "b", "after"))
    task = await conductor.task(id, "f")
    await rerun(conductor, id, reRunFromTaskId=task["taskId"])
    assert await conductor.statuses(id) == {
        "one": "COMPLETED",
        "f": "COMPLETED",
        "a": "SCHEDULED",
        "b": "SCHEDULED",
        "f_join": "IN_PROGRESS",
    }
    await finish(conductor, id, "a", "b", "after")
    assert (await conductor.until(id))["status"] == "COMPLETED"


async def test_rerun_from_a_dynamic_fork(conductor: Conductor) -> None:
    dynamic = node(
        "FORK_JOIN_DYNAMIC", "f",
        {"tasks": "${workflow.input.tasks}", "inputs": "${workflow.input.inputs}"},
        dynamicForkTasksParam="tasks", dynamicForkTasksInputParamName="inputs",
    )  # fmt: skip
    definition = workflow("w", dynamic, node("JOIN", "join"), simple("after"))
    branches = [simple("x"), simple("y")]
    id = await done(conductor, definition, order=("x", "y", "after"), input={"tasks": branches, "inputs": {}})
    task = await conductor.task(id, "f")
    await rerun(conductor, id, reRunFromTaskId=task["taskId"])
    assert (await conductor.statuses(id))["x"] == "SCHEDULED"
    await finish(conductor, id, "x", "y", "after")
    assert (await conductor.until(id))["status"] == "COMPLETED"


async def test_rerun_from_a_switch_chooses_again(conductor: Conductor) -> None:
    definition = workflow(
        "w", simple("ask"), switch("s", "${ask.output.case}", {"x": [simple("x")], "y": [simple("y")]}), simple("after")
    )
    id = await conductor.run(definition)
    await conductor.update_by_reference(id, "ask", output={"case": "x"})
    await finish(conductor, id, "x", "after")
    ask = await conductor.task(id, "ask")
    await rerun(conductor, id, reRunFromTaskId=ask["taskId"])
    await conductor.update_by_reference(id, "ask", output={"case": "y"})
    await finish(conductor, id, "y", "after")
    assert await conductor.references(id) == ["ask", "s", "y", "after"]
    assert await conductor.status(id) == "COMPLETED"


async def test_rerun_from_a_task_inside_of_a_switch(conductor: Conductor) -> None:
    definition = workflow("w", switch("s", "x", {"x": [simple("x1"), simple("x2")]}), simple("after"))
    id = await done(conductor, definition, order=("x1", "x2", "after"))
    task = await conductor.task(id, "x1")
    await rerun(conductor, id, reRunFromTaskId=task["taskId"])
    assert await conductor.references(id) == ["s", "x1"]
    await finish(conductor, id, "x1", "x2", "after")
    assert await conductor.status(id) == "COMPLETED"


async def test_rerun_from_a_task_inside_of_a_loop(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", loop("l", "$.l.iteration < 3", simple("step")), simple("after")))
    for n in (1, 2, 3):
        await conductor.work("step", {"n": n})
    await conductor.work("after")
    await conductor.until(id)
    task = await conductor.task(id, "step__2")
    await rerun(conductor, id, reRunFromTaskId=task["taskId"])
    assert await conductor.references(id) == ["l", "step__1", "step__2"]
    assert (await conductor.task(id, "l"))["status"] == "IN_PROGRESS"
    for n in (22, 33):
        await conductor.work("step", {"n": n})
    await conductor.work("after")
    await conductor.until(id)
    output = (await conductor.task(id, "l"))["outputData"]
    assert [output[key]["step"]["n"] for key in "123"] == [1, 22, 33]


async def test_rerun_from_a_task_inside_of_two_loops(conductor: Conductor) -> None:
    inner = loop("inner", "$.inner.iteration < 2", simple("step"), simple("more"))
    id = await conductor.run(workflow("w", loop("outer", "$.outer.iteration < 2", inner, simple("end"))))
    order = [f"{name}__{o}__{i}" for o in (1, 2) for i in (1, 2) for name in ("step", "more")]
    order[4:4] = ["end__1"]
    order.append("end__2")
    await finish(conductor, id, *order)
    await conductor.until(id)
    task = await conductor.task(id, "more__2__1")
    await rerun(conductor, id, reRunFromTaskId=task["taskId"])
    assert (await conductor.task(id, "inner__2"))["status"] == "IN_PROGRESS"
    assert (await conductor.task(id, "inner__1"))["status"] == "COMPLETED"
    await finish(conductor, id, "more__2__1", "step__2__2", "more__2__2", "end__2")
    await conductor.until(id)
    assert (await conductor.task(id, "outer"))["outputData"].keys() >= {"1", "2"}


async def test_rerun_from_a_fork_inside_of_a_loop(conductor: Conductor) -> None:
    body = fork("f", [simple("a")], [simple("b")])
    id = await conductor.run(workflow("w", loop("l", "$.l.iteration < 2", *body), simple("after")))
    await finish(conductor, id, "a__1", "b__1", "a__2", "b__2", "after")
    await conductor.until(id)
    task = await conductor.task(id, "b__2")
    await rerun(conductor, id, reRunFromTaskId=task["taskId"])
    assert (await conductor.task(id, "a__2"))["status"] == "COMPLETED"
    await finish(conductor, id, "b__2", "after")
    await conductor.until(id)
    assert (await conductor.task(id, "l"))["outputData"].keys() >= {"1", "2"}


async def test_rerun_from_a_branch_of_a_dynamic_fork(conductor: Conductor) -> None:
    dynamic = node("FORK_JOIN_DYNAMIC", "f", {"forkTaskName": "piece", "forkTaskInputs": [{"n": 1}, {"n": 2}]})
    id = await conductor.run(workflow("w", dynamic, node("JOIN", "join"), simple("after")))
    for _ in range(2):
        await conductor.work("piece")
    await conductor.work("after")
    await conductor.until(id)
    second = next(task for task in await conductor.tasks(id) if task["referenceTaskName"] == "_piece_1")
    await rerun(conductor, id, reRunFromTaskId=second["taskId"])
    task = await conductor.poll("piece")
    assert (task["taskId"], task["inputData"]["n"]) == (second["taskId"], 2)
    await conductor.complete(task)
    await conductor.work("after")
    await conductor.until(id)


async def test_rerun_from_an_earlier_attempt(conductor: Conductor) -> None:
    await conductor.register(task_def("one", retryCount=1))
    id = await conductor.run(workflow("w", simple("one"), simple("two")))
    first = await conductor.poll("one")
    await conductor.fail(first)
    await conductor.work("one")
    await conductor.work("two")
    await conductor.until(id)
    await rerun(conductor, id, reRunFromTaskId=first["taskId"])
    assert await conductor.references(id) == ["one"]
    await conductor.work("one")
    await conductor.work("two")
    await conductor.until(id)


async def test_rerun_of_a_loop_over_a_list(conductor: Conductor) -> None:
    each = loop("l", "", simple("step", {"item": "${l.output.loopItem}"}), items="${workflow.input.items}")
    del each["loopCondition"]
    id = await conductor.run(workflow("w", each), input={"items": ["x", "y", "z"]})
    for _ in range(3):
        await conductor.work("step")
    await conductor.until(id)
    second = await conductor.task(id, "step__2")
    await rerun(conductor, id, reRunFromTaskId=second["taskId"])
    assert [(await conductor.work("step"))["inputData"] for _ in range(2)] == [{"item": "y"}, {"item": "z"}]
    await conductor.until(id)


async def test_rerun_from_a_loop(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", loop("l", "$.l.iteration < 2", simple("step")), simple("after")))
    for _ in range(2):
        await conductor.work("step")
    await conductor.work("after")
    await conductor.until(id)
    task = await conductor.task(id, "l")
    await rerun(conductor, id, reRunFromTaskId=task["taskId"])
    await conductor.until_task(id, "step__1", "SCHEDULED")
    assert await conductor.references(id) == ["l", "step__1"]
    for _ in range(2):
        await conductor.work("step")
    await conductor.work("after")
    view = await conductor.until(id)
    assert (await conductor.task(id, "l"))["outputData"].keys() >= {"1", "2"}, summary(view)


async def test_rerun_from_a_sub_workflow_starts_a_new_child(conductor: Conductor) -> None:
    id = await conductor.run(*FAMILY)
    first = await child_of(conductor, id, "call")
    await finish(conductor, first, "first", "second")
    await finish(conductor, id, "after")
    task = await conductor.task(id, "call")
    await rerun(conductor, id, reRunFromTaskId=task["taskId"])
    again = await conductor.until_task(id, "call", "IN_PROGRESS")
    assert again["taskId"] == task["taskId"]
    assert again["subWorkflowId"] != first
    await finish(conductor, again["subWorkflowId"], "first", "second")
    await finish(conductor, id, "after")
    assert await conductor.status(id) == "COMPLETED"


async def test_rerun_from_a_task_of_a_child(conductor: Conductor) -> None:
    id = await conductor.run(workflow("top", sub_workflow("call_parent", "parent")), *FAMILY)
    parent = await child_of(conductor, id, "call_parent")
    child = await child_of(conductor, parent, "call")
    await finish(conductor, child, "first", "second")
    await finish(conductor, parent, "after")
    await conductor.until(id)
    task = await conductor.task(child, "second")
    assert await rerun(conductor, id, reRunFromTaskId=task["taskId"], taskInput={"x": 1}) == id
    for each in (id, parent, child):
        assert (await conductor.until(each, "RUNNING"))["status"] == "RUNNING"
    assert (await conductor.task(child, "second"))["inputData"] == {"x": 1}
    await finish(conductor, child, "second")
    await conductor.until(child)
    await conductor.until_task(parent, "call", "COMPLETED")
    await conductor.until(id)
    assert await conductor.statuses(parent) == {"call": "COMPLETED", "after": "COMPLETED"}


async def test_the_output_is_made_anew(conductor: Conductor) -> None:
    definition = workflow("w", simple("one"), outputParameters={"n": "${one.output.n}"})
    id = await conductor.run(definition)
    await conductor.work("one", {"n": 1})
    assert (await conductor.workflow(id))["output"] == {"n": 1}
    await rerun(conductor, id)
    assert (await conductor.workflow(id))["output"] == {}
    await conductor.work("one", {"n": 2})
    assert (await conductor.workflow(id))["output"] == {"n": 2}
