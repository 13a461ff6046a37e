"""Webhooks over REST: deliveries that prove where they are from complete tasks that wait for them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tenuto.model.json_values import encode_json
from tenuto.server.settings import Settings
from tenuto.server.webhook_deliveries import PENDING, Delivery
from tenuto.store.protocol import Document
from tests.integration.server.conftest import Served, served
from tests.support.conductor import Conductor, node, workflow

KEY = {"X-Key": "open sesame"}


def receiver(**matches: Any) -> dict[str, Any]:
    wait = node("WAIT_FOR_WEBHOOK", "hook", {"matches": matches})
    return workflow("receiver", wait, outputParameters={"got": "${hook.output}"})


async def configure(conductor: Conductor, **more: Any) -> str:
    config = {
        "name": "shop",
        "verifier": "HEADER_BASED",
        "headers": KEY,
        "receiverWorkflowNamesToVersions": {"receiver": 1},
        **more,
    }
    webhook_id: str = (await conductor.post("/metadata/webhook", config))["id"]
    return webhook_id


async def deliver(
    conductor: Conductor, webhook_id: str, payload: Any, headers: dict[str, str] = KEY, expect: int = 200
) -> httpx.Response:
    response = await conductor.client.post(f"/webhook/{webhook_id}", json=payload, headers=headers)
    assert response.status_code == expect, response.text
    return response


async def test_a_delivery_completes_the_tasks_that_wait_for_it(conductor: Conductor) -> None:
    await conductor.register(receiver(**{"$['type']": "paid", "order": "${workflow.input.order}"}))
    webhook_id = await configure(conductor)
    one = await conductor.start("receiver", {"order": 1})
    same = await conductor.start("receiver", {"order": 1})
    other = await conductor.start("receiver", {"order": 2})
    await deliver(conductor, webhook_id, {"type": "shipped", "order": 1})
    assert await conductor.status(one) == "RUNNING"
    payload = {"type": "paid", "order": 1, "by": "Ada"}
    await deliver(conductor, webhook_id, payload)
    for workflow_id in (one, same):
        view = await conductor.workflow(workflow_id)
        assert (view["status"], view["output"]) == ("COMPLETED", {"got": payload})
    assert await conductor.status(other) == "RUNNING"
    shown = await conductor.get(f"/metadata/webhook/{webhook_id}")
    assert shown["urlVerified"] is True
    assert [each["matched"] for each in shown["webhookExecutionHistory"]] == [True, False]
    assert set(shown["webhookExecutionHistory"][0]["workflowIds"]) == {one, same}


async def test_the_address_outside_of_the_api(server: Served, conductor: Conductor) -> None:
    await conductor.register(receiver(a=1))
    webhook_id = await configure(conductor)
    async with httpx.AsyncClient(base_url=server.url) as client:
        for send in (
            lambda: client.post(f"/webhook/{webhook_id}", json={"a": 1}, headers=KEY),
            lambda: client.post(f"/webhook/{webhook_id}", data={"a": "x"}, headers=KEY),
            lambda: client.get(f"/webhook/{webhook_id}", params={"a": "x"}, headers=KEY),
        ):
            response = await send()
            assert response.status_code == 200, response.text
        workflow_id = await conductor.start("receiver")
        await client.post(f"/webhook/{webhook_id}", json={"a": 1}, headers=KEY)
    await conductor.until(workflow_id)


async def test_who_cannot_prove_it_is_rejected(conductor: Conductor) -> None:
    await conductor.register(receiver(a=1))
    webhook_id = await configure(conductor)
    workflow_id = await conductor.start("receiver")
    refused = await deliver(conductor, webhook_id, {"a": 1}, {}, expect=401)
    assert "X-Key" in refused.json()["message"]
    await deliver(conductor, webhook_id, {"a": 1}, {"X-Key": "guess"}, expect=401)
    await deliver(conductor, "no-such-webhook", {"a": 1}, expect=404)
    response = await conductor.client.post(f"/webhook/{webhook_id}", content=b"{", headers=KEY)
    assert response.status_code == 400
    assert await conductor.status(workflow_id) == "RUNNING"


async def test_only_the_version_that_is_configured(conductor: Conductor) -> None:
    await conductor.register(receiver(a=1), receiver(a=1) | {"version": 2})
    first = await conductor.start("receiver", version=1)
    second = await conductor.start("receiver", version=2)
    webhook_id = await configure(conductor, receiverWorkflowNamesToVersions={"receiver": 2})
    await deliver(conductor, webhook_id, {"a": 1})
    assert [await conductor.status(each) for each in (first, second)] == ["RUNNING", "COMPLETED"]


async def test_signatures(conductor: Conductor) -> None:
    webhook_id = await configure(conductor, verifier="SIGNATURE_BASED", headers={}, secretValue="s3cret")
    body = json.dumps({"a": 1}).encode()
    digest = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    for signature, status in ((f"sha256={digest}", 200), ("sha256=0", 401)):
        headers = {"X-Hub-Signature-256": signature}
        response = await conductor.client.post(f"/webhook/{webhook_id}", content=body, headers=headers)
        assert response.status_code == status


async def test_a_secret_of_the_server_can_be_named(conductor: Conductor) -> None:
    await conductor.call("PUT", "/secrets/hook_key", "s3cret")
    webhook_id = await configure(conductor, verifier="SIGNATURE_BASED", headers={}, secretKey="hook_key")
    digest = hmac.new(b"s3cret", b"{}", hashlib.sha256).hexdigest()
    headers = {"X-Hub-Signature-256": f"sha256={digest}"}
    assert (await conductor.client.post(f"/webhook/{webhook_id}", content=b"{}", headers=headers)).status_code == 200


async def test_slack_asks_first(conductor: Conductor) -> None:
    webhook_id = await configure(conductor, verifier="SLACK_BASED", headers={}, secretValue="s3cret")
    body = json.dumps({"type": "url_verification", "challenge": "abc"}).encode()
    now = str(int(time.time()))
    digest = hmac.new(b"s3cret", f"v0:{now}:".encode() + body, hashlib.sha256).hexdigest()
    headers = {"X-Slack-Request-Timestamp": now, "X-Slack-Signature": f"v0={digest}"}
    response = await conductor.client.post(f"/webhook/{webhook_id}", content=body, headers=headers)
    assert response.text == "abc"


async def test_twitter_asks_by_get(conductor: Conductor) -> None:
    webhook_id = await configure(conductor, verifier="TWITTER", headers={}, secretValue="s3cret")
    answer = await conductor.get(f"/webhook/{webhook_id}", crc_token="token")
    assert answer["response_token"].startswith("sha256=")


async def test_a_delivery_starts_workflows(conductor: Conductor) -> None:
    await conductor.register(workflow("target", node("NOOP", "nothing")))
    config = {"receiverWorkflowNamesToVersions": {}, "workflowsToStart": {"target": 1, "missing": 0}}
    webhook_id = await configure(conductor, **config, expression="$.go === true")
    await deliver(conductor, webhook_id, {"go": False})
    await deliver(conductor, webhook_id, {"go": True, "x": 1})
    found = (await conductor.get("/workflow/search", query="workflowType=target"))["results"]
    assert [each["event"] for each in found] == ["webhook:shop"]
    view = await conductor.workflow(found[0]["workflowId"])
    assert view["input"] == {"go": True, "x": 1}


async def test_what_a_crash_interrupts_is_finished(tmp_path: Path) -> None:
    settings = Settings(db=f"sqlite:///{tmp_path}/t.db", port=0)
    async with served(settings) as running:
        conductor = Conductor(running.services, running.client)
        await conductor.register(receiver(a=1))
        early = await conductor.start("receiver")
        late = await conductor.start("receiver")
        task_id = (await conductor.task(early, "hook"))["taskId"]
        delivery = Delivery(id="d", webhook_id="w", event="webhook:shop", payload={"a": 1}, time=0)
        delivery.tasks = [(early, task_id)]
        await running.services.store.put_document(Document(PENDING, "d", encode_json(delivery)))
    async with served(settings) as running:
        conductor = Conductor(running.services, running.client)
        await conductor.until(early)
        assert await conductor.status(late) == "RUNNING"


async def test_configuration_shows_no_secret(conductor: Conductor) -> None:
    webhook_id = await configure(conductor, secretValue="s3cret")
    path = f"/metadata/webhook/{webhook_id}"
    shown = await conductor.get(path)
    assert shown["headers"] == {"X-Key": "********"}
    assert shown["secretValue"] == "********"
    stored = await conductor.services.store.documents("webhooks")
    assert b"sesame" not in stored[0].data
    assert b"s3cret" not in stored[0].data
    await conductor.call("PUT", path, shown | {"name": "renamed"})
    await deliver(conductor, webhook_id, {})
    await conductor.call("PUT", f"{path}/tags", [{"key": "k", "value": "v"}])
    [listed] = await conductor.get("/metadata/webhook")
    assert (listed["name"], listed["tags"][0]["key"]) == ("renamed", "k")
    await conductor.call("DELETE", path)
    await conductor.get(path, expect=404)
    await deliver(conductor, webhook_id, {}, expect=404)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"verifier": None}, "verifier"),
        ({"verifier": "TRUST_ME"}, "$.verifier"),
        ({"headers": {}}, "headers"),
        ({"verifier": "STRIPE"}, "secretValue"),
        ({"receiverWorkflowNamesToVersions": {}}, "receiverWorkflowNamesToVersions"),
        ({"workflowsToStart": {"a": "latest"}}, "workflowsToStart.a"),
        ({"expression": "$.a >"}, "expression"),
    ],
)
async def test_bad_webhooks_are_refused(conductor: Conductor, change: dict[str, Any], path: str) -> None:
    config = {"name": "n", "verifier": "HEADER_BASED", "headers": KEY, "receiverWorkflowNamesToVersions": {"r": 1}}
    answer = await conductor.post("/metadata/webhook", config | change, expect=400)
    assert answer["validationErrors"][0]["path"] == path
