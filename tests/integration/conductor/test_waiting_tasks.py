"""WAIT, HUMAN, PULL_WORKFLOW_MESSAGES."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.conductor import Conductor, node, simple, sub_workflow, workflow


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("5s", 5), ("2 minutes", 120), ("1d 2h 3m 4s", 93_784), ("1 HOUR 1 sec", 3_601), ("40 days", 3_456_000)],
)
async def test_waiting_for_a_while(timed: Conductor, duration: str, seconds: int) -> None:
    id = await timed.run(workflow("wf", node("WAIT", "w", {"duration": duration}), simple("z")))
    assert (await timed.task(id, "w"))["status"] == "IN_PROGRESS"
    await timed.advance(seconds - 1)
    assert (await timed.task(id, "w"))["status"] == "IN_PROGRESS"
    await timed.advance(1)
    await timed.work("z")
    assert await timed.status(id) == "COMPLETED"


@pytest.mark.parametrize(
    ("until", "seconds"),
    [
        ("2026-01-01 01:00", 3_600),
        ("2026-01-02", 86_400),
        ("2026-01-01 02:00 Europe/Rome", 3_600),
        ("2026-01-01 00:30 GMT", 1_800),
    ],
)
@pytest.mark.parametrize("key", ["until", "wait_until"])
async def test_waiting_until_a_moment(timed: Conductor, key: str, until: str, seconds: int) -> None:
    id = await timed.run(workflow("wf", node("WAIT", "w", {key: until})))
    await timed.advance(seconds - 1)
    assert await timed.status(id) == "RUNNING"
    await timed.advance(1)
    assert await timed.status(id) == "COMPLETED"


async def test_a_moment_that_is_past_waits_for_nothing(timed: Conductor) -> None:
    id = await timed.run(workflow("wf", node("WAIT", "w", {"until": "2020-01-01"})))
    await timed.settled()
    assert await timed.status(id) == "COMPLETED"


@pytest.mark.parametrize(
    "input",
    [{"duration": "5s", "until": "2030-01-01"}, {"duration": "soon"}, {"until": "tomorrow"}, {"until": "2026-02-30"}],
)
async def test_what_can_not_be_waited_for(conductor: Conductor, input: dict[str, Any]) -> None:
    given = {name: f"${{workflow.input.{name}}}" for name in input}
    id = await conductor.run(workflow("wf", node("WAIT", "w", given)), input=input)
    view = await conductor.workflow(id)
    assert (view["status"], view["tasks"][0]["status"]) == ("FAILED", "FAILED_WITH_TERMINAL_ERROR")


async def test_waiting_for_somebody(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", node("WAIT", "w"), simple("z", {"v": "${w.output.v}"})))
    await conductor.update_by_reference(id, "w", "COMPLETED", {"v": 1})
    assert (await conductor.work("z"))["inputData"] == {"v": 1}
    assert await conductor.status(id) == "COMPLETED"


async def test_a_wait_can_be_failed_from_outside(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", node("WAIT", "w")))
    await conductor.update_by_reference(id, "w", "FAILED", {"why": "no"})
    assert await conductor.status(id) == "FAILED"


async def test_an_update_in_progress_keeps_waiting(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", node("WAIT", "w")))
    await conductor.update_by_reference(id, "w", "IN_PROGRESS", {"note": 1})
    shown = await conductor.task(id, "w")
    assert (shown["status"], shown["outputData"]) == ("IN_PROGRESS", {"note": 1})
    await conductor.update_by_reference(id, "w")
    assert await conductor.status(id) == "COMPLETED"


async def test_a_wait_can_be_ended_before_its_time(timed: Conductor) -> None:
    id = await timed.run(workflow("wf", node("WAIT", "w", {"duration": "1h"})))
    await timed.update_by_reference(id, "w", "COMPLETED", {"early": True})
    assert (await timed.workflow(id))["output"] == {"early": True}


async def test_a_signal_finds_the_wait_of_a_child(conductor: Conductor) -> None:
    await conductor.register(workflow("child", node("WAIT", "inside")))
    id = await conductor.run(workflow("wf", sub_workflow("sub", "child")))
    task = await conductor.until_task(id, "sub", "IN_PROGRESS")
    await conductor.until_task(task["subWorkflowId"], "inside", "IN_PROGRESS")
    await conductor.post(f"/tasks/{id}/COMPLETED/signal", {"said": "go"})
    assert (await conductor.until(id))["output"]["said"] == "go"


async def test_a_signal_with_nothing_to_find(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", simple("a")))
    await conductor.post(f"/tasks/{id}/COMPLETED/signal", {})
    await conductor.post(f"/tasks/{id}/COMPLETED/signal/sync", {}, expect=404)


async def test_a_human_is_waited_for(conductor: Conductor) -> None:
    id = await conductor.run(
        workflow("wf", node("HUMAN", "h", {"form": "${workflow.input.f}"})), input={"f": "approval"}
    )
    shown = await conductor.task(id, "h")
    assert (shown["status"], shown["inputData"]) == ("IN_PROGRESS", {"form": "approval"})
    await conductor.update(shown, "COMPLETED", {"approved": True})
    assert (await conductor.workflow(id))["output"] == {"approved": True}


async def test_messages_are_pulled_in_order(conductor: Conductor) -> None:
    pull = node("PULL_WORKFLOW_MESSAGES", "pull", {"batchSize": 2})
    id = await conductor.run(workflow("wf", simple("first"), pull, simple("z")))
    for n in range(3):
        assert await conductor.post(f"/workflow/{id}/messages", {"n": n})
    await conductor.work("first")
    output = (await conductor.task(id, "pull"))["outputData"]
    assert output["count"] == 2
    assert [message["payload"] for message in output["messages"]] == [{"n": 0}, {"n": 1}]
    assert output["messages"][0]["workflowId"] == id


async def test_pulling_waits_for_a_message(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", node("PULL_WORKFLOW_MESSAGES", "pull")))
    assert (await conductor.task(id, "pull"))["status"] == "IN_PROGRESS"
    await conductor.post(f"/workflow/{id}/messages", {"a": 1})
    assert (await conductor.workflow(id))["output"]["count"] == 1


async def test_pulling_without_waiting(conductor: Conductor) -> None:
    id = await conductor.run(workflow("wf", node("PULL_WORKFLOW_MESSAGES", "pull", {"blocking": False})))
    assert (await conductor.workflow(id))["output"] == {"messages": [], "count": 0}


async def test_messages_that_nobody_can_pull(conductor: Conductor) -> None:
    await conductor.post("/workflow/no-such-id/messages", {}, expect=404)
    id = await conductor.run(workflow("wf", node("NOOP", "n")))
    await conductor.post(f"/workflow/{id}/messages", {}, expect=409)


@pytest.mark.parametrize("size", [0, -1, "many"])
async def test_a_bad_batch_size(conductor: Conductor, size: Any) -> None:
    id = await conductor.run(
        workflow("wf", node("PULL_WORKFLOW_MESSAGES", "pull", {"batchSize": "${workflow.input.s}"})), input={"s": size}
    )
    assert "batchSize" in (await conductor.workflow(id))["reasonForIncompletion"]
