"""Timeouts act at their exact time, by their policy."""

from __future__ import annotations

import pytest

from tests.support.conductor import Conductor, fork, simple, task_def, workflow


async def test_timeout_of_a_task_ends_the_workflow(timed: Conductor) -> None:
    definition = task_def("t", retryCount=3, timeoutSeconds=10, responseTimeoutSeconds=10, timeoutPolicy="TIME_OUT_WF")
    await timed.register({**definition, "responseTimeoutSeconds": 9})
    id = await timed.run(workflow("wf", simple("t")))
    task = await timed.poll("t")
    await timed.advance(8)
    await timed.update(task, "IN_PROGRESS", extendLease=True)
    await timed.advance(1.9)
    assert await timed.status(id) == "RUNNING"
    await timed.advance(0.2)
    view = await timed.workflow(id)
    assert (view["status"], view["tasks"][0]["status"]) == ("TIMED_OUT", "TIMED_OUT")
    assert len(view["tasks"]) == 1


async def test_timeout_policy_retry_gives_another_attempt_then_times_out(timed: Conductor) -> None:
    await timed.register(
        task_def("t", retryCount=1, timeoutSeconds=10, responseTimeoutSeconds=10, timeoutPolicy="RETRY")
    )
    id = await timed.run(workflow("wf", simple("t")))
    await timed.poll("t")
    await timed.advance(10)
    assert await timed.status(id) == "RUNNING"
    await timed.poll("t")
    await timed.advance(10)
    view = await timed.workflow(id)
    assert view["status"] == "TIMED_OUT"
    assert [task["status"] for task in view["tasks"]] == ["TIMED_OUT", "TIMED_OUT"]


async def test_timeout_policy_alert_only_changes_nothing(timed: Conductor) -> None:
    await timed.register(
        task_def("t", timeoutSeconds=10, responseTimeoutSeconds=10, timeoutPolicy="ALERT_ONLY", totalTimeoutSeconds=12)
    )
    id = await timed.run(workflow("wf", simple("t")))
    task = await timed.poll("t")
    await timed.advance(8)
    await timed.update(task, "IN_PROGRESS", extendLease=True)
    await timed.advance(8)
    assert (await timed.task(id, "t"))["status"] == "IN_PROGRESS"
    await timed.advance(3)
    assert (await timed.task(id, "t"))["status"] == "TIMED_OUT", "the response timeout knows no policy"


async def test_the_clock_of_a_task_starts_with_its_hand_out(timed: Conductor) -> None:
    await timed.register(task_def("t", timeoutSeconds=10, responseTimeoutSeconds=10))
    id = await timed.run(workflow("wf", simple("t")))
    await timed.advance(100)
    assert await timed.status(id) == "RUNNING"
    await timed.work("t")
    assert await timed.status(id) == "COMPLETED"


@pytest.mark.parametrize(
    ("policy", "status", "attempts"),
    [("TIME_OUT_WF", "TIMED_OUT", 1), ("RETRY", "RUNNING", 2), ("ALERT_ONLY", "RUNNING", 1)],
)
async def test_a_task_that_nobody_polls(timed: Conductor, policy: str, status: str, attempts: int) -> None:
    await timed.register(task_def("t", retryCount=1, pollTimeoutSeconds=10, timeoutPolicy=policy))
    id = await timed.run(workflow("wf", simple("t")))
    await timed.advance(9)
    assert await timed.status(id) == "RUNNING"
    await timed.advance(1)
    view = await timed.workflow(id)
    assert (view["status"], len(view["tasks"])) == (status, attempts)


async def test_the_poll_timeout_counts_from_when_the_task_can_be_polled(timed: Conductor) -> None:
    await timed.register(task_def("t", pollTimeoutSeconds=10))
    id = await timed.run(workflow("wf", simple("t", startDelay=30)))
    await timed.advance(39)
    assert await timed.status(id) == "RUNNING"
    await timed.advance(1)
    assert await timed.status(id) == "TIMED_OUT"


async def test_the_response_timeout_retries_whatever_the_policy(timed: Conductor) -> None:
    await timed.register(task_def("t", retryCount=1, responseTimeoutSeconds=5, timeoutPolicy="TIME_OUT_WF"))
    id = await timed.run(workflow("wf", simple("t")))
    await timed.poll("t")
    await timed.advance(5)
    await timed.poll("t")
    await timed.advance(5)
    view = await timed.workflow(id)
    assert (view["status"], len(view["tasks"])) == ("TIMED_OUT", 2)


async def test_the_response_timeout_of_an_optional_task_is_tolerated(timed: Conductor) -> None:
    await timed.register(task_def("t", responseTimeoutSeconds=5))
    id = await timed.run(workflow("wf", simple("t", optional=True), simple("after")))
    await timed.poll("t")
    await timed.advance(5)
    await timed.work("after")
    view = await timed.workflow(id)
    assert [task["status"] for task in view["tasks"]] == ["COMPLETED_WITH_ERRORS", "COMPLETED"]


async def test_the_total_timeout_counts_all_attempts(timed: Conductor) -> None:
    await timed.register(
        task_def("t", retryCount=100, retryDelaySeconds=4, totalTimeoutSeconds=10, timeoutPolicy="RETRY")
    )
    id = await timed.run(workflow("wf", simple("t")))
    await timed.fail(await timed.poll("t"), "one")
    await timed.advance(4)
    await timed.fail(await timed.poll("t"), "two")
    await timed.advance(4)
    await timed.poll("t")
    await timed.advance(2)
    view = await timed.workflow(id)
    assert (view["status"], len(view["tasks"])) == ("TIMED_OUT", 3)


async def test_no_retry_starts_after_the_total_timeout(timed: Conductor) -> None:
    await timed.register(task_def("t", retryCount=100, retryDelaySeconds=20, totalTimeoutSeconds=10))
    id = await timed.run(workflow("wf", simple("t")))
    await timed.fail(await timed.poll("t"), "one")
    assert await timed.status(id) == "FAILED"


async def test_the_total_timeout_with_alert_only_stops_retries_alone(timed: Conductor) -> None:
    await timed.register(
        task_def("t", retryCount=100, responseTimeoutSeconds=100, totalTimeoutSeconds=10, timeoutPolicy="ALERT_ONLY")
    )
    id = await timed.run(workflow("wf", simple("t")))
    task = await timed.poll("t")
    await timed.advance(50)
    assert await timed.status(id) == "RUNNING"
    await timed.fail(task, "late")
    assert await timed.status(id) == "FAILED"


async def test_the_workflow_times_out_and_cancels_what_is_open(timed: Conductor) -> None:
    definition = workflow(
        "wf", *fork("f", [simple("a")], [simple("b")]), timeoutSeconds=60, timeoutPolicy="TIME_OUT_WF"
    )
    id = await timed.run(definition)
    await timed.poll("a")
    await timed.advance(59)
    assert await timed.status(id) == "RUNNING"
    await timed.advance(1)
    view = await timed.workflow(id)
    assert view["status"] == "TIMED_OUT"
    assert "60" in view["reasonForIncompletion"]
    assert {task["referenceTaskName"]: task["status"] for task in view["tasks"]} == {
        "f": "COMPLETED",
        "a": "CANCELED",
        "b": "CANCELED",
        "f_join": "CANCELED",
    }
    await timed.poll_nothing("b")


async def test_a_workflow_timeout_that_only_alerts(timed: Conductor) -> None:
    id = await timed.run(workflow("wf", simple("a"), timeoutSeconds=60, timeoutPolicy="ALERT_ONLY"))
    await timed.advance(120)
    await timed.work("a")
    assert await timed.status(id) == "COMPLETED"


async def test_a_paused_workflow_still_times_out(timed: Conductor) -> None:
    id = await timed.run(workflow("wf", simple("a"), timeoutSeconds=60, timeoutPolicy="TIME_OUT_WF"))
    await timed.call("PUT", f"/workflow/{id}/pause")
    await timed.advance(60)
    assert await timed.status(id) == "TIMED_OUT"


async def test_resuming_restarts_the_clock_of_the_workflow(timed: Conductor) -> None:
    id = await timed.run(workflow("wf", simple("a"), timeoutSeconds=60, timeoutPolicy="TIME_OUT_WF"))
    await timed.call("PUT", f"/workflow/{id}/pause")
    await timed.advance(50)
    await timed.call("PUT", f"/workflow/{id}/resume")
    await timed.advance(50)
    assert await timed.status(id) == "RUNNING"
    await timed.advance(10)
    assert await timed.status(id) == "TIMED_OUT"
