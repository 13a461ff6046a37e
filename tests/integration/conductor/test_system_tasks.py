"""Tasks that the server runs itself, over REST: HTTP, HTTP_POLL, EVENT."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.system_tasks.servers import http_server
from tests.support.conductor import Conductor, node, task_def, workflow


@pytest.fixture
async def base() -> AsyncIterator[str]:
    async with http_server() as address:
        yield address


def http(base: str, path: str, method: str = "GET", **keys: object) -> dict[str, object]:
    return {"http_request": {"uri": f"{base}{path}", "method": method, **keys}}


async def test_an_http_task_hands_its_response_on(conductor: Conductor, base: str) -> None:
    definition = workflow(
        "calling",
        node("HTTP", "call", http(base, "/echo/a", "POST", body={"id": "${workflow.input.id}"})),
        outputParameters={"status": "${call.output.response.statusCode}", "body": "${call.output.response.body.body}"},
    )
    id = await conductor.run(definition, input={"id": 7})
    view = await conductor.until(id)
    assert view["output"] == {"status": 200, "body": '{"id":7}'}
    assert view["tasks"][0]["taskType"] == "HTTP"


async def test_a_failed_call_is_retried_as_its_definition_says(timed: Conductor, base: str) -> None:
    await timed.register(task_def("call", retryCount=1, retryLogic="FIXED", retryDelaySeconds=5))
    id = await timed.run(workflow("refused", node("HTTP", "call", http(base, "/answer?status=503&body=busy"))))
    await timed.until_task(id, "call", "SCHEDULED")
    await timed.advance(5)
    view = await timed.until(id, "FAILED")
    assert [task["status"] for task in view["tasks"]] == ["FAILED", "FAILED"]
    assert [task["outputData"]["response"]["statusCode"] for task in view["tasks"]] == [503, 503]
    assert "answered 503" in view["reasonForIncompletion"]


async def test_async_complete_waits_for_somebody(conductor: Conductor, base: str) -> None:
    id = await conductor.run(workflow("handed-over", node("HTTP", "call", http(base, "/echo/"), asyncComplete=True)))

    async def answered() -> bool:
        return "response" in (await conductor.until_task(id, "call", "IN_PROGRESS"))["outputData"]

    while not await answered():
        pass
    assert await conductor.status(id) == "RUNNING"
    await conductor.update_by_reference(id, "call", "COMPLETED", {"done": True})
    view = await conductor.until(id)
    assert view["tasks"][0]["outputData"]["done"] is True


async def test_secrets_reach_the_call_and_nothing_else(conductor: Conductor, base: str) -> None:
    for name, value in (("token", "very secret"), ("db", '{"user": {"password": "part of one"}}')):
        await conductor.client.put(f"/secrets/{name}", content=value, headers={"Content-Type": "application/json"})
    headers = {"X-Token": "Bearer ${workflow.secrets.token}", "X-Password": "${workflow.secrets.db.user.password}"}
    keys = http(base, "/echo/", headers=headers)
    id = await conductor.run(workflow("confidential", node("HTTP", "call", keys)))
    view = await conductor.until(id)
    assert view["tasks"][0]["inputData"] == keys
    sent = view["tasks"][0]["outputData"]["response"]["body"]["headers"]
    assert (sent["x-token"], sent["x-password"]) == ("Bearer ***", "***")


async def test_http_poll_polls_at_its_pace(timed: Conductor, base: str) -> None:
    keys = http(
        base,
        "/counted",
        terminationCondition="(function(){ return $.output.response.body == $.input.wanted; })();",
        pollingInterval=2,
        pollingStrategy="LINEAR_BACKOFF",
    )
    id = await timed.run(workflow("polling", node("HTTP_POLL", "poll", {**keys, "wanted": 3})))
    for polls, pause in ((1, 2), (2, 4)):
        while (await timed.until_task(id, "poll", "IN_PROGRESS"))["callbackAfterSeconds"] != pause:
            pass
        assert (await timed.task(id, "poll"))["outputData"]["response"]["body"] == polls
        await timed.advance(pause)
    view = await timed.until(id)
    assert view["tasks"][0]["outputData"]["response"]["body"] == 3
    assert view["tasks"][0]["pollCount"] == 3


async def test_the_sink_of_an_event_may_be_an_expression(conductor: Conductor) -> None:
    definition = workflow("telling", node("EVENT", "tell", {"a": 1}, sink="conductor:${workflow.input.whom}"))
    view = await conductor.until(await conductor.run(definition, input={"whom": "all"}))
    output = view["tasks"][0]["outputData"]
    assert output["event_produced"] == "conductor:telling:all"
    assert (output["a"], output["workflowInstanceId"]) == (1, view["workflowId"])


async def test_an_unknown_bus_fails_the_task(conductor: Conductor) -> None:
    view = await conductor.until(
        await conductor.run(workflow("lost", node("EVENT", "tell", {}, sink="pigeon:a"))), "FAILED"
    )
    assert "there is no event bus 'pigeon'" in view["tasks"][0]["reasonForIncompletion"]
