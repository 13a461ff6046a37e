"""What is said of tasks: updates by id and by reference, signals, logs; and what of it comes too late."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.server.conftest import one_server
from tests.support.conductor import Conductor, fork, loop, node, simple, sub_workflow, task_def, workflow

NOBODY = "01234567-89ab-cdef-0123-456789abcdef"
ONE = workflow("one", simple("work"))
TWO = workflow("two", simple("work"), simple("next"))


# -- by id -------------------------------------------------------------------------------------------------------------


async def test_an_update_answers_the_bare_task_id(conductor: Conductor) -> None:
    await conductor.run(ONE)
    task = await conductor.poll("work")
    body = {"taskId": task["taskId"], "workflowInstanceId": task["workflowInstanceId"], "status": "COMPLETED"}
    answer = await conductor.client.post("/tasks", json=body)
    assert (answer.text, answer.headers["content-type"].partition(";")[0]) == (task["taskId"], "text/plain")


async def test_the_workflow_id_is_not_needed(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    task = await conductor.poll("work")
    await conductor.post("/tasks", {"taskId": task["taskId"], "status": "COMPLETED", "outputData": {"a": 1}})
    assert (await conductor.workflow(id))["output"] == {"a": 1}


async def test_a_task_need_not_be_polled(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    task = await conductor.task(id, "work")
    await conductor.complete(task)
    assert await conductor.status(id) == "COMPLETED"
    await conductor.poll_nothing("work")


async def test_the_output_is_replaced(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    task = await conductor.poll("work")
    await conductor.update(task, "IN_PROGRESS", {"a": 1, "b": 2})
    await conductor.update(task, "COMPLETED", {"b": 3, "c": None})
    assert (await conductor.task(id, "work"))["outputData"] == {"b": 3, "c": None}


async def test_in_progress_puts_the_task_back(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    await conductor.update(await conductor.poll("work"), "IN_PROGRESS", {"half": True}, workerId="w7")
    task = await conductor.task(id, "work")
    assert (task["status"], task["outputData"], task["workerId"]) == ("SCHEDULED", {"half": True}, "w7")
    assert (await conductor.poll("work"))["pollCount"] == 2


async def test_a_callback_delays_the_next_poll(timed: Conductor) -> None:
    await timed.run(ONE)
    await timed.update(await timed.poll("work"), "IN_PROGRESS", callbackAfterSeconds=30)
    await timed.advance(29)
    await timed.poll_nothing("work")
    await timed.advance(1.5)
    task = await timed.poll("work")
    assert (task["pollCount"], task["callbackAfterSeconds"]) == (2, 0)


async def test_a_lease_is_extended(timed: Conductor) -> None:
    await timed.register(task_def("work", responseTimeoutSeconds=10))
    id = await timed.run(ONE)
    task = await timed.poll("work")
    for _ in range(3):
        await timed.advance(8)
        await timed.update(task, "IN_PROGRESS", {"ignored": True}, extendLease=True, callbackAfterSeconds=99)
    shown = await timed.task(id, "work")
    assert (shown["status"], shown["outputData"], shown["callbackAfterSeconds"]) == ("IN_PROGRESS", {}, 0)
    await timed.poll_nothing("work")
    await timed.advance(11)
    await timed.until_task(id, "work", "TIMED_OUT")


async def test_the_reason_is_cut(conductor: Conductor) -> None:
    await conductor.register(task_def("work"))
    id = await conductor.run(ONE)
    await conductor.fail(await conductor.poll("work"), "x" * 2_000)
    assert (await conductor.task(id, "work"))["reasonForIncompletion"] == "x" * 500


@pytest.mark.parametrize(
    ("status", "workflow_status"),
    [("COMPLETED", "COMPLETED"), ("FAILED", "FAILED"), ("FAILED_WITH_TERMINAL_ERROR", "FAILED"),
     ("CANCELED", "TERMINATED")],
)  # fmt: skip
async def test_what_a_status_makes_of_the_workflow(conductor: Conductor, status: str, workflow_status: str) -> None:
    await conductor.register(task_def("work"))
    id = await conductor.run(ONE)
    await conductor.update(await conductor.poll("work"), status, reason="so")
    view = await conductor.workflow(id)
    assert (view["status"], view["tasks"][0]["status"]) == (workflow_status, status)
    if status != "COMPLETED":
        task_id = view["tasks"][0]["taskId"]
        assert view["reasonForIncompletion"] == (
            f"Task {task_id} failed with status: {workflow_status} and reason: 'so'"
        )


MALFORMED: list[Any] = [
    {},
    {"status": "COMPLETED"},
    {"taskId": "", "status": "COMPLETED"},
    {"taskId": None, "status": "COMPLETED"},
    {"taskId": "{id}"},
    {"taskId": "{id}", "status": "DONE"},
    {"taskId": "{id}", "status": "SCHEDULED"},
    {"taskId": "{id}", "status": "completed"},
    {"taskId": "{id}", "status": None},
    {"taskId": "{id}", "status": "COMPLETED", "outputData": []},
    {"taskId": "{id}", "status": "COMPLETED", "outputData": "text"},
    {"taskId": "{id}", "status": "COMPLETED", "logs": "line"},
    {"taskId": "{id}", "status": "COMPLETED", "logs": [7]},
    {"taskId": "{id}", "status": "IN_PROGRESS", "callbackAfterSeconds": -1},
    {"taskId": "{id}", "status": "IN_PROGRESS", "callbackAfterSeconds": "soon"},
    [],
    "COMPLETED",
    None,
]


async def test_a_malformed_result_is_400_and_changes_nothing(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    task = await conductor.poll("work")
    for result in MALFORMED:
        body = result
        if isinstance(result, dict):
            body = {"workflowInstanceId": id} | result
            body |= {"taskId": task["taskId"]} if result.get("taskId") == "{id}" else {}
        for path in ("/tasks", "/tasks/update-v2"):
            await conductor.post(path, body, expect=400)
    assert await conductor.task(id, "work") == task


async def test_an_unknown_task_is_404(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    for workflow_id in (id, NOBODY, None, ""):
        for path in ("/tasks", "/tasks/update-v2"):
            body = {"taskId": NOBODY, "workflowInstanceId": workflow_id, "status": "COMPLETED"}
            await conductor.post(path, body, expect=404)
    await conductor.get(f"/tasks/{NOBODY}", expect=404)
    await conductor.post(f"/tasks/{NOBODY}/log", "x", expect=404)


# -- too late ----------------------------------------------------------------------------------------------------------


async def ignored_updates(conductor: Conductor) -> float:
    """How many updates the server says it has ignored."""
    root = str(conductor.client.base_url).removesuffix("/").removesuffix("/api")
    text = (await conductor.client.get(f"{root}/metrics")).text
    return next(
        float(line.split()[-1]) for line in text.splitlines() if line.startswith("tenuto_task_updates_ignored_")
    )


@one_server
async def test_a_late_update_is_ignored_and_counted(timed: Conductor) -> None:
    await timed.register(task_def("work", responseTimeoutSeconds=10))
    id = await timed.run(ONE)
    task = await timed.poll("work")
    await timed.advance(11)
    await timed.until(id, "TIMED_OUT")
    before = await ignored_updates(timed)
    assert await timed.complete(task, {"late": True}) == task["taskId"]
    body = {"taskId": task["taskId"], "workflowInstanceId": id, "status": "COMPLETED"}
    await timed.post("/tasks/update-v2", body, expect=204)
    assert await ignored_updates(timed) == before + 2
    shown = await timed.task(id, "work")
    assert (shown["status"], shown["outputData"]) == ("TIMED_OUT", {})


async def test_the_second_of_two_updates_changes_nothing(conductor: Conductor) -> None:
    id = await conductor.run(TWO)
    task = await conductor.poll("work")
    await conductor.complete(task, {"n": 1})
    await conductor.fail(task, "too late")
    shown = await conductor.task(id, "work")
    assert (shown["status"], shown["outputData"]) == ("COMPLETED", {"n": 1})
    assert await conductor.references(id) == ["work", "next"]


async def test_of_parallel_updates_one_counts(conductor: Conductor) -> None:
    id = await conductor.run(TWO)
    task = await conductor.poll("work")
    await asyncio.gather(*(conductor.complete(task, {"n": n}) for n in range(10)))
    assert await conductor.references(id) == ["work", "next"]


async def test_the_end_of_an_attempt_does_not_end_the_next(conductor: Conductor) -> None:
    await conductor.register(task_def("work", retryCount=1))
    id = await conductor.run(ONE)
    first = await conductor.poll("work")
    await conductor.fail(first)
    await conductor.complete(first)
    assert (await conductor.task(id, "work"))["status"] == "SCHEDULED"
    assert await conductor.status(id) == "RUNNING"


# -- update and poll ---------------------------------------------------------------------------------------------------


async def update_v2(conductor: Conductor, task: Any, status: str = "COMPLETED", expect: int = 200, **more: Any) -> Any:
    body = {"taskId": task["taskId"], "workflowInstanceId": task["workflowInstanceId"], "status": status, **more}
    return await conductor.post("/tasks/update-v2", body, expect=expect)


async def test_an_update_answers_with_the_next_task_of_its_type(conductor: Conductor) -> None:
    ids = [await conductor.run(ONE) for _ in range(2)]
    first = await conductor.poll("work")
    second = await update_v2(conductor, first, workerId="w9")
    assert {first["workflowInstanceId"], second["workflowInstanceId"]} == set(ids)
    assert (second["status"], second["taskType"], second["workerId"], second["pollCount"]) == (
        "IN_PROGRESS",
        "work",
        "w9",
        1,
    )
    assert await update_v2(conductor, second, expect=204) is None
    assert [await conductor.status(id) for id in ids] == ["COMPLETED"] * 2


async def test_the_next_task_may_be_one_that_the_update_released(conductor: Conductor) -> None:
    await conductor.run(workflow("w", simple("a", name="same"), simple("b", name="same")))
    second = await update_v2(conductor, await conductor.poll("same"))
    assert second["referenceTaskName"] == "b"


@pytest.mark.parametrize("more", [{"status": "IN_PROGRESS"}, {"status": "IN_PROGRESS", "extendLease": True}], ids=str)
async def test_what_does_not_end_the_task_gets_no_other(conductor: Conductor, more: Any) -> None:
    for _ in range(2):
        await conductor.run(ONE)
    await update_v2(conductor, await conductor.poll("work"), expect=204, **more)


async def test_an_ignored_update_gets_no_other(conductor: Conductor) -> None:
    for _ in range(2):
        await conductor.run(ONE)
    task = await conductor.poll("work")
    await conductor.complete(task)
    await update_v2(conductor, task, expect=204)


async def test_the_next_task_is_of_the_same_domain(conductor: Conductor) -> None:
    await conductor.register(ONE)
    for domain in ("d", "d", None):
        await conductor.start("one", taskToDomain={"*": domain} if domain else {})
    task = await conductor.poll("work", domain="d")
    second = await update_v2(conductor, task)
    assert second["domain"] == "d"
    await update_v2(conductor, second, expect=204)


# -- by reference ------------------------------------------------------------------------------------------------------


async def test_an_update_by_reference_adds_to_the_output(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    task = await conductor.poll("work")
    await conductor.update(task, "IN_PROGRESS", {"a": 1, "b": 1})
    answer = await conductor.client.post(f"/tasks/{id}/work/COMPLETED?workerid=w3", json={"b": 2})
    assert (answer.text, answer.headers["content-type"].partition(";")[0]) == (task["taskId"], "text/plain")
    shown = await conductor.task(id, "work")
    assert (shown["outputData"], shown["workerId"], shown["status"]) == ({"a": 1, "b": 2}, "w3", "COMPLETED")


async def test_without_an_open_task_nothing_happens(conductor: Conductor) -> None:
    id = await conductor.run(TWO)
    assert await conductor.update_by_reference(id, "next") is None
    assert await conductor.update_by_reference(id, "nobody") is None
    await conductor.post(f"/tasks/{id}/next/COMPLETED/sync", {}, expect=404)
    await conductor.update_by_reference(id, "work")
    assert await conductor.update_by_reference(id, "work") is None


async def test_sync_answers_with_the_workflow(conductor: Conductor) -> None:
    id = await conductor.run(TWO)
    headers = {"Accept": "text/plain"}
    answer = await conductor.client.post(f"/tasks/{id}/work/COMPLETED/sync", json={"a": 1}, headers=headers)
    assert answer.status_code == 200
    view = answer.json()
    assert (view["workflowId"], [task["status"] for task in view["tasks"]]) == (id, ["COMPLETED", "SCHEDULED"])


async def test_the_name_in_a_loop_needs_no_number(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", loop("l", "$.l.iteration < 2", simple("step"))))
    await conductor.update_by_reference(id, "step", output={"n": 1})
    await conductor.until_task(id, "step__2", "SCHEDULED")
    await conductor.update_by_reference(id, "step__2", output={"n": 2})
    view = await conductor.until(id)
    assert [task["outputData"] for task in view["tasks"][1:]] == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("kind", ["WAIT", "HUMAN"])
async def test_what_waits_for_somebody(conductor: Conductor, kind: str) -> None:
    id = await conductor.run(workflow("w", node(kind, "ask"), simple("next", {"a": "${ask.output.a}"})))
    await conductor.update_by_reference(id, "ask", "IN_PROGRESS", {"seen": True})
    assert (await conductor.task(id, "ask"))["status"] == "IN_PROGRESS"
    await conductor.update_by_reference(id, "ask", output={"a": 1})
    assert (await conductor.poll("next"))["inputData"] == {"a": 1}
    assert (await conductor.task(id, "ask"))["outputData"] == {"seen": True, "a": 1}


async def test_malformed_updates_by_reference(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    for status in ("DONE", "completed", "SKIPPED", "%20"):
        await conductor.post(f"/tasks/{id}/work/{status}", {}, expect=400)
        await conductor.post(f"/tasks/{id}/work/{status}/sync", {}, expect=400)
        await conductor.post(f"/tasks/{id}/{status}/signal", {}, expect=400)
        await conductor.post(f"/tasks/{id}/{status}/signal/sync", {}, expect=400)
    await conductor.post(f"/tasks/{id}/work/COMPLETED", [1], expect=400)
    await conductor.post(f"/tasks/{NOBODY}/work/COMPLETED", {}, expect=404)
    assert await conductor.status(id) == "RUNNING"


# -- signals -----------------------------------------------------------------------------------------------------------


async def test_a_signal_finishes_the_first_wait(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", simple("work"), node("WAIT", "one"), node("WAIT", "two")))
    answer = await conductor.client.post(f"/tasks/{id}/COMPLETED/signal", json={})
    assert (answer.status_code, answer.text) == (200, "")  # nothing waits yet
    await conductor.work("work")
    await conductor.post(f"/tasks/{id}/COMPLETED/signal", {"a": 1})
    assert (await conductor.task(id, "one"))["outputData"] == {"a": 1}
    assert (await conductor.task(id, "two"))["status"] == "IN_PROGRESS"
    await conductor.post(f"/tasks/{id}/FAILED/signal", {"b": 2})
    assert await conductor.status(id) == "FAILED"
    await conductor.post(f"/tasks/{id}/COMPLETED/signal/sync", {}, expect=404)
    await conductor.post(f"/tasks/{NOBODY}/COMPLETED/signal/sync", {}, expect=404)


async def test_a_signal_reaches_the_wait_of_a_sub_workflow(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("top", *fork("f", [sub_workflow("left", "empty")], [sub_workflow("right", "waits")])),
        workflow("empty", simple("work")),
        workflow("waits", node("WAIT", "deep")),
    )
    child = (await conductor.until_task(id, "right", "IN_PROGRESS"))["subWorkflowId"]
    await conductor.until_task(child, "deep", "IN_PROGRESS")
    await conductor.post(f"/tasks/{id}/COMPLETED/signal", {"a": 1})
    assert (await conductor.until(child))["tasks"][0]["outputData"] == {"a": 1}


@pytest.mark.parametrize("strategy", ["TARGET_WORKFLOW", "BLOCKING_WORKFLOW", "BLOCKING_TASK", "BLOCKING_TASK_INPUT"])
async def test_what_a_signal_returns(conductor: Conductor, strategy: str) -> None:
    id = await conductor.run(
        workflow("top", sub_workflow("call", "child")),
        workflow("child", node("WAIT", "one"), node("WAIT", "two", {"got": "${one.output.a}"})),
    )
    child = (await conductor.until_task(id, "call", "IN_PROGRESS"))["subWorkflowId"]
    await conductor.until_task(child, "one", "IN_PROGRESS")
    run = await conductor.post(
        f"/tasks/{id}/COMPLETED/signal/sync", {"a": 1}, returnStrategy=strategy, timeoutMillis=15_000
    )
    assert (run["responseType"], run["targetWorkflowId"]) == (strategy, id)
    assert (run["targetWorkflowStatus"], run["signalTimeout"]) == ("RUNNING", False)
    match strategy:
        case "TARGET_WORKFLOW":
            assert (run["workflowId"], run["tasks"][0]["referenceTaskName"]) == (id, "call")
        case "BLOCKING_WORKFLOW":
            assert run["workflowId"] == child
            assert [task["status"] for task in run["tasks"]] == ["COMPLETED", "IN_PROGRESS"]
        case _:
            assert (run["workflowId"], run["referenceTaskName"], run["input"]) == (child, "two", {"got": 1})
            assert run["tasks"][0]["taskId"] == run["taskId"]


async def test_a_signal_that_ends_the_workflow(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", node("WAIT", "one")))
    run = await conductor.post(f"/tasks/{id}/COMPLETED/signal/sync", {"a": 1})
    assert (run["status"], run["output"], run["signalTimeout"]) == ("COMPLETED", {"a": 1}, False)
    again = await conductor.start("w")
    path = f"/tasks/{again}/COMPLETED/signal/sync"
    assert await conductor.post(path, {}, returnStrategy="BLOCKING_TASK") is None
    third = await conductor.start("w")
    await conductor.post(f"/tasks/{third}/COMPLETED/signal/sync", {}, returnStrategy="ALL", expect=400)
    assert await conductor.status(third) == "RUNNING"


async def test_a_signal_waits_no_longer_than_it_says(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", node("WAIT", "one"), simple("work")))
    run = await conductor.post(f"/tasks/{id}/COMPLETED/signal/sync", {}, timeoutMillis=20)
    assert (run["status"], run["signalTimeout"]) == ("RUNNING", True)


# -- logs --------------------------------------------------------------------------------------------------------------


async def test_logs_keep_their_order(conductor: Conductor) -> None:
    id = await conductor.run(ONE)
    task = await conductor.task(id, "work")
    path = f"/tasks/{task['taskId']}/log"
    assert (await conductor.client.get(path)).status_code == 204
    lines = ["plain", '"quoted"', "'single'", '{"json": 1}', "zwei\nZeilen", "ünï", '"half', "  spaces  ", "7"]
    for line in lines:
        answer = await conductor.client.post(path, content=line, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.text) == (200, "")
    entries = await conductor.get(path)
    assert [entry["log"] for entry in entries] == ["plain", "quoted", *lines[2:]]
    assert {entry["taskId"] for entry in entries} == {task["taskId"]}
    assert all(entry["createdTime"] >= task["scheduledTime"] for entry in entries)


async def test_logs_of_an_update(conductor: Conductor) -> None:
    await conductor.run(ONE)
    task = await conductor.poll("work")
    now = task["startTime"]
    logs = [{"log": "first", "createdTime": now}, {"log": "second", "createdTime": now / 1000}, {"log": "third"}]
    await conductor.update(task, "IN_PROGRESS", logs=logs)
    await conductor.update(task, "COMPLETED", logs=[{"log": "fourth", "taskId": task["taskId"]}])
    entries = await conductor.get(f"/tasks/{task['taskId']}/log")
    assert [entry["log"] for entry in entries] == ["first", "second", "third", "fourth"]
    assert entries[0]["createdTime"] == now
    # Seconds, which one client sends, are understood.
    assert abs(entries[1]["createdTime"] - now) <= 1000


async def test_many_lines_at_once_keep_their_order(conductor: Conductor) -> None:
    await conductor.run(ONE)
    task = await conductor.poll("work")
    await conductor.update(task, "COMPLETED", logs=[{"log": str(number)} for number in range(1200)])
    entries = await conductor.get(f"/tasks/{task['taskId']}/log")
    assert [entry["log"] for entry in entries] == [str(number) for number in range(1200)]


# -- looking at tasks --------------------------------------------------------------------------------------------------


async def test_the_tasks_of_a_workflow_in_pages(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", *(node("NOOP", f"n{number}") for number in range(20)), simple("work")))
    page = await conductor.get(f"/workflow/{id}/tasks")
    assert (page["totalHits"], len(page["results"])) == (21, 15)
    page = await conductor.get(f"/workflow/{id}/tasks", start=15, count=100)
    assert [task["referenceTaskName"] for task in page["results"]][-1] == "work"
    answer = await conductor.client.get(f"/workflow/{id}/tasks?status=SCHEDULED&status=IN_PROGRESS")
    assert answer.json()["totalHits"] == 1
    for query in ({"count": "all"}, {"start": -1}, {"status": "DONE"}):
        await conductor.get(f"/workflow/{id}/tasks", expect=400, **query)


async def test_the_status_of_a_workflow(conductor: Conductor) -> None:
    id = await conductor.run(workflow("w", node("SET_VARIABLE", "s", {"v": 1})), correlationId="c")
    assert await conductor.get(f"/workflow/{id}/status") == {
        "workflowId": id,
        "correlationId": "c",
        "status": "COMPLETED",
    }
    full = await conductor.get(f"/workflow/{id}/status", includeOutput="True", includeVariables="TRUE")
    assert (full["output"], full["variables"]) == ({}, {"v": 1})
    await conductor.get(f"/workflow/{id}/status", includeOutput="maybe", expect=400)
