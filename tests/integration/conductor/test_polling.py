"""Tasks of workers: handed out, updated, handed out again."""

from __future__ import annotations

import asyncio

from tests.support.conductor import Conductor, fork, node, simple, task_def, workflow


async def test_a_sequence_of_tasks(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("steps", simple("first", {"n": "${workflow.input.n}"}), simple("second", {"m": "${first.output.m}"})),
        input={"n": 1},
    )
    first = await conductor.poll("first")
    assert (first["inputData"], first["status"], first["pollCount"]) == ({"n": 1}, "IN_PROGRESS", 1)
    assert (first["seq"], first["taskType"], first["taskDefName"]) == (1, "first", "first")
    await conductor.complete(first, {"m": 2})
    second = await conductor.poll("second")
    assert second["inputData"] == {"m": 2}
    await conductor.complete(second, {"done": True})
    view = await conductor.workflow(id)
    assert (view["status"], view["output"]) == ("COMPLETED", {"done": True})
    assert [task["seq"] for task in view["tasks"]] == [1, 2]


async def test_a_workflow_of_no_tasks_is_refused_when_it_comes_along(conductor: Conductor) -> None:
    await conductor.start("nothing", expect=400, workflowDef={"name": "nothing", "tasks": []})


async def test_an_inline_definition_need_not_be_registered(conductor: Conductor) -> None:
    id = await conductor.start("ad_hoc", workflowDef=workflow("ad_hoc", simple("adhoc_task")))
    await conductor.work("adhoc_task")
    assert await conductor.status(id) == "COMPLETED"
    await conductor.get("/metadata/workflow/ad_hoc", expect=404)


async def test_an_unknown_type_is_a_task_for_workers_of_that_type(conductor: Conductor) -> None:
    id = await conductor.run(workflow("odd", node("MY_TYPE", "odd_ref", name="odd_name")))
    task = await conductor.poll("MY_TYPE")
    assert (task["taskType"], task["taskDefName"]) == ("MY_TYPE", "odd_name")
    await conductor.complete(task)
    assert await conductor.status(id) == "COMPLETED"


async def test_a_task_is_handed_out_once(conductor: Conductor) -> None:
    await conductor.run(workflow("once", simple("single")))
    polls = [conductor.poll_batch("single", 1, timeout=300) for _ in range(5)]
    found = [task for batch in await asyncio.gather(*polls) for task in batch]
    assert len(found) == 1


async def test_a_waiting_poll_gets_the_task_when_it_arrives(conductor: Conductor) -> None:
    await conductor.register(workflow("later", simple("arrives")))
    waiting = asyncio.create_task(conductor.poll_batch("arrives", 5, timeout=10_000))
    await asyncio.sleep(0)
    id = await conductor.start("later")
    assert [task["workflowInstanceId"] for task in await waiting] == [id]


async def test_a_batch_is_never_larger_than_asked_for(conductor: Conductor) -> None:
    await conductor.register(workflow("batch", simple("batched")))
    for _ in range(5):
        await conductor.start("batch")
    found = await conductor.poll_batch("batched", 3)
    assert len(found) <= 3
    found += await conductor.poll_many("batched", 5 - len(found))
    assert len({task["taskId"] for task in found}) == 5


async def test_an_empty_single_poll_is_204(conductor: Conductor) -> None:
    assert await conductor.get("/tasks/poll/nobody", expect=204, timeout=0) is None


async def test_in_progress_puts_a_task_back_for_a_while(timed: Conductor) -> None:
    id = await timed.run(workflow("progress", simple("long")))
    task = await timed.poll("long")
    await timed.update(task, "IN_PROGRESS", {"percent": 10}, callbackAfterSeconds=30)
    shown = await timed.task(id, "long")
    assert (shown["status"], shown["outputData"], shown["callbackAfterSeconds"]) == ("SCHEDULED", {"percent": 10}, 30)
    await timed.poll_nothing("long")
    await timed.advance(30)
    again = await timed.poll("long")
    assert (again["taskId"], again["pollCount"], again["callbackAfterSeconds"]) == (task["taskId"], 2, 0)
    assert again["outputData"] == {"percent": 10}
    await timed.complete(again)
    assert await timed.status(id) == "COMPLETED"


async def test_in_progress_without_a_delay_is_polled_at_once(conductor: Conductor) -> None:
    await conductor.run(workflow("at_once", simple("eager")))
    task = await conductor.poll("eager")
    await conductor.update(task, "IN_PROGRESS")
    assert (await conductor.poll("eager"))["pollCount"] == 2


async def test_reset_callbacks_makes_delayed_tasks_available(timed: Conductor) -> None:
    id = await timed.run(workflow("reset", simple("delayed")))
    await timed.update(await timed.poll("delayed"), "IN_PROGRESS", callbackAfterSeconds=3600)
    await timed.poll_nothing("delayed")
    await timed.post(f"/workflow/{id}/resetcallbacks", expect=204)
    await timed.work("delayed")
    assert await timed.status(id) == "COMPLETED"


async def test_an_extended_lease_moves_the_response_timeout(timed: Conductor) -> None:
    await timed.register(task_def("leased", responseTimeoutSeconds=10))
    id = await timed.run(workflow("lease", simple("leased")))
    task = await timed.poll("leased")
    for _ in range(3):
        await timed.advance(8)
        await timed.update(task, "IN_PROGRESS", {"ignored": True}, extendLease=True)
    shown = await timed.task(id, "leased")
    assert (shown["status"], shown["outputData"]) == ("IN_PROGRESS", {})
    await timed.complete(task)
    assert await timed.status(id) == "COMPLETED"


async def test_a_late_update_is_answered_and_ignored(timed: Conductor) -> None:
    await timed.register(task_def("tardy", retryCount=1, responseTimeoutSeconds=5))
    id = await timed.run(workflow("late", simple("tardy")))
    first = await timed.poll("tardy")
    await timed.advance(6)
    second = await timed.poll("tardy")
    assert await timed.complete(first, {"late": True}) == first["taskId"]
    assert await timed.status(id) == "RUNNING"
    await timed.complete(second, {"late": False})
    view = await timed.workflow(id)
    assert (view["status"], view["output"]) == ("COMPLETED", {"late": False})
    assert [task["status"] for task in view["tasks"]] == ["TIMED_OUT", "COMPLETED"]


async def test_an_update_of_a_finished_task_changes_nothing(conductor: Conductor) -> None:
    id = await conductor.run(workflow("twice", simple("done"), simple("next")))
    task = await conductor.work("done", {"n": 1})
    await conductor.fail(task, "too late")
    shown = await conductor.task(id, "done")
    assert (shown["status"], shown["outputData"]) == ("COMPLETED", {"n": 1})


async def test_an_update_of_an_unknown_task_is_404(conductor: Conductor) -> None:
    await conductor.post("/tasks", {"taskId": "no-such-task", "status": "COMPLETED"}, expect=404)
    id = await conductor.run(workflow("known", simple("known")))
    unknown = {"workflowInstanceId": id, "taskId": "no-such-task", "status": "COMPLETED"}
    await conductor.post("/tasks", unknown, expect=404)


async def test_bad_updates_are_400(conductor: Conductor) -> None:
    await conductor.post("/tasks", {"status": "COMPLETED"}, expect=400)
    await conductor.post("/tasks", {"taskId": "x", "status": "FINISHED"}, expect=400)
    await conductor.post("/tasks", {"taskId": "x", "status": "COMPLETED", "outputData": [1]}, expect=400)


async def test_a_reason_is_cut_to_500_characters(conductor: Conductor) -> None:
    await conductor.register(task_def("wordy"))
    id = await conductor.run(workflow("words", simple("wordy")))
    await conductor.fail(await conductor.poll("wordy"), "x" * 2_000)
    assert len((await conductor.task(id, "wordy"))["reasonForIncompletion"]) == 500


async def test_an_update_replaces_the_output_but_one_by_reference_adds_to_it(conductor: Conductor) -> None:
    id = await conductor.run(workflow("outputs", simple("a"), simple("b")))
    task = await conductor.poll("a")
    await conductor.update(task, "IN_PROGRESS", {"x": 1, "y": 1})
    await conductor.complete(await conductor.poll("a"), {"y": 2})
    assert (await conductor.task(id, "a"))["outputData"] == {"y": 2}
    await conductor.update(await conductor.poll("b"), "IN_PROGRESS", {"x": 1, "y": 1})
    answer = await conductor.update_by_reference(id, "b", "COMPLETED", {"y": 2})
    shown = await conductor.task(id, "b")
    assert (answer, shown["outputData"]) == (shown["taskId"], {"x": 1, "y": 2})


async def test_an_update_by_reference_with_nothing_open_is_empty(conductor: Conductor) -> None:
    id = await conductor.run(workflow("by_ref", simple("a")))
    assert await conductor.update_by_reference(id, "nothing") is None
    await conductor.post(f"/tasks/{id}/nothing/COMPLETED/sync", {}, expect=404)
    synced = await conductor.post(f"/tasks/{id}/a/COMPLETED/sync", {"z": 1})
    assert (synced["status"], synced["output"]) == ("COMPLETED", {"z": 1})


async def test_update_v2_answers_with_the_next_task(conductor: Conductor) -> None:
    await conductor.register(workflow("chain", simple("link_1", name="link"), simple("link_2", name="link")))
    await conductor.start("chain")
    first = await conductor.poll("link")
    result = {"taskId": first["taskId"], "workflowInstanceId": first["workflowInstanceId"], "workerId": "w1"}
    second = await conductor.post("/tasks/update-v2", {**result, "status": "COMPLETED"})
    assert (second["referenceTaskName"], second["status"], second["workerId"]) == ("link_2", "IN_PROGRESS", "w1")
    result["taskId"] = second["taskId"]
    extended = {**result, "status": "IN_PROGRESS", "extendLease": True}
    assert await conductor.post("/tasks/update-v2", extended, expect=204) is None
    assert await conductor.post("/tasks/update-v2", {**result, "status": "COMPLETED"}, expect=204) is None


async def test_the_update_of_one_branch_releases_the_other_branch_only_when_asked(conductor: Conductor) -> None:
    id = await conductor.run(workflow("forked", *fork("f", [simple("left")], [simple("right")])))
    await conductor.work("left")
    assert await conductor.statuses(id) == {
        "f": "COMPLETED",
        "left": "COMPLETED",
        "right": "SCHEDULED",
        "f_join": "IN_PROGRESS",
    }
    await conductor.work("right")
    assert await conductor.status(id) == "COMPLETED"


async def test_a_terminal_failure_is_not_tried_again(conductor: Conductor) -> None:
    await conductor.register(task_def("fatal", retryCount=5))
    id = await conductor.run(workflow("fatality", simple("fatal")))
    task = await conductor.poll("fatal")
    await conductor.fail(task, "broken for good", terminal=True)
    view = await conductor.workflow(id)
    assert view["status"] == "FAILED"
    reason = f"Task {task['taskId']} failed with status: FAILED and reason: 'broken for good'"
    assert view["reasonForIncompletion"] == reason
    assert (view["failedReferenceTaskNames"], view["failedTaskNames"]) == (["fatal"], ["fatal"])


async def test_a_worker_that_cancels_terminates_the_workflow(conductor: Conductor) -> None:
    id = await conductor.run(workflow("cancelled", simple("quits"), simple("never")))
    await conductor.update(await conductor.poll("quits"), "CANCELED", reason="had enough")
    assert await conductor.status(id) == "TERMINATED"


async def test_a_start_delay_holds_a_task_back(timed: Conductor) -> None:
    id = await timed.run(workflow("delay", simple("patient", startDelay=60)))
    shown = await timed.task(id, "patient")
    assert (shown["startDelayInSeconds"], shown["callbackAfterSeconds"]) == (60, 60)
    await timed.advance(59)
    await timed.poll_nothing("patient")
    await timed.advance(1)
    await timed.work("patient")
    assert await timed.status(id) == "COMPLETED"


async def test_a_long_start_delay_is_kept_over_eviction_and_horizon(timed: Conductor) -> None:
    id = await timed.run(workflow("months", simple("distant", startDelay=86_400 * 20)))
    await timed.advance(86_400 * 20 + 1)
    await timed.work("distant")
    assert await timed.status(id) == "COMPLETED"


async def test_a_completed_task_is_not_handed_out_again(conductor: Conductor) -> None:
    await conductor.run(workflow("gone", simple("vanishes")))
    await conductor.work("vanishes")
    await conductor.poll_nothing("vanishes")


async def test_a_poller_that_has_hung_up_takes_no_task_along(conductor: Conductor) -> None:
    await conductor.register(workflow("late", simple("hung")))
    host, _, port = str(conductor.client.base_url).removeprefix("http://").partition("/")[0].partition(":")
    for _ in range(5):
        _, writer = await asyncio.open_connection(host, int(port))
        path = "/api/tasks/poll/batch/hung?timeout=900&workerid=gone"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        await writer.drain()
        await conductor.get("/tasks/queue/sizes", taskType="hung")  # until it waits
        writer.close()
        await writer.wait_closed()
    id = await conductor.start("late")
    task = await conductor.poll("hung")
    assert task["workflowInstanceId"] == id
    await conductor.complete(task)
    assert (await conductor.until(id))["status"] == "COMPLETED"
