"""Webhooks: configured under /metadata/webhook, delivered to at /webhook/{id}."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.responses import Response

from tenuto.model.json_values import Json, encode_json
from tenuto.server.collection import key_of
from tenuto.server.errors import ApiError, bad_request, not_found
from tenuto.server.event_payloads import read_payload
from tenuto.server.http import Call, empty, json_response, text_response
from tenuto.server.routes.tags import tag_routes
from tenuto.server.routing import Family, Text
from tenuto.server.shown import shown
from tenuto.server.webhook_configs import StoredWebhook, WebhookConfig, Webhooks, check_webhook
from tenuto.server.webhook_deliveries import Delivery
from tenuto.system_tasks.webhook_verifiers import Rejected, slack_challenge, twitter_response_token, verify

webhooks = Family("Webhooks", "WEBHOOK")
deliveries = Family("Webhooks", None)
deliveries_at_root = Family("Webhooks", None, prefix="")

#: Deliveries that a webhook is shown with.
SHOWN = 20


@webhooks.get("/metadata/webhook", answer=list[WebhookConfig])
async def everything(call: Call) -> Response:
    """All webhooks."""
    return json_response([_view(call, webhook) for webhook in _webhooks(call).all()])


@webhooks.post("/metadata/webhook", body=WebhookConfig, answer=WebhookConfig)
async def create(call: Call) -> Response:
    """Create a webhook; its address is /webhook/ and the id that is answered."""
    config = await call.decode(WebhookConfig)
    config.id = call.services.new_id()
    return await _save(call, config)


@webhooks.get("/metadata/webhook/{id}", answer=WebhookConfig)
async def one(call: Call) -> Response:
    """One webhook, with its latest deliveries."""
    webhook = _existing(call)
    records = await call.services.deliveries.records.all(key_of(webhook.config.id, ""))
    view = _view(call, webhook)
    view["webhookExecutionHistory"] = [_history(delivery) for delivery in records[:SHOWN]]
    return json_response(view)


@webhooks.put("/metadata/webhook/{id}", body=WebhookConfig, answer=WebhookConfig)
async def update(call: Call) -> Response:
    """Replace a webhook; values that are sent masked stay what they are."""
    before = _existing(call).config
    config = await call.decode(WebhookConfig)
    config.id, config.created_by, config.url_verified = before.id, before.created_by, before.url_verified
    return await _save(call, config)


async def _save(call: Call, config: WebhookConfig) -> Response:
    await check_webhook(call.services.cage, config)
    config.created_by = config.created_by or call.caller.name
    return json_response(_view(call, await _webhooks(call).save(config)))


@webhooks.delete("/metadata/webhook/{id}")
async def delete(call: Call) -> Response:
    """Delete a webhook."""
    webhook_id = _existing(call).config.id
    await _webhooks(call).delete(webhook_id)
    await call.services.configuration.tags.forget("WEBHOOK", webhook_id)
    return empty()


def _must_exist(call: Call) -> None:
    _existing(call)


tag_routes(webhooks, "/metadata/webhook/{id}/tags", "WEBHOOK", ("id",), must_exist=_must_exist)


# -- deliveries --------------------------------------------------------------------------------------------------------


@deliveries.post("/webhook/{id}", body=dict[str, Json], answer=Text)
@deliveries_at_root.post("/webhook/{id}", body=dict[str, Json], answer=Text)
async def deliver(call: Call) -> Response:
    """Deliver a payload; 401 unless the sender proves to be the one that is configured."""
    return await _deliver(call, await _payload(call))


@deliveries.get("/webhook/{id}", answer=Text)
@deliveries_at_root.get("/webhook/{id}", answer=Text)
async def deliver_query(call: Call) -> Response:
    """Deliver the query parameters as payload, or answer the question whether this address takes deliveries."""
    webhook = await _there(call)
    query = dict(call.query_params)
    token = query.get("crc_token")
    if webhook.config.verifier == "TWITTER" and token is not None:
        secret = _webhooks(call).verification(webhook).secret or ""
        return json_response({"response_token": twitter_response_token(secret, token)})
    return await _deliver(call, query)


async def _deliver(call: Call, payload: dict[str, Json]) -> Response:
    webhook = await _there(call)
    headers: dict[str, list[str]] = {}
    for name, value in call.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    now = call.services.clock.now() / 1_000_000_000
    try:
        verify(_webhooks(call).verification(webhook), headers, await call.body(), now)
    except Rejected as error:
        raise ApiError(401, f"the delivery is rejected: {error}") from None
    await _webhooks(call).note_verified(webhook)
    challenge = slack_challenge(payload) if webhook.config.verifier == "SLACK_BASED" else None
    if challenge is not None:
        return text_response(challenge)
    return text_response(await call.services.deliveries.take(webhook, payload))


async def _payload(call: Call) -> dict[str, Json]:
    """The body as a payload: JSON, or the fields of a form. Raises ApiError (400)."""
    content = await call.body()
    if call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        try:
            return dict(parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=10_000))
        except ValueError as error:
            raise bad_request(f"the form can't be read: {error}") from None
    value = await call.json()
    return {} if value is None else value if isinstance(value, dict) else read_payload(content)


def _webhooks(call: Call) -> Webhooks:
    return call.services.configuration.webhooks


async def _there(call: Call) -> StoredWebhook:
    """The webhook of the address, which another server may just have made."""
    if _webhooks(call).get(call.path_params["id"]) is None:
        await call.services.fresh()
    return _existing(call)


def _existing(call: Call) -> StoredWebhook:
    webhook_id = call.path_params["id"]
    webhook = _webhooks(call).get(webhook_id)
    if webhook is None:
        raise not_found(f"there is no webhook {webhook_id!r}")
    return webhook


def _view(call: Call, webhook: StoredWebhook) -> dict[str, Json]:
    tags = call.services.configuration.tags.of("WEBHOOK", webhook.config.id)
    return shown(_webhooks(call).masked(webhook)) | {"tags": tags}


def _history(delivery: Delivery) -> dict[str, Json]:
    return {
        "eventId": delivery.id,
        "matched": bool(delivery.tasks),
        "payload": encode_json(delivery.payload).decode(),
        "timeStamp": delivery.time,
        "workflowIds": [*dict.fromkeys(workflow_id for workflow_id, _ in delivery.tasks), *delivery.started],
    }
