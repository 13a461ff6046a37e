"""Workflows whose status is announced to a sink that their definition names."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.conductor import PATIENCE, Conductor, node, workflow

SINK = "conductor:status"
TOLD: dict[str, Any] = {"workflowStatusListenerEnabled": True, "workflowStatusListenerSink": SINK}
HANDLER: dict[str, Any] = {"name": "h", "event": SINK, "active": True, "actions": []}


async def announced(conductor: Conductor, workflow_id: str, number: int) -> list[dict[str, Any]]:
    """What was announced of a workflow, in order, once it is so much."""
    async with asyncio.timeout(PATIENCE):
        while True:
            messages = await conductor.get(f"/event/message/{SINK}")
            found = [each for each in messages if each["fullPayload"]["payload"]["workflowId"] == workflow_id]
            if len(found) >= number:
                return [each["fullPayload"] for each in sorted(found, key=lambda each: each["id"])]
            await asyncio.sleep(0.01)


async def test_a_life_is_announced(conductor: Conductor) -> None:
    await conductor.post("/event", HANDLER)
    workflow_id = await conductor.run(workflow("told", node("WAIT", "w"), **TOLD), input={"a": 1})
    await conductor.call("PUT", f"/workflow/{workflow_id}/pause")
    await conductor.call("PUT", f"/workflow/{workflow_id}/resume")
    await conductor.update_by_reference(workflow_id, "w", "FAILED")
    await conductor.post(f"/workflow/{workflow_id}/retry", expect=204)
    await conductor.update_by_reference(workflow_id, "w")
    found = await announced(conductor, workflow_id, 6)
    types = [each["eventType"] for each in found]
    assert types == ["STARTED", "PAUSED", "RESUMED", "TERMINATED", "RETRIED", "COMPLETED"]
    last = found[-1]
    assert (last["workflowName"], last["payload"]["status"], last["payload"]["input"]) == (
        "told",
        "COMPLETED",
        {"a": 1},
    )
    assert await conductor.services.store.documents("status_announcements") == []


async def test_only_of_those_that_ask_for_it(conductor: Conductor) -> None:
    await conductor.post("/event", HANDLER)
    await conductor.run(workflow("silent", node("NOOP", "n"), workflowStatusListenerSink=SINK))
    workflow_id = await conductor.run(workflow("told", node("NOOP", "n"), **TOLD))
    await announced(conductor, workflow_id, 2)
    assert (await conductor.get("/event/message"))["results"][0]["numberOfMessages"] == 2


async def test_a_sink_that_cannot_be_reached_loses_nothing(conductor: Conductor) -> None:
    workflow_id = await conductor.run(
        workflow("told", node("NOOP", "n"), **TOLD | {"workflowStatusListenerSink": "nats:"})
    )
    await conductor.until(workflow_id)
    assert len(await conductor.services.store.documents("status_announcements")) == 2
