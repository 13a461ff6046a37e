"""What becomes of failed attempts: the three logics, caps, jitter, and the end of patience."""

from __future__ import annotations

import pytest

from tests.support.conductor import Conductor, fork, node, simple, task_def, workflow


async def _delays(timed: Conductor, count: int, **definition: object) -> list[int]:
    """The seconds that the server waits before each of `count` further attempts."""
    await timed.register(task_def("flaky", retryCount=count, **definition))
    id = await timed.run(workflow("retrying", simple("flaky")))
    delays: list[int] = []
    for _ in range(count):
        await timed.fail(await timed.poll("flaky"), "again")
        shown = await timed.task(id, "flaky")
        assert shown["status"] == "SCHEDULED"
        delay = shown["startDelayInSeconds"]
        assert shown["callbackAfterSeconds"] == delay
        if delay:
            await timed.advance(delay - 0.5)
            await timed.poll_nothing("flaky")
        await timed.advance(0.5)
        delays.append(delay)
    await timed.fail(await timed.poll("flaky"), "for the last time")
    assert await timed.status(id) == "FAILED"
    return delays


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ({"retryLogic": "FIXED", "retryDelaySeconds": 7}, [7, 7, 7]),
        ({"retryLogic": "FIXED", "retryDelaySeconds": 0}, [0, 0]),
        ({"retryLogic": "LINEAR_BACKOFF", "retryDelaySeconds": 3, "backoffScaleFactor": 2}, [6, 12, 18]),
        ({"retryLogic": "EXPONENTIAL_BACKOFF", "retryDelaySeconds": 2, "backoffScaleFactor": 9}, [2, 4, 8, 16]),
        ({"retryLogic": "EXPONENTIAL_BACKOFF", "retryDelaySeconds": 2, "maxRetryDelaySeconds": 5}, [2, 4, 5, 5]),
        ({"retryLogic": "LINEAR_BACKOFF", "retryDelaySeconds": 10, "maxRetryDelaySeconds": 15}, [10, 15, 15]),
    ],
)
async def test_the_delays(timed: Conductor, definition: dict[str, object], expected: list[int]) -> None:
    assert await _delays(timed, len(expected), **definition) == expected


async def test_a_delay_that_overflows_is_the_largest_there_is(timed: Conductor) -> None:
    delay = 2**31 - 1
    await timed.register(
        task_def("huge", retryCount=2, retryLogic="EXPONENTIAL_BACKOFF", retryDelaySeconds=delay),
    )
    id = await timed.run(workflow("overflow", simple("huge")))
    await timed.fail(await timed.poll("huge"))
    assert (await timed.task(id, "huge"))["startDelayInSeconds"] == delay
    await timed.advance(delay)
    await timed.fail(await timed.poll("huge"))
    assert (await timed.task(id, "huge"))["startDelayInSeconds"] == delay


async def test_jitter_comes_on_top_and_is_not_shown(timed: Conductor) -> None:
    definition = task_def("jittery", retryCount=1, retryDelaySeconds=10, backoffJitterMs=5_000, maxRetryDelaySeconds=10)
    await timed.register(definition)
    id = await timed.run(workflow("jitter", simple("jittery")))
    await timed.fail(await timed.poll("jittery"))
    assert (await timed.task(id, "jittery"))["startDelayInSeconds"] == 10
    await timed.advance(9.9)
    await timed.poll_nothing("jittery")
    await timed.advance(5.1)
    await timed.poll("jittery")


async def test_a_new_attempt_is_a_new_task(timed: Conductor) -> None:
    await timed.register(task_def("again", retryCount=1))
    id = await timed.run(
        workflow("attempts", simple("again", {"id": "${CPEWF_TASK_ID}", "n": "${workflow.input.n}"})), input={"n": 5}
    )
    first = await timed.poll("again", worker="one")
    assert first["inputData"] == {"id": first["taskId"], "n": 5}
    await timed.fail(first, "no luck", output={"partial": True})
    second = await timed.poll("again", worker="two")
    old, new = await timed.tasks(id)
    assert (old["retried"], old["executed"], old["status"]) == (True, True, "FAILED")
    assert old["outputData"] == {"partial": True}
    assert (new["retryCount"], new["retriedTaskId"], new["pollCount"]) == (1, old["taskId"], 1)
    assert (new["outputData"], new["reasonForIncompletion"], new["workerId"]) == ({}, "no luck", "two")
    assert second["inputData"] == {"id": second["taskId"], "n": 5}


async def test_a_task_without_a_definition_has_three_retries_a_minute_apart(timed: Conductor) -> None:
    id = await timed.run(workflow("undefined", simple("unknown")))
    for _ in range(3):
        await timed.fail(await timed.poll("unknown"))
        await timed.advance(59)
        await timed.poll_nothing("unknown")
        await timed.advance(1)
    await timed.fail(await timed.poll("unknown"))
    assert await timed.status(id) == "FAILED"


async def test_the_retry_count_in_the_workflow_wins(timed: Conductor) -> None:
    await timed.register(task_def("stubborn", retryCount=5))
    id = await timed.run(workflow("count", simple("stubborn", retryCount=0)))
    await timed.fail(await timed.poll("stubborn"))
    assert await timed.status(id) == "FAILED"


async def test_an_inline_task_definition_counts(timed: Conductor) -> None:
    definition = task_def("own", retryCount=1, retryDelaySeconds=4)
    id = await timed.run(workflow("inline_def", simple("own", taskDefinition=definition)))
    await timed.fail(await timed.poll("own"))
    await timed.poll_nothing("own")
    await timed.advance(4)
    await timed.fail(await timed.poll("own"))
    assert await timed.status(id) == "FAILED"


async def test_definitions_are_those_of_the_start(timed: Conductor) -> None:
    await timed.register(task_def("changing", retryCount=1))
    id = await timed.run(workflow("frozen", simple("changing")))
    await timed.register(task_def("changing", retryCount=0))
    await timed.fail(await timed.poll("changing"))
    await timed.work("changing")
    assert await timed.status(id) == "COMPLETED"


async def test_optional_becomes_completed_with_errors_after_its_retries(timed: Conductor) -> None:
    await timed.register(task_def("maybe", retryCount=1))
    id = await timed.run(workflow("tolerant", simple("maybe", optional=True), simple("after")))
    await timed.fail(await timed.poll("maybe"), "first")
    await timed.fail(await timed.poll("maybe"), "second", output={"left": 1})
    assert (await timed.task(id, "maybe"))["status"] == "COMPLETED_WITH_ERRORS"
    await timed.work("after")
    assert await timed.status(id) == "COMPLETED"


async def test_permissive_goes_on_and_fails_at_the_end(timed: Conductor) -> None:
    await timed.register(task_def("lenient"))
    id = await timed.run(workflow("permissive", simple("lenient", permissive=True), simple("after")))
    await timed.fail(await timed.poll("lenient"), "it broke")
    assert await timed.status(id) == "RUNNING"
    await timed.work("after")
    view = await timed.workflow(id)
    assert view["status"] == "FAILED"
    assert "it broke" in view["reasonForIncompletion"]
    assert view["failedReferenceTaskNames"] == ["lenient"]
    assert [task["status"] for task in view["tasks"]] == ["FAILED", "COMPLETED"]


async def test_permissive_branches_all_run_to_their_end(timed: Conductor) -> None:
    await timed.register(task_def("bad"), task_def("good"))
    branches = [[simple("bad", permissive=True)], [simple("good", permissive=True)]]
    id = await timed.run(workflow("permissive_fork", *fork("f", *branches), simple("never")))
    await timed.fail(await timed.poll("bad"), "broken")
    assert await timed.status(id) == "RUNNING"
    assert (await timed.task(id, "f_join"))["status"] == "IN_PROGRESS"
    await timed.work("good", {"g": 1})
    view = await timed.workflow(id)
    assert view["status"] == "FAILED"
    assert {task["referenceTaskName"]: task["status"] for task in view["tasks"]} == {
        "f": "COMPLETED",
        "bad": "FAILED",
        "good": "COMPLETED",
        "f_join": "FAILED",
    }


async def test_a_failed_branch_cancels_its_siblings_and_the_join(conductor: Conductor) -> None:
    await conductor.register(task_def("bad"))
    id = await conductor.run(workflow("strict_fork", *fork("f", [simple("bad")], [simple("other")])))
    await conductor.fail(await conductor.poll("bad"))
    view = await conductor.workflow(id)
    assert view["status"] == "FAILED"
    statuses = {task["referenceTaskName"]: task["status"] for task in view["tasks"]}
    assert statuses == {"f": "COMPLETED", "bad": "FAILED", "other": "CANCELED", "f_join": "CANCELED"}
    await conductor.poll_nothing("other")


async def test_system_tasks_are_not_tried_again_without_a_definition(conductor: Conductor) -> None:
    id = await conductor.run(workflow("jq_once", node("JSON_JQ_TRANSFORM", "jq", {"queryExpression": 'error("x")'})))
    view = await conductor.until(id, "FAILED")
    assert [task["status"] for task in view["tasks"]] == ["FAILED"]


async def test_system_tasks_are_tried_again_by_their_definition(timed: Conductor) -> None:
    await timed.register(task_def("jq", retryCount=2, retryDelaySeconds=5))
    id = await timed.run(workflow("jq_again", node("JSON_JQ_TRANSFORM", "jq", {"queryExpression": 'error("x")'})))
    for retries in range(1, 3):

        async def tried(retries: int = retries) -> bool:
            return len(await timed.tasks(id)) > retries

        while not await tried():
            await timed.settled()
        await timed.advance(5)
    view = await timed.until(id, "FAILED")
    assert [task["retryCount"] for task in view["tasks"]] == [0, 1, 2]
