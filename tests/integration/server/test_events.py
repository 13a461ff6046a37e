"""Event handlers over REST: what EVENT tasks publish is taken, once, and survives a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tenuto.server.settings import Settings
from tests.integration.server.conftest import served
from tests.support.conductor import PATIENCE, Conductor, inline, node, workflow

TARGET = workflow("target", inline("echo", "$.x", input={"x": "${workflow.input.x}"}))
PUBLISHER = workflow("publisher", node("EVENT", "tell", {"x": "${workflow.input.x}", "n": 5}, sink="conductor:news"))


def handler(name: str, *actions: Any, event: str = "conductor:publisher:news", **more: Any) -> dict[str, Any]:
    return {"name": name, "event": event, "actions": list(actions), "active": True, **more}


def start_target(**more: Any) -> dict[str, Any]:
    return {"action": "start_workflow", "start_workflow": {"name": "target", "input": {"x": "${x}"}, **more}}


async def executions(conductor: Conductor, name: str, number: int = 1) -> list[dict[str, Any]]:
    """The executions of a handler, once there are so many that are over."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found: list[dict[str, Any]] = await conductor.get(f"/event/execution/{name}")
            if len(found) >= number and all(each["status"] != "IN_PROGRESS" for each in found):
                return found
            await asyncio.sleep(0.01)


async def publish(conductor: Conductor, payload: dict[str, Any], event: str = "conductor:outside", **more: Any) -> None:
    await conductor.post("/event/handleIncomingEvent", {"event": event, "payload": payload, **more})


async def test_an_event_starts_a_workflow(conductor: Conductor) -> None:
    await conductor.post("/event", handler("h", start_target(correlationId="c-${n}", taskToDomain={"*": "d"})))
    await conductor.register(TARGET)
    publisher = await conductor.run(PUBLISHER, input={"x": "hello"})
    [execution] = await executions(conductor, "h")
    task = await conductor.task(publisher, "tell")
    assert execution["id"] == f"{task['taskId']}_0"
    assert execution["status"] == "COMPLETED"
    assert execution["action"] == "start_workflow"
    started = await conductor.until(execution["output"]["workflowId"])
    assert started["input"] == {
        "x": "hello",
        "conductor.event.messageId": task["taskId"],
        "conductor.event.name": "conductor:publisher:news",
    }
    assert started["event"] == "conductor:publisher:news"
    assert started["correlationId"] == "c-5"
    assert started["taskToDomain"] == {"*": "d"}


async def test_conditions(conductor: Conductor) -> None:
    await conductor.register(TARGET)
    await conductor.post(
        "/event",
        [
            handler("yes", start_target(), event="conductor:outside", condition="$.order.total > 10"),
            handler("no", start_target(), event="conductor:outside", condition="$.order.total > 100"),
            handler("bad", start_target(), event="conductor:outside", condition="$.a.b.c"),
            handler("param", start_target(), event="conductor:outside", condition="go", evaluatorType="value-param"),
        ],
    )
    await publish(conductor, {"order": '{"total": 50}', "go": True})
    assert (await executions(conductor, "yes"))[0]["status"] == "COMPLETED"
    assert (await executions(conductor, "no"))[0]["status"] == "SKIPPED"
    bad = (await executions(conductor, "bad"))[0]
    assert bad["status"] == "FAILED"
    assert "condition" in bad["output"]["exception"]
    assert (await executions(conductor, "param"))[0]["status"] == "COMPLETED"


async def test_actions_on_tasks_and_workflows(conductor: Conductor) -> None:
    waiting = workflow("waiting", node("WAIT", "w1"), node("WAIT", "w2"))
    event = "conductor:outside"
    task = {"workflowId": "${id}", "taskRefName": "w1", "output": {"answer": "${deep.value}"}}
    actions = [
        {"action": "complete_task", "complete_task": task},
        {"action": "fail_task", "fail_task": {"taskId": "${task}", "reasonForIncompletion": "because ${why}"}},
        {"action": "terminate_workflow", "terminate_workflow": {"workflowId": "${id}", "terminationReason": "no"}},
        {
            "action": "update_workflow_variables",
            "update_workflow_variables": {"workflowId": "${id}", "variables": {"list": ["${x}"]}, "appendArray": True},
        },
    ]
    for action, name in zip(actions, "abcd", strict=True):
        await conductor.post("/event", handler(name, action, event=f"{event}:{name}"))
    first = await conductor.run(waiting)
    await publish(conductor, {"id": first, "deep": {"value": 7}}, f"{event}:a", messageId="m1")
    await executions(conductor, "a")
    done = await conductor.task(first, "w1")
    assert done["status"] == "COMPLETED"
    assert done["outputData"]["answer"] == 7
    assert done["outputData"]["conductor.event.messageId"] == "m1"
    for _ in range(2):
        await publish(conductor, {"id": first, "x": 1}, f"{event}:d")
    await executions(conductor, "d", 2)
    assert (await conductor.workflow(first))["variables"] == {"list": [1, 1]}
    task_id = (await conductor.task(first, "w2"))["taskId"]
    await publish(conductor, {"task": task_id, "why": "of this"}, f"{event}:b")
    failed = await conductor.until(first, "FAILED")
    assert "because of this" in failed["reasonForIncompletion"]
    second = await conductor.start("waiting")
    await publish(conductor, {"id": second}, f"{event}:c")
    assert (await conductor.until(second, "TERMINATED"))["reasonForIncompletion"] == "no"


async def test_what_cannot_be_done_fails_with_a_reason(conductor: Conductor) -> None:
    task = {"workflowId": "${id}", "taskRefName": "w1"}
    await conductor.post(
        "/event",
        handler("h", {"action": "complete_task", "complete_task": task}, start_target(), event="conductor:outside"),
    )
    await publish(conductor, {"id": "no-such-workflow"})
    found = {each["id"].rpartition("_")[2]: each for each in await executions(conductor, "h", 2)}
    assert all(each["status"] == "FAILED" for each in found.values())
    assert "no-such-workflow" in found["0"]["output"]["exception"]
    assert "target" in found["1"]["output"]["exception"]


async def test_the_same_message_is_handled_once(conductor: Conductor) -> None:
    await conductor.register(TARGET)
    await conductor.post("/event", handler("h", start_target(), event="conductor:outside"))
    await asyncio.gather(*(publish(conductor, {"x": 1}, messageId="twice") for _ in range(5)))
    await executions(conductor, "h")
    await publish(conductor, {"x": 1}, messageId="twice")
    assert len(await executions(conductor, "h")) == 1
    assert (await conductor.get("/workflow/search", query="workflowType=target"))["totalHits"] == 1


async def test_inline_json_is_expanded_when_asked_for(conductor: Conductor) -> None:
    await conductor.register(TARGET)
    expanding = start_target(input={"x": "${body.a}"}) | {"expandInlineJSON": True}
    await conductor.post("/event", handler("h", expanding, event="conductor:outside"))
    await publish(conductor, {"body": '{"a": [1, 2]}'})
    [execution] = await executions(conductor, "h")
    assert (await conductor.workflow(execution["output"]["workflowId"]))["input"]["x"] == [1, 2]


async def test_messages_wait_for_an_active_handler(conductor: Conductor) -> None:
    await conductor.register(TARGET)
    await publish(conductor, {"x": 1})
    sleeping = handler("h", start_target(), event="conductor:outside") | {"active": False}
    await conductor.post("/event", sleeping)
    assert await conductor.get("/event/execution/h") == []
    assert (await conductor.get("/event/conductor:outside"), await conductor.get("/event/conductor%3Aoutside")) == (
        [],
        [],
    )
    await conductor.call("PUT", "/event", sleeping | {"active": True})
    await executions(conductor, "h")
    assert (await conductor.get("/event/message/conductor:outside"))[0]["fullPayload"] == {"x": 1}
    stats = await conductor.get("/event/execution")
    assert stats["results"][0] | {"numberOfMessages": 1, "numberOfActions": 1} == stats["results"][0]
    assert (await conductor.get("/event/message"))["results"][0]["numberOfMessages"] == 1


async def test_messages_survive_a_restart(tmp_path: Path) -> None:
    settings = Settings(db=f"sqlite:///{tmp_path}/t.db", port=0)
    async with served(settings) as running:
        conductor = Conductor(running.services, running.client)
        await conductor.register(TARGET)
        await publish(conductor, {"x": 1}, messageId="m")
    async with served(settings) as running:
        conductor = Conductor(running.services, running.client)
        await conductor.post("/event", handler("h", start_target(), event="conductor:outside"))
        [execution] = await executions(conductor, "h")
    async with served(settings) as running:
        conductor = Conductor(running.services, running.client)
        await publish(conductor, {"x": 1}, messageId="m")
        assert await executions(conductor, "h") == [execution]


async def test_handlers_are_configuration(conductor: Conductor) -> None:
    one = handler("one", start_target(), tags=[{"key": "given", "value": "with it"}])
    await conductor.call("PUT", "/event", one, expect=404)
    await conductor.post("/event", [one])
    await conductor.post("/event", one, expect=409)
    assert (await conductor.get("/event/handler/one"))["name"] == "one"
    assert (await conductor.get("/event/one/tags"))[0]["key"] == "given"
    assert [each["name"] for each in await conductor.get("/event")] == ["one"]
    assert [each["name"] for each in await conductor.get("/event/conductor%3Apublisher%3Anews")] == ["one"]
    await conductor.call("PUT", "/event/one/tags", [{"key": "a", "value": "b"}])
    assert (await conductor.get("/event/handler/one"))["tags"][0]["key"] == "a"
    await conductor.call("DELETE", "/event/one")
    await conductor.call("DELETE", "/event/one", expect=404)
    await conductor.get("/event/handler/one", expect=404)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"event": " "}, "event"),
        ({"actions": [{"action": "start_agent", "start_agent": {"name": "x"}}]}, "actions[0].action"),
        ({"actions": [{"action": "complete_task"}]}, "actions[0].complete_task"),
        ({"condition": "$.a >"}, "condition"),
        ({"condition": "1", "evaluatorType": "python"}, "evaluatorType"),
        ({"actions": [{"action": "dance"}]}, "$.actions[0].action"),
    ],
)
async def test_bad_handlers_are_refused(conductor: Conductor, change: dict[str, Any], path: str) -> None:
    answer = await conductor.post("/event", handler("h", start_target()) | change, expect=400)
    assert answer["validationErrors"][0]["path"] == path
    assert await conductor.get("/event") == []


async def test_queue_configurations_and_connectivity(conductor: Conductor) -> None:
    path = "/event/queue/config/kafka/orders"
    await conductor.get(path, expect=404)
    await conductor.call("PUT", path, {"consumer": {"password": "hidden"}})
    assert await conductor.get(path) == {"consumer": {"password": "hidden"}}
    assert await conductor.get("/event/queue/config") == {"orders": "kafka"}
    stored = await conductor.services.store.documents("event_queue_configs")
    assert b"hidden" not in stored[0].data
    await conductor.call("DELETE", path)
    await conductor.call("DELETE", path, expect=404)
    assert (await conductor.post("/event/queue/connectivity", {"sink": "conductor:x"}))["successful"] is True
    refused = await conductor.post("/event/queue/connectivity", {"sink": "pigeon:x"})
    assert refused["successful"] is False
    await conductor.post("/event/queue/connectivity", {"sink": ""}, expect=400)
    assert "pigeon" in refused["reason"]
